"""Promotion codes: their text, their restrictions, which are active, and who gets one that two want at once."""

from dataclasses import replace
from typing import Any

import pytest
from flask import Flask

from portal_site.billing.catalog import coupons, prices, promotion_codes
from portal_site.billing.errors import BillingError, NotFound
from portal_site.billing.models import Coupon, Price, PromotionCode
from portal_site.billing.rules.catalog.discount_definitions import CodeRestrictions
from portal_site.db.transactions import transaction
from tests import world
from tests.catalog.catalogue import AT, DAY, LIVE, TEN_A_MONTH, TENTH, TEST, coupon, events, product, refusal
from tests.proofs.test_races import together


def _code(account_id: str, text: str = "", coupon_id: str | None = None, **restrictions: Any) -> PromotionCode:
    limits = CodeRestrictions(**restrictions)
    own = coupon_id or coupon(account_id).id
    return promotion_codes.create(account_id, TEST, AT, own, code=text, restrictions=limits)


def test_a_code_is_stored_as_it_was_entered(account_id: str) -> None:
    with transaction() as session:
        made = world.Merchant(session, AT, session.get(world.Account, account_id))
        customer_id = made.customer("Hedda", "hedda@acme.example", "usual").id
    row = _code(
        account_id, " Summer-26 ", customer_id=customer_id, expires_at=AT + DAY, max_redemptions=3,
        first_time_transaction=True, minimum_amount=500, minimum_amount_currency="EUR",
    )  # fmt: skip
    stored = promotion_codes.get(account_id, TEST, row.id)
    assert (stored.code, stored.code_key, stored.customer_id) == ("Summer-26", "summer-26", customer_id)
    assert (stored.expires_at, stored.max_redemptions, stored.first_time_transaction) == (AT + DAY, 3, True)
    kind, data = events(account_id)[-1]
    assert (kind, data["object"]["code"]) == ("promotion_code.created", "Summer-26")
    assert data["object"]["promotion"] == {"type": "coupon", "coupon": row.coupon_id}
    assert data["object"]["restrictions"] == {
        "first_time_transaction": True, "minimum_amount": 500, "minimum_amount_currency": "eur",
    }  # fmt: skip


def test_a_code_without_a_text_gets_a_random_one(account_id: str) -> None:
    texts = {_code(account_id).code for _ in range(20)}
    assert len(texts) == 20
    assert set().union(*texts) <= set("ABCDEFGHJKLMNPQRSTUVWXYZ23456789")
    assert {len(text) for text in texts} == {8}


