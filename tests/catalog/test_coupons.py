"""Coupons: their ids and products, changes, and that a deleted one ends nothing that it has given."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from portal_site.billing.catalog import coupons, promotion_codes
from portal_site.billing.errors import NotFound
from portal_site.billing.models import Invoice
from portal_site.billing.rules.catalog.discount_definitions import CouponDefinition
from tests.catalog.catalogue import AT, DAY, LIVE, TENTH, TEST, coupon, events, product, refusal
from tests.scenarios.history import History
from tests.world import reading


def test_a_coupon_is_stored_as_it_was_entered(account_id: str) -> None:
    team, solo = product(account_id), product(account_id, "Solo")
    definition = CouponDefinition(
        percent_off=Decimal("33.30"), duration="repeating", duration_in_months=3, redeem_by=AT + DAY, max_redemptions=5
    )
    row = coupon(account_id, definition, coupon_id="SUMMER_26", name="Summer", applies_to=[team.id, solo.id, team.id])
    stored = coupons.get(account_id, TEST, "SUMMER_26")
    assert (stored.percent_off, stored.duration_in_months, stored.redeem_by) == ("33.3", 3, AT + DAY)
    assert (stored.applies_to_products, stored.valid, stored.times_redeemed) == ([team.id, solo.id], True, 0)
    kind, data = events(account_id)[-1]
    assert (kind, data["object"]["id"], data["object"]["percent_off"]) == ("coupon.created", row.id, 33.3)
    assert len(coupon(account_id).id) == 8


def test_an_id_is_given_once(account_id: str) -> None:
    coupon(account_id, coupon_id="TEN")
    for mode in (TEST, LIVE):
        error = refusal(lambda: coupons.create(account_id, mode, AT, TENTH, coupon_id="TEN"))  # noqa: B023
        assert (error.code, error.param) == ("resource_already_exists", "id")
    coupons.delete(account_id, TEST, "TEN", AT)
    assert refusal(lambda: coupon(account_id, coupon_id="TEN")).param == "id"


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"coupon_id": "a b"}, "id"),
        ({"coupon_id": "x" * 256}, "id"),
        ({"coupon_id": "Été"}, "id"),
        ({"name": "x" * 41}, "name"),
        ({"applies_to": [f"prod_{number}" for number in range(501)]}, "applies_to[products]"),
        ({"applies_to": ["prod_none"]}, "applies_to[products]"),
    ],
)
def test_what_a_coupon_cannot_be_is_refused(lite_account_id: str, members: Any, param: str) -> None:
    assert refusal(lambda: coupon(lite_account_id, **members)).param == param
    assert events(lite_account_id) == []


def test_the_name_changes_and_the_terms_do_not(account_id: str) -> None:
    row = coupon(account_id, name="Ten")
    assert coupons.update(account_id, TEST, row.id, AT + DAY, name="", metadata={"a": "1"}).name is None
    kind, data = events(account_id)[-1]
    assert (kind, data["previous_attributes"]) == ("coupon.updated", {"name": "Ten", "metadata": {"a": None}})
    changes: Any = {"percent_off": Decimal(20)}
    with pytest.raises(ValueError, match="percent_off"):
        coupons.update(account_id, TEST, row.id, AT, **changes)


def test_a_deleted_coupon_is_gone_and_its_codes_end(account_id: str) -> None:
    row = coupon(account_id)
    code = promotion_codes.create(account_id, TEST, AT, row.id, code="TEN")
    coupons.delete(account_id, TEST, row.id, AT + DAY)
    assert isinstance(refusal(lambda: coupons.get(account_id, TEST, row.id)), NotFound)
    assert isinstance(refusal(lambda: coupons.update(account_id, TEST, row.id, AT, name="x")), NotFound)
    assert isinstance(refusal(lambda: coupons.delete(account_id, TEST, row.id, AT)), NotFound)
    assert isinstance(refusal(lambda: promotion_codes.create(account_id, TEST, AT, row.id)), NotFound)
    assert coupons.page(account_id, TEST, AT).rows == []
    assert promotion_codes.get(account_id, TEST, code.id).active is False
    assert refusal(lambda: promotion_codes.update(account_id, TEST, code.id, AT, active=True)).param == "active"
    kind, data = events(account_id)[-1]
    assert (kind, data["object"]["id"], data["object"]["valid"]) == ("coupon.deleted", row.id, False)


def test_a_discount_goes_on_when_its_coupon_is_deleted(app: Flask) -> None:
    history = History.start(app)
    account_id = history.shop.customer.account_id
    definition = replace(TENTH, percent_off=Decimal(50), duration="forever")
    row = coupon(account_id, definition)
    code = promotion_codes.create(account_id, TEST, AT - DAY, row.id)
    history.advance_to("2026-04-16")
    history.change_plan(quantity=3, code=code.id)
    coupons.delete(account_id, TEST, row.id, AT)
    history.advance_to("2026-05-01")
    with reading() as reader:
        totals = reader.execute(select(Invoice.total).order_by(Invoice.created.desc()))
        assert totals.scalars().first() == 3 * 1000 // 2
