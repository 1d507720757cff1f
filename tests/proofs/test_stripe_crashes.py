"""A real process is killed at every point of a payment at Stripe: around each call's work, and around each statement that writes.

The provider is a second instance, whose database is another: what it did stays when the process that asked for it is gone.
"""

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from portal_site.billing.billing_run import runner
from portal_site.billing.gateways.registry import Gateways
from portal_site.billing.models import Invoice, PaymentAttempt, Refund
from portal_site.billing.payments import collection, refunds
from portal_site.billing.payments.refunds import RefundTerms
from portal_site.db import db
from tests import world
from tests.proofs import ledger
from tests.proofs.play import BACK
from tests.proofs.stripe_play import attempts_of, connect, save_method
from tests.proofs.test_crashes import Step, dies
from tests.stripe.second import Second, check_books
from tests.world import reading

HOUR = 60 * 60
Prepare = Callable[["Gateways", Second, world.Shop], Step]


def _run(gateways: Gateways, at: int) -> None:
    runner.run(gateways, at, lambda _id: BACK)


def _renewing(gateways: Gateways, _second: Second, _shop: world.Shop) -> Step:
    """The worker's minute after the month's end."""
    return lambda: _run(gateways, world.END)


def _coming_back(gateways: Gateways, second: Second, shop: world.Shop) -> Step:
    """A customer who has to authenticate the renewal: it is led to the bank, does so, and comes back."""
    _run(gateways, world.END)
    invoice_id = next(iter(attempts_of(shop.customer.account_id).values())).invoice_id
    whose = shop.customer.id, invoice_id, world.END + 60

    def come() -> None:
        collection.resolve_payment(gateways, *whose, BACK)
        second.bank_says("requires_action", "succeeded")
        collection.resolve_payment(gateways, *whose, BACK)

    return come


def _giving_back(gateways: Gateways, _second: Second, shop: world.Shop) -> Step:
    """A refund of a part of the renewal."""
    _run(gateways, world.END)
    (attempt_id,) = attempts_of(shop.customer.account_id)
    return lambda: refunds.refund(gateways, shop.customer.id, attempt_id, world.END + 60, "refund", RefundTerms(300))


STORIES: dict[str, tuple[Any, str]] = {
    "renew": (_renewing, world.VISA),
    "authenticate": (_coming_back, world.ASKS),
    "refund": (_giving_back, world.VISA),
}


@pytest.mark.case("F1", "F2")
@pytest.mark.long
@pytest.mark.parametrize("story", STORIES)
def test_a_kill_around_any_call_loses_and_repeats_nothing(lite_app: Flask, second: Second, story: str) -> None:
    prepare, card = STORIES[story]
    with lite_app.test_request_context(base_url="http://127.0.0.1:8000"):
        shop, gateways, theirs = _shop(second, "Counted", card)
        counted = dies(prepare(gateways, second, shop), None, line=second)
        assert counted
        points = counted[0]
        assert points > 8
        for point in range(points):
            shop, gateways, theirs = _shop(second, f"Shop{point}", card)
            action = prepare(gateways, second, shop)
            assert dies(action, point, line=second) is None
            for later in (120, 240, HOUR + 300):
                if story == "authenticate":
                    action()  # the customer got no answer and comes again
                _run(gateways, world.END + later)
            if story == "refund":
                action()  # staff got no answer, and press again what has the same key
            try:
                _once(second, shop, theirs, story)
            except BaseException as error:
                error.add_note(f"killed before point {point} of {points}")
                raise


def _shop(second: Second, name: str, card: str) -> tuple[world.Shop, Gateways, str]:
    shop = world.shop(name, card=None)
    gateways = connect(second, shop.customer.account_id, world.HALF)
    return shop, gateways, save_method(second, shop.customer.id, card, world.HALF)


def _once(second: Second, shop: world.Shop, theirs: str, story: str) -> None:
    account_id = shop.customer.account_id
    db.session.remove()
    ledger.audit(account_id, books=lambda attempts, refunds: second.books(attempts, refunds, theirs))
    ledger.settled(account_id, world.HALF)
    check_books(second, attempts_of(account_id), theirs)
    taken = [charge.amount for charge in second.charges(theirs) if charge.status == "succeeded"]
    with reading() as reader:
        mine = Invoice.account_id == account_id, Invoice.created >= world.END
        (renewal,) = reader.execute(select(Invoice.status, Invoice.amount_due, Invoice.amount_refunded).where(*mine))
        tries = list(reader.scalars(select(PaymentAttempt.status).where(PaymentAttempt.account_id == account_id)))
        given = list(reader.execute(select(Refund.status, Refund.amount).where(Refund.account_id == account_id)))
    assert (renewal.status, taken, tries) == ("paid", [renewal.amount_due], ["succeeded"])
    back = [300] if story == "refund" else []
    assert [tuple(one) for one in given] == [("succeeded", amount) for amount in back]
    assert [one.amount for one in second.refunds(theirs)] == back
    assert renewal.amount_refunded == sum(back)
