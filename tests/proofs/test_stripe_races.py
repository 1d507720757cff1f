"""Concurrent requests with the payments at a second instance: whoever pays, asks, hears or refunds at once, money moves once."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from portal_site.billing.billing_run import runner
from portal_site.billing.errors import BillingError
from portal_site.billing.models import Invoice, PaymentAttempt
from portal_site.billing.payments import collection, refunds
from portal_site.billing.payments.refunds import RefundTerms
from tests import world
from tests.proofs import ledger
from tests.proofs.play import BACK
from tests.proofs.stripe_play import attempts_of, connect, save_method
from tests.proofs.test_races import together
from tests.stripe.second import Second, check_books
from tests.world import reading


@pytest.mark.case("D6", "F2", "F10")
@pytest.mark.parametrize("losses", [0, 0.3])
def test_whoever_pays_asks_or_collects_at_once_charges_once(app: Flask, second: Second, losses: float) -> None:
    shop = world.shop(card=None)
    customer_id, account_id = shop.customer.id, shop.customer.account_id
    gateways = connect(second, account_id, world.HALF)
    with app.test_request_context(base_url="http://127.0.0.1:8000"):
        runner.run(gateways, world.END, lambda _id: BACK)  # without a payment method it stays open
    theirs = save_method(second, customer_id, world.VISA, world.END)
    with reading() as reader:
        invoice_id = reader.scalars(select(Invoice.id).where(Invoice.status == "open")).one()
    second.line.losses = losses

    def pay() -> Any:
        return collection.collect(gateways, customer_id, invoice_id, world.END + 60, BACK)

    def ask() -> Any:
        return collection.resolve_payment(gateways, customer_id, invoice_id, world.END + 60, BACK)

    def work() -> Any:
        return runner.run(gateways, world.END + 4 * 24 * 3600, lambda _id: BACK)

    together(app, [pay, ask, work] * 4)
    second.line.losses = 0
    second.line.stored.clear()
    with app.test_request_context(base_url="http://127.0.0.1:8000"):
        for later in (1, 2):
            runner.run(gateways, world.END + (4 * 24 + later) * 3600, lambda _id: BACK)
    _agree(second, account_id, theirs)
    assert [charge.status for charge in second.charges(theirs)] == ["succeeded"]
    with reading() as reader:
        assert reader.scalar(select(Invoice.status).where(Invoice.id == invoice_id)) == "paid"


@pytest.mark.case("D20")
def test_concurrent_refunds_never_give_back_more_than_was_paid(app: Flask, second: Second) -> None:
    shop = world.shop(card=None, quantity=2)
    customer_id, account_id = shop.customer.id, shop.customer.account_id
    gateways = connect(second, account_id, world.HALF)
    theirs = save_method(second, customer_id, world.VISA, world.HALF)
    with app.test_request_context(base_url="http://127.0.0.1:8000"):
        runner.run(gateways, world.END, lambda _id: BACK)
    with reading() as reader:
        attempt_id = reader.scalars(select(PaymentAttempt.id)).one()

    def give(number: int) -> Callable[[], Any]:
        return lambda: refunds.refund(
            gateways, customer_id, attempt_id, world.END + 60, f"key {number // 2}", RefundTerms(600)
        )

    results = together(app, [give(number) for number in range(12)])  # six refunds of 6.00, each twice, of 20.00
    assert len({one.id for one in results if not isinstance(one, BillingError)}) == 3
    assert Counter(type(one).__name__ for one in results)["BillingError"] == 6
    assert [refund.amount for refund in second.refunds(theirs)] == [600] * 3
    _agree(second, account_id, theirs)


def _agree(second: Second, account_id: str, theirs: str) -> None:
    ledger.audit(account_id, books=lambda attempts, given: second.books(attempts, given, theirs))
    ledger.settled(account_id, world.END)
    check_books(second, attempts_of(account_id), theirs)
