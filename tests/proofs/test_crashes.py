"""A real process is killed at every point with an external effect: before each statement that writes, before each commit, and
when all is done.

The sandbox gateway stores its data with statements of its own, so the points include those before and after each call of it.
In between nothing changes but the process's own memory, which is lost with it. The long mode (`--seeds` above the default)
takes the points before and after every statement all the same.
"""

import gc
import os
import secrets
import signal
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select

from portal_site.billing.billing_run import runner
from portal_site.billing.changes import plan_changes
from portal_site.billing.gateways.sandbox.models import SandboxCharge
from portal_site.billing.loading.confirmations import Confirmation, quote_fingerprint
from portal_site.billing.models import Invoice, PaymentAttempt, PlanChange, Subscription, SubscriptionItem
from portal_site.billing.payments import collection
from portal_site.billing.rules.payments.dunning import DunningPolicy
from portal_site.billing.rules.subscriptions.portal_policy import PlanChangeRequest
from portal_site.db import db
from tests import world
from tests.conftest import SEEDS
from tests.proofs import ledger
from tests.proofs.kills import AROUND, killing
from tests.proofs.play import BACK
from tests.stripe.second import Second
from tests.world import reading

Step = Callable[[], object]
DEBITED = world.END + 4 * 24 * 60 * 60  # when a debit of the renewal is over
SECOND_TRY = world.END + DunningPolicy().retry_days[0] * 24 * 60 * 60


