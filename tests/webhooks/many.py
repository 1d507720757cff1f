"""So many events that a database has a reason to use its indexes."""

from portal_site.billing.events import emission
from portal_site.billing.models import Event
from portal_site.db import bulk
from portal_site.db.transactions import transaction
from portal_site.ids import ordered_id

KINDS = ("customer.created", "invoice.paid", "charge.succeeded", "customer.updated")


def many_events(account_id: str, count: int, at: int) -> None:
    """Let an account have further events in test mode, one in each second before `at`."""
    with transaction() as session:
        numbers = emission.take_numbers(session, count)
        rows = [
            {
                "id": ordered_id("evt"), "account_id": account_id, "livemode": False, "created": at - count + place,
                "type": KINDS[place % len(KINDS)], "data": {"object": {}}, "sequence": number, "log_hash": None,
            }
            for place, number in enumerate(numbers)
        ]  # fmt: skip
        bulk.insert(session, Event, rows)
