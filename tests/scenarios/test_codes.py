"""Promotion codes that would bring nothing, codes that replace a discount, and codes beside planned changes."""

from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from portal_site.billing.errors import BillingError
from portal_site.billing.models import Discount, PromotionCode
from portal_site.db import db
from tests import world
from tests.billing.terms import at
from tests.proofs import ledger
from tests.scenarios.life import Life
from tests.world import reading

DEFERRED = {"schedule_at_period_end": ("decreasing_item_amount", "shortening_interval")}
TEN_MONTHS: dict[str, Any] = {
    "status": "trialing",
    "trial_end": at("2027-02-01"),
    "billing_cycle_anchor": at("2027-02-01"),
}


def _redemptions(life: Life) -> int:
    db.session.remove()
    with reading() as reader:
        query = select(PromotionCode.times_redeemed).where(PromotionCode.account_id == life.shop.customer.account_id)
        return int(reader.scalar(query) or 0)


def _is_refused(life: Life, code: str, **order: Any) -> None:
    with pytest.raises(BillingError, match="would not reduce any") as refused:
        life.changes(code=code, **order)
    assert refused.value.param == "promotion_code"
    assert _redemptions(life) == 0


def test_months_that_end_before_the_next_invoice_bring_nothing(app: Flask) -> None:
    life = Life.begins(app)
    life.changes("year")
    code = life.code(percent_off="50", duration="repeating", duration_in_months=3)
    _is_refused(life, code)


def test_a_code_for_one_invoice_waits_for_it(app: Flask) -> None:
    life = Life.begins(app)
    life.changes("year")
    life.changes(code=life.code(percent_off="50", duration="once"))
    life.goes_to("2027-04-02")
    assert life.bills()[-1].endswith("discount -50.00 = 50.00")


def test_months_count_before_a_change_at_the_end_of_the_year(app: Flask) -> None:
    life = Life.begins(app, policy={"schedule_at_period_end": ("shortening_interval",)})
    life.changes("year")
    _is_refused(life, life.code(percent_off="50", duration="repeating", duration_in_months=3), price="team")


def test_months_that_end_within_a_free_trial_bring_nothing(app: Flask) -> None:
    life = Life.begins(app, policy={"trial_update_behavior": "continue_trial"}, **TEN_MONTHS)
    _is_refused(life, life.code(percent_off="50", duration="repeating", duration_in_months=3))
    life.changes(code=life.code_named("LONG", percent_off="50", duration="repeating", duration_in_months=11))


def test_what_is_free_for_good_cannot_become_cheaper(app: Flask) -> None:
    life = Life.begins(app)
    life.gets_a_discount(percent_off="100")
    _is_refused(life, life.code(percent_off="50", duration="repeating", duration_in_months=3))
    stacking = Life.begins(app, name="Other", policy={"stack_promotion_codes": True})
    stacking.gets_a_discount(percent_off="100")
    _is_refused(stacking, stacking.code(percent_off="50"))


@pytest.mark.parametrize(("stacks", "due"), [(False, "8.00"), (True, "7.20")])
def test_a_code_replaces_a_discount_unless_codes_stack(app: Flask, stacks: bool, due: str) -> None:
    life = Life.begins(app, policy={"stack_promotion_codes": stacks})
    life.gets_a_discount(percent_off="10")
    quote = life.quote(code=(code := life.code(percent_off="20")))
    assert quote.code is not None
    assert (bool(quote.code.replaces), quote.code.costs) == (not stacks, False)
    life.changes(code=code)
    life.goes_to("2026-05-02")
    assert life.bills()[-1].endswith(f"= {due}")
    with reading() as reader:
        ended = reader.scalars(select(Discount.end).where(Discount.customer_id == life.shop.customer.id)).all()
    assert sorted(end is not None for end in ended) == ([False, True] if not stacks else [False, False])
    ledger.audit(life.shop.customer.account_id)


def test_a_code_that_takes_less_off_than_what_it_replaces_says_so(app: Flask) -> None:
    """Half off until July, then nothing; the code takes a fifth off for good."""
    life = Life.begins(app)
    life.gets_a_discount(end=at("2026-07-01"), percent_off="50", duration="repeating", duration_in_months=3)
    quote = life.quote(code=life.code(percent_off="20"))
    assert quote.code is not None
    assert quote.code.costs
    assert quote.next_invoice is not None
    assert quote.next_invoice.amount_due == 800


def test_a_discount_of_one_item_stays_beside_a_code(app: Flask) -> None:
    life = Life.begins(app, also="solo")
    life.gets_a_discount_on_the_other_item()
    life.changes(code=life.code(percent_off="50"))
    life.goes_to("2026-05-02")
    assert life.bills()[-1].endswith("discount -8.00 = 6.00")


def test_a_code_alone_leaves_a_planned_change_as_it_is(app: Flask) -> None:
    life = Life.begins(app, policy=DEFERRED).goes_to("2026-04-16")
    assert life.changes("solo").outcome == "scheduled"
    quote = life.quote(code=(code := life.code(percent_off="50")))
    assert quote.next_invoice is not None
    assert quote.next_invoice.amount_due == 200
    life.changes(code=code)
    life.goes_to("2026-05-02")
    assert life.bills() == ["2026-05-01 paid: 1 × Solo (at €4.00 / month) 4.00, discount -2.00 = 2.00"]


def test_a_replaced_discount_stays_if_the_change_is_not_paid(app: Flask) -> None:
    life = Life.begins(app, card=world.FAILS).goes_to("2026-04-16")
    life.gets_a_discount(percent_off="10")
    assert life.changes(quantity=3, code=life.code(percent_off="20")).outcome == "pending"
    life.goes_to("2026-04-18")
    life.gets_a_card()
    life.goes_to("2026-05-02")
    assert life.bills()[-1].endswith("discount -1.00 = 9.00")
    assert _redemptions(life) == 0
    ledger.audit(life.shop.customer.account_id)
