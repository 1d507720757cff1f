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
from tests.scenarios.history import History
from tests.world import reading

DEFERRED = {"schedule_at_period_end": ("decreasing_item_amount", "shortening_interval")}
TEN_MONTHS: dict[str, Any] = {
    "status": "trialing",
    "trial_end": at("2027-02-01"),
    "billing_cycle_anchor": at("2027-02-01"),
}


def _redemptions(history: History) -> int:
    db.session.remove()
    with reading() as reader:
        query = select(PromotionCode.times_redeemed).where(PromotionCode.account_id == history.shop.customer.account_id)
        return int(reader.scalar(query) or 0)


def _is_refused(history: History, code: str, **order: Any) -> None:
    with pytest.raises(BillingError, match="would not reduce any") as refused:
        history.change_plan(code=code, **order)
    assert refused.value.param == "promotion_code"
    assert _redemptions(history) == 0


def test_a_code_that_ends_before_the_next_invoice_is_refused(app: Flask) -> None:
    history = History.start(app)
    history.change_plan("year")
    code = history.create_code(percent_off="50", duration="repeating", duration_in_months=3)
    _is_refused(history, code)


def test_a_single_use_code_applies_to_the_next_invoice(app: Flask) -> None:
    history = History.start(app)
    history.change_plan("year")
    history.change_plan(code=history.create_code(percent_off="50", duration="once"))
    history.advance_to("2027-04-02")
    assert history.invoices()[-1].endswith("discount -50.00 = 50.00")


def test_months_count_before_a_change_at_the_end_of_the_year(app: Flask) -> None:
    history = History.start(app, policy={"schedule_at_period_end": ("shortening_interval",)})
    history.change_plan("year")
    _is_refused(
        history, history.create_code(percent_off="50", duration="repeating", duration_in_months=3), price="team"
    )


def test_a_code_that_ends_within_the_trial_is_refused(app: Flask) -> None:
    history = History.start(app, policy={"trial_update_behavior": "continue_trial"}, **TEN_MONTHS)
    _is_refused(history, history.create_code(percent_off="50", duration="repeating", duration_in_months=3))
    history.change_plan(
        code=history.create_code_named("LONG", percent_off="50", duration="repeating", duration_in_months=11)
    )


def test_a_code_on_a_free_plan_is_refused(app: Flask) -> None:
    history = History.start(app)
    history.add_discount(percent_off="100")
    _is_refused(history, history.create_code(percent_off="50", duration="repeating", duration_in_months=3))
    stacking = History.start(app, name="Other", policy={"stack_promotion_codes": True})
    stacking.add_discount(percent_off="100")
    _is_refused(stacking, stacking.create_code(percent_off="50"))


@pytest.mark.parametrize(("stacks", "due"), [(False, "8.00"), (True, "7.20")])
def test_a_code_replaces_a_discount_unless_codes_stack(app: Flask, stacks: bool, due: str) -> None:
    history = History.start(app, policy={"stack_promotion_codes": stacks})
    history.add_discount(percent_off="10")
    quote = history.quote(code=(code := history.create_code(percent_off="20")))
    assert quote.code is not None
    assert (bool(quote.code.replaces), quote.code.costs) == (not stacks, False)
    history.change_plan(code=code)
    history.advance_to("2026-05-02")
    assert history.invoices()[-1].endswith(f"= {due}")
    with reading() as reader:
        ended = reader.scalars(select(Discount.end).where(Discount.customer_id == history.shop.customer.id)).all()
    assert sorted(end is not None for end in ended) == ([False, True] if not stacks else [False, False])
    ledger.audit(history.shop.customer.account_id)


def test_a_code_worth_less_than_the_replaced_discount_is_announced(app: Flask) -> None:
    """Half off until July, then nothing; the code takes a fifth off for good."""
    history = History.start(app)
    history.add_discount(end=at("2026-07-01"), percent_off="50", duration="repeating", duration_in_months=3)
    quote = history.quote(code=history.create_code(percent_off="20"))
    assert quote.code is not None
    assert quote.code.costs
    assert quote.next_invoice is not None
    assert quote.next_invoice.amount_due == 800


def test_an_items_discount_is_kept_beside_a_code(app: Flask) -> None:
    history = History.start(app, also="solo")
    history.add_discount_on_second_item()
    history.change_plan(code=history.create_code(percent_off="50"))
    history.advance_to("2026-05-02")
    assert history.invoices()[-1].endswith("discount -8.00 = 6.00")


def test_a_code_without_a_change_keeps_a_planned_change(app: Flask) -> None:
    history = History.start(app, policy=DEFERRED).advance_to("2026-04-16")
    assert history.change_plan("solo").outcome == "scheduled"
    quote = history.quote(code=(code := history.create_code(percent_off="50")))
    assert quote.next_invoice is not None
    assert quote.next_invoice.amount_due == 200
    history.change_plan(code=code)
    history.advance_to("2026-05-02")
    assert history.invoices() == ["2026-05-01 paid: 1 × Solo (at €4.00 / month) 4.00, discount -2.00 = 2.00"]


def test_a_replaced_discount_stays_if_the_change_is_not_paid(app: Flask) -> None:
    history = History.start(app, card=world.FAILS).advance_to("2026-04-16")
    history.add_discount(percent_off="10")
    assert history.change_plan(quantity=3, code=history.create_code(percent_off="20")).outcome == "pending"
    history.advance_to("2026-04-18")
    history.add_card()
    history.advance_to("2026-05-02")
    assert history.invoices()[-1].endswith("discount -1.00 = 9.00")
    assert _redemptions(history) == 0
    ledger.audit(history.shop.customer.account_id)
