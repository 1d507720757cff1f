"""Test clocks."""

from portal_site.billing.models import TestClock
from portal_site.billing.models.columns import values
from portal_site.db.json_columns import JsonObject


def test_clock(row: TestClock) -> JsonObject:
    """A `test_helpers.test_clock`."""
    details = {"advancing": {"target_frozen_time": row.target_frozen_time}} if row.target_frozen_time else {}
    named = values(row, "id", "created", "livemode", "name", "frozen_time", "status")
    return {"object": "test_helpers.test_clock", **named, "status_details": details}