def dies(
    action: Step, point: int | None, *, everywhere: bool = False, line: Second | None = None
) -> tuple[int, int] | None:
    """Run the action in a process that is killed at this point; the last point is after the action. With a second instance, the
    points before and after what it does are among them.

    Returns None if it was killed, else the number of points and that of all events, some of which are alike.
    """
    db.session.remove()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:  # the child must not return, because it would run the parent's clean-up
        try:
            gc.disable()  # it would copy all that it looks through
            db.engine.dispose(close=False)  # the connections still belong to the parent
            if line is not None:
                with line.app.app_context():
                    db.engine.dispose(close=False)
            calls = line.line if line is not None else None
            with killing(point, AROUND, _kill_this_process, only_writes=not everywhere, line=calls) as counter:
                action()
            if point == counter.points:
                _kill_this_process()
            os.write(writer, f"{counter.points + 1} {counter.events}".encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        passed = pipe.read().split()
    _, status = os.waitpid(child, 0)
    killed = os.WIFSIGNALED(status)
    assert passed or (killed and point is not None), "the action failed"
    return None if killed else (int(passed[0]), int(passed[1]))


def _kill_this_process() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _changing(app: Flask, shop: world.Shop) -> Step:
    """The confirmation of a change from one seat to three, with its payment."""
    customer_id, subscription_id, features = shop.customer.id, shop.subscription.id, shop.features
    order = PlanChangeRequest({shop.item_id: (None, 3)})
    options = plan_changes.options(customer_id, subscription_id, features, world.HALF)
    quote = plan_changes.preview(options, customer_id, order, world.HALF)
    confirmation = Confirmation(world.HALF, quote_fingerprint(quote), secrets.token_hex(8))
    gateways = app.extensions["gateways"]

    def confirm() -> None:
        change = plan_changes.change_plan(customer_id, subscription_id, features, order, confirmation, world.HALF)
        if change.outcome == "pending":
            collection.collect(gateways, customer_id, change.invoice_id or "", world.HALF, BACK)

    return confirm


def _renewing(app: Flask, _shop: world.Shop) -> Step:
    """The worker's minute after the month's end: a renewal and its payment."""
    gateways = app.extensions["gateways"]
    return lambda: runner.run(gateways, world.END, lambda _id: BACK)


def _trying_again(app: Flask, shop: world.Shop) -> Step:
    """The worker's second try to collect a renewal, some days later; in between the customer left another card."""
    gateways = app.extensions["gateways"]
    runner.run(gateways, world.END, lambda _id: BACK)
    with world.transaction() as session:
        made = world.Merchant(session, world.END, session.get(world.Account, shop.customer.account_id))
        customer = session.get(world.Customer, shop.customer.id)
        assert customer is not None
        customer.default_payment_method_id = None
        made.method(customer, world.VISA)
    return lambda: runner.run(gateways, SECOND_TRY, lambda _id: BACK)


def _hearing_of_a_debit(app: Flask, _shop: world.Shop) -> Step:
    """The worker's minute in which it learns that a debit brought the money, days after the renewal."""
    gateways = app.extensions["gateways"]
    runner.run(gateways, world.END, lambda _id: BACK)
    return lambda: runner.run(gateways, DEBITED, lambda _id: BACK)


STORIES: dict[str, tuple[Any, tuple[int, ...], str, int]] = {
    # (action, times of the recovering billing runs, first card, seats at the end)
    "change": (_changing, (world.HALF,), world.VISA, 3),
    "renew": (_renewing, (world.END,), world.VISA, 1),
    "collect": (_trying_again, (SECOND_TRY,), world.FAILS, 1),
    "begin a debit": (_renewing, (world.END, DEBITED, DEBITED + 6 * 60 * 60), world.SLOW, 1),
    "hear of a debit": (_hearing_of_a_debit, (DEBITED,), world.SLOW, 1),
}


@pytest.mark.case("F1", "F2")
@pytest.mark.long
@pytest.mark.parametrize("story", STORIES)
def test_a_kill_at_any_statement_loses_and_repeats_nothing(
    app: Flask, request: pytest.FixtureRequest, story: str
) -> None:
    prepare, moments, card, seats = STORIES[story]
    everywhere = request.config.getoption("--seeds") > SEEDS
    with app.test_request_context(base_url="http://127.0.0.1:8000"):
        action = prepare(app, world.shop("Counted", card=card))
        counted = dies(action, None, everywhere=everywhere)
        assert counted
        points, events = counted
        assert events > 20
        for point in range(points):
            shop = world.shop(f"Shop{point}", card=card)
            action = prepare(app, shop)
            assert dies(action, point, everywhere=everywhere) is None
            for moment in moments:
                _recover(app, moment)
            if story == "change":
                action()  # the customer got no response and clicks again
            try:
                _done_once(shop, seats)
            except BaseException as error:
                error.add_note(f"killed before point {point} of {points}")
                raise


def _recover(app: Flask, at: int) -> None:
    """Do billing runs with another worker until the outcome of all payments is known."""
    for later in (0, 61, 130):
        runner.run(app.extensions["gateways"], at + later, lambda _id: BACK)


def _done_once(shop: world.Shop, seats: int) -> None:
    """Assert that the action was completed, and charged exactly once."""
    ledger.audit(shop.customer.account_id)
    ledger.settled(shop.customer.account_id, world.HALF)
    with reading() as reader:
        mine = Invoice.customer_id == shop.customer.id
        assert list(reader.scalars(select(Invoice.status).where(mine))) == ["paid", "paid"]
        due = reader.scalar(select(func.sum(Invoice.amount_due)).where(mine, Invoice.number.like("%-0002")))
        keys = select(PaymentAttempt.idempotency_key).where(PaymentAttempt.customer_id == shop.customer.id)
        charged = select(SandboxCharge.amount).where(
            SandboxCharge.idempotency_key.in_(keys), SandboxCharge.status == "succeeded"
        )
        assert list(reader.scalars(charged)) == [due]
        item = select(SubscriptionItem.quantity).where(SubscriptionItem.id == shop.item_id)
        assert reader.scalar(item) == seats
        changes = select(func.count()).select_from(PlanChange).where(PlanChange.customer_id == shop.customer.id)
        assert reader.scalar(changes) == (seats != 1)
        status = select(Subscription.status).where(Subscription.id == shop.subscription.id)
        assert reader.scalar(status) == "active"
