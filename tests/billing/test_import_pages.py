"""Any export is either refused with a message that names the object, or every page of its customers can be shown."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from portal_site import clock
from portal_site.billing.errors import ImportRefused
from portal_site.billing.importing import importer
from portal_site.billing.importing.report import Result
from portal_site.billing.models import Customer
from portal_site.billing.portal_access import portal_sessions
from tests.billing.exports import EXPORT, GONE, NOW, Place, changed
from tests.conftest import empty_all
from tests.world import reading

KINDS = ("invoice", "subscription", "price", "payment_method", "tax_id", "customer", "subscription_schedule",
         "promotion_code", "coupon", "billing_portal.configuration", "account")  # fmt: skip
NAMES = (*(kind.replace("_", " ") for kind in KINDS), "portal configuration", "schedule phase", "discount")
PAGES = (
    "/", "/subscriptions", "/subscriptions/sub_one", "/payment-methods", "/billing-information", "/billing-information/edit",
    "/invoices", "/invoices/in_one",
)  # fmt: skip


def _paths(value: Any, path: Place = ()) -> Iterator[Place]:
    """Where a value can be changed: each member at each depth."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*path, key)
        yield from _paths(inner, (*path, key))


PLACES = [(kind, *path) for kind in KINDS for path in _paths(EXPORT[kind], ()) if len(path) > 1]
VALUES = st.one_of(
    st.sampled_from([GONE, None, "", "x", "5", True, 0, 1, -5, 5, 99, 1.5, NOW, 2**31, 2**40, 2**63, 10**20, [], {}, [{}], [None],
                     {"x": 1}, [{"x": "y"}], "javascript:alert(1)", "a/b", "a\nb", "1e400", "eur", "jpy", "ZZ"]),
    st.integers(-(10**12), 10**12),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=8),
)  # fmt: skip


def _statuses(app: Flask) -> dict[str, int]:
    opened = portal_sessions.open_session("cus_one", clock.now())
    client = FlaskClient(app, app.response_class)  # the linting one would take all the time
    found = {}
    for path in (f"/p/session/{opened.token}", *PAGES):
        with app.app_context():
            found[path] = client.get(path).status_code
    return found


@settings(max_examples=90, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.sampled_from(PLACES), VALUES), min_size=1, max_size=2))
@pytest.mark.long
def test_what_is_taken_over_can_be_shown(lite_app: Flask, changes: Sequence[tuple[Place, Any]]) -> None:
    empty_all()
    try:
        importer.import_objects(json.dumps(changed(changes)).encode(), NOW, options=importer.Options(strict=True))
    except ImportRefused as refused:
        assert len(str(refused).splitlines()) == 1
        assert str(refused).replace("_", " ").startswith(NAMES), str(refused)
        return
    _, *shown = _statuses(lite_app).items()
    # A configuration may have switched pages off.
    right = (200, 404) if any(path[0] == "billing_portal.configuration" for path, _ in changes) else (200,)
    assert [path for path, status in shown if status not in right] == []


@settings(max_examples=90, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.sampled_from(PLACES), VALUES), min_size=1, max_size=4))
@pytest.mark.long
def test_what_is_left_out_breaks_no_page_and_comes_the_same_again(
    lite_app: Flask, changes: Sequence[tuple[Place, Any]]
) -> None:
    empty_all()
    text = json.dumps(changed(changes)).encode()
    try:
        first = importer.import_objects(text, NOW)
    except ImportRefused as refused:  # of the file as a whole
        assert str(refused).startswith(("The file", "customer", "account"))
        return
    assert all(len(finding.sentence.splitlines()) == 1 for finding in first.findings())
    second = importer.import_objects(text, NOW)
    # What was left out may come once that is there which it refers to, such as a coupon that stands only in a discount.
    assert second.added.total() <= first.count(Result.LEFT_OUT)
    if second.added:
        second = importer.import_objects(text, NOW)
    assert (second.added, second.updated) == ({}, {})
    assert second.count(Result.CONFLICT) == 0
    with reading() as connection:
        if connection.scalar(select(Customer.id).where(Customer.id == "cus_one")) is None:
            return
    _, *shown = _statuses(lite_app).items()
    assert [path for path, status in shown if status not in (200, 404)] == []
