"""Promotion codes: each reason for a refusal has its own message, and is tested at its exact limit."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from portal_site.billing.rules.amounts.discounts import CouponTerms
from portal_site.billing.rules.amounts.promotion_codes import CodeTerms, Redeemer, normalized, why_not_redeemable
from tests.billing.terms import offer, snapshot

NOW = 1_776_297_600
TEN = CouponTerms(Decimal(10), None, None)
CODE = CodeTerms("promo_one", "TEN", "TEN", TEN)
WHO = Redeemer("cus_me", "eur", snapshot((offer(1000), 2)).items, has_bought_before=False, has_redeemed=False)


def _said(code: CodeTerms, who: Redeemer = WHO) -> str:
    found = why_not_redeemable(code, who, NOW)
    code = "promotion_code_used" if who.has_redeemed else "promotion_code_invalid"
    assert found is None or (found.code, found.param) == (code, "promotion_code")
    return "" if found is None else found.message


@pytest.mark.case("D3")
@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({}, ""),
        ({"active": False}, "This code has expired."),
        ({"coupon_valid": False}, "This code has expired."),
        ({"expires_at": NOW}, "This code has expired."),
        ({"expires_at": NOW + 1}, ""),
        ({"coupon_redeem_by": NOW}, "This code has expired."),
        ({"coupon_redeem_by": NOW + 1}, ""),
        ({"max_redemptions": 5, "times_redeemed": 5}, "This code is no longer available."),
        ({"max_redemptions": 5, "times_redeemed": 4}, ""),
        ({"coupon_max_redemptions": 5, "coupon_times_redeemed": 5}, "This code is no longer available."),
        ({"coupon_max_redemptions": 5, "coupon_times_redeemed": 4}, ""),
        ({"customer_id": "cus_me"}, ""),
        ({"customer_id": "cus_other"}, "We could not find this code. Check what you entered."),
        ({"first_time_transaction": True}, ""),
        ({"minimum_amount": 2000, "minimum_amount_currency": "eur"}, ""),
        (
            {"minimum_amount": 2001, "minimum_amount_currency": "eur"},
            "Your order is below the minimum amount for this code.",
        ),
        (
            {"minimum_amount": 1, "minimum_amount_currency": "usd"},
            "Your order is below the minimum amount for this code.",
        ),
        ({"coupon": replace(TEN, products=frozenset({"prod_team"}))}, ""),
        ({"coupon": replace(TEN, products=frozenset({"prod_solo"}))}, "This code does not apply to your plan."),
        ({"coupon": CouponTerms(None, 100, "usd")}, "This code does not apply to your plan."),
    ],
)
def test_each_limit_at_its_edge(changed: dict[str, Any], sentence: str) -> None:
    assert _said(replace(CODE, **changed)) == sentence


def test_what_the_customer_did_before() -> None:
    assert _said(CODE, replace(WHO, has_redeemed=True)) == "You have already used this code."
    first = replace(CODE, first_time_transaction=True)
    assert _said(first, replace(WHO, has_bought_before=True)) == "This code is for a first purchase only."
    assert _said(CODE, replace(WHO, has_bought_before=True)) == ""


@pytest.mark.case("D3")
@pytest.mark.parametrize("typed", ["spring-20", " SPRING-20 ", "Ｓｐｒｉｎｇ-20"])
def test_case_blanks_and_width_do_not_matter(typed: str) -> None:
    assert normalized(typed) == normalized("SPRING-20")


def test_letters_that_only_look_alike_are_others() -> None:
    assert normalized("ЅPRING-20") != normalized("SPRING-20")  # a Cyrillic letter