def test_a_random_code_that_is_taken_is_not_given_out(account_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    letters = iter("A" * 8 + "A" * 8 + "B" * 8)
    monkeypatch.setattr("secrets.choice", lambda _letters: next(letters))
    assert [_code(account_id).code for _ in range(2)] == ["A" * 8, "B" * 8]


def test_an_active_code_is_there_once_whatever_the_case(account_id: str) -> None:
    first = _code(account_id, "TEN")
    error = refusal(lambda: _code(account_id, "ten"))
    assert (error.code, error.param) == ("resource_already_exists", "code")
    other = coupons.create(account_id, LIVE, AT, TENTH)
    assert promotion_codes.create(account_id, LIVE, AT, other.id, code="ten").active
    promotion_codes.update(account_id, TEST, first.id, AT, active=False)
    second = _code(account_id, "ten")
    error = refusal(lambda: promotion_codes.update(account_id, TEST, first.id, AT, active=True))
    assert (error.code, error.param) == ("resource_already_exists", "code")
    promotion_codes.update(account_id, TEST, second.id, AT, active=False)
    assert promotion_codes.update(account_id, TEST, first.id, AT, active=True).active
    kind, data = events(account_id)[-1]
    assert (kind, data["previous_attributes"]) == ("promotion_code.updated", {"active": False})
    archived = promotion_codes.create(account_id, TEST, AT, second.coupon_id, code="TEN", active=False)
    assert not archived.active


def test_a_code_that_has_ended_can_be_given_again_but_does_not_come_back(account_id: str) -> None:
    first = _code(account_id, "TEN", expires_at=AT + DAY)
    later = AT + DAY
    second = promotion_codes.create(account_id, TEST, later, first.coupon_id, code="TEN")
    assert second.active
    promotion_codes.update(account_id, TEST, first.id, later, active=False)
    promotion_codes.update(account_id, TEST, second.id, later, active=False)
    error = refusal(lambda: promotion_codes.update(account_id, TEST, first.id, later, active=True))
    assert (error.code, error.param) == ("promotion_code_invalid", "active")
    assert promotion_codes.update(account_id, TEST, first.id, later, metadata={"a": "1"}).metadata_ == {"a": "1"}


def test_a_code_that_is_used_up_does_not_come_back(account_id: str) -> None:
    row = _code(account_id, "TEN", max_redemptions=1)
    promotion_codes.update(account_id, TEST, row.id, AT, active=False)
    with transaction() as session:
        found = session.get(PromotionCode, row.id)
        assert found is not None
        found.times_redeemed = 1
    assert refusal(lambda: promotion_codes.update(account_id, TEST, row.id, AT, active=True)).param == "active"
    assert _code(account_id, "TEN").active


def test_a_code_needs_a_coupon_that_can_be_redeemed(account_id: str) -> None:
    ended = coupon(account_id, replace(TENTH, redeem_by=AT + DAY))
    error = refusal(lambda: promotion_codes.create(account_id, TEST, AT + DAY, ended.id))
    assert (error.code, error.param) == ("coupon_expired", "coupon")
    used = coupon(account_id, replace(TENTH, max_redemptions=1))
    with transaction() as session:
        found = session.get(Coupon, (account_id, used.id))
        assert found is not None
        found.times_redeemed = 1
    assert refusal(lambda: _code(account_id, coupon_id=used.id)).param == "coupon"
    assert isinstance(refusal(lambda: _code(account_id, coupon_id="none")), NotFound)
    assert isinstance(refusal(lambda: promotion_codes.create(account_id, LIVE, AT, used.id)), NotFound)


def test_a_code_keeps_to_the_limits_of_its_coupon(account_id: str) -> None:
    limited = coupon(account_id, replace(TENTH, redeem_by=AT + DAY, max_redemptions=5)).id
    late = refusal(lambda: _code(account_id, coupon_id=limited, expires_at=AT + 2 * DAY))
    often = refusal(lambda: _code(account_id, coupon_id=limited, max_redemptions=6))
    assert (late.param, often.param) == ("expires_at", "max_redemptions")
    assert _code(account_id, coupon_id=limited, expires_at=AT + DAY, max_redemptions=5).active


def test_a_code_is_for_a_customer_of_the_account_and_mode(account_id: str) -> None:
    with world.merchant("Other") as other:
        stranger = other.customer("Ola", "ola@other.example", "usual").id
    with transaction() as session:
        made = world.Merchant(session, AT, session.get(world.Account, account_id))
        live = made.customer("Liv", "liv@acme.example", "usual", livemode=True).id
        gone = made.customer("Gus", "gus@acme.example", "usual", deleted_at=AT).id
    for customer_id in (stranger, live, gone, "cus_none"):
        error = refusal(lambda: _code(account_id, customer_id=customer_id))  # noqa: B023
        assert isinstance(error, NotFound)
        assert error.param == "customer"


def test_only_one_of_many_at_once_gets_a_code(app: Flask, account_id: str) -> None:
    coupon_ids = [coupon(account_id).id for _ in range(8)]
    texts = ["Ten", "TEN", "ten", "tEN"] * 2
    actions = [
        lambda own=own, text=text: promotion_codes.create(account_id, TEST, AT, own, code=text)
        for own, text in zip(coupon_ids, texts, strict=True)
    ]
    results = together(app, actions)
    made = [one for one in results if isinstance(one, PromotionCode)]
    refused = [one for one in results if isinstance(one, BillingError)]
    assert (len(made), {one.code for one in refused}) == (1, {"resource_already_exists"})
    assert len(promotion_codes.page(account_id, TEST, AT, code="TEN").rows) == 1


def test_only_one_of_many_at_once_gets_a_code_back(app: Flask, account_id: str) -> None:
    own = coupon(account_id).id
    archived = [promotion_codes.create(account_id, TEST, AT, own, code="TEN", active=False).id for _ in range(6)]
    actions = [
        lambda code_id=code_id: promotion_codes.update(account_id, TEST, code_id, AT, active=True)
        for code_id in archived
    ]
    results = together(app, actions)
    assert len([one for one in results if isinstance(one, PromotionCode)]) == 1
    assert len(promotion_codes.page(account_id, TEST, AT, active=True).rows) == 1


def test_a_code_is_not_made_of_a_coupon_that_is_being_deleted(app: Flask, account_id: str) -> None:
    own = coupon(account_id).id
    results = together(
        app,
        [
            lambda: coupons.delete(account_id, TEST, own, AT),
            *[lambda: promotion_codes.create(account_id, TEST, AT, own) for _ in range(4)],
        ],
    )
    assert all(one is None or isinstance(one, PromotionCode | NotFound) for one in results)
    assert promotion_codes.page(account_id, TEST, AT, active=True).rows == []
    assert not any(row.active for row in promotion_codes.page(account_id, TEST, AT).rows)


def test_only_one_of_many_at_once_gets_a_lookup_key_or_an_id(app: Flask, account_id: str) -> None:
    own = product(account_id).id
    keyed = together(app, [lambda: prices.create(account_id, TEST, AT, own, TEN_A_MONTH, lookup_key="team")] * 6)
    assert len([one for one in keyed if isinstance(one, Price)]) == 1
    named = together(app, [lambda: coupons.create(account_id, TEST, AT, TENTH, coupon_id="TEN")] * 6)
    assert len([one for one in named if isinstance(one, Coupon)]) == 1
