"""Events: for each operation Stripe's events, in order, with the previous attributes."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from portal_site.billing.models import Event
from portal_site.db import db
from tests import world
from tests.conftest import SHARED
from tests.scenarios.history import History
from tests.world import reading

NAMES = SHARED / "events.txt"
UPDATED, INVOICED = "customer.subscription.updated", ["invoice.created", "invoice.finalized"]
BEGUN = "payment_intent.created"
TAKEN = ["charge.succeeded", "payment_intent.succeeded"]
PAID = ["invoice.paid", "invoice.payment_succeeded"]  # by credit alone, too
COLLECTED = [BEGUN, *TAKEN, *PAID, "invoice_payment.paid"]
FAILED = ["charge.failed", "payment_intent.payment_failed", "invoice.payment_failed"]
DOWN = {"schedule_at_period_end": ("decreasing_item_amount",)}
WAITING = {"proration_behavior": "create_prorations"}
Emitted = list[str | tuple[str, set[str]]]


def _emitted(history: History, since: int) -> Emitted:
    """The events after the first `since`: each by its type, with the names of the members that were different."""
    found: Emitted = []
    for kind, data in _events(history)[since:]:
        before = data.get("previous_attributes")
        found.append((kind, set(before)) if before else kind)
    return found


def _events(history: History) -> list[Any]:
    db.session.remove()
    with reading() as reader:
        mine = Event.account_id == history.shop.customer.account_id
        query = select(Event.type, Event.data).where(mine, Event.type.not_like("test_helpers.%"))
        return list(reader.execute(query.order_by(Event.created, Event.id)))


def _upgrade(history: History) -> None:
    history.change_plan(quantity=3)


def _credit(history: History) -> None:
    history.change_plan("solo")


def _code(history: History) -> None:
    history.change_plan(quantity=3, code=history.create_code(percent_off="50", duration="once"))


def _plan(history: History) -> None:
    history.change_plan("solo")


def _undo(history: History) -> None:
    history.undo_planned_change()


def _renew(history: History) -> None:
    history.advance_to("2026-05-01")


def _declined(history: History) -> None:
    history.add_card(world.FAILS)
    history.change_plan(quantity=3)


def _awaiting_authentication(history: History) -> None:
    history.add_card(world.ASKS)
    history.change_plan(quantity=3)


def _paid_later(history: History) -> None:
    history.add_card()
    history.pay()


def _abandoned(history: History) -> None:
    history.advance_to("2026-04-17 12:00:00")


def _cancel(history: History) -> None:
    history.cancel()


def _keep(history: History) -> None:
    history.undo_cancellation()


def _pause(history: History) -> None:
    history.pause("month")


def _resume(history: History) -> None:
    history.resume()


@pytest.mark.parametrize(
    ("policy", "before", "action", "told"),
    [
        pytest.param({}, [], _upgrade, [
            *INVOICED, (UPDATED, {"latest_invoice", "pending_update"}), *COLLECTED, (UPDATED, {"items", "pending_update"}),
            "customer.subscription.pending_update_applied",
        ], id="upgrade"),
        pytest.param({}, [], _credit, [
            *INVOICED, *PAID, ("customer.updated", {"balance", "invoice_credit_balance"}), (UPDATED, {"items", "latest_invoice"}),
        ], id="credit to the balance"),
        pytest.param({}, [], _code, [
            *INVOICED, (UPDATED, {"latest_invoice", "pending_update"}), *COLLECTED, "customer.discount.created",
            "customer.discount.deleted", (UPDATED, {"items", "pending_update"}),
            "customer.subscription.pending_update_applied",
        ], id="code for one invoice"),
        pytest.param(WAITING, [], _upgrade, [
            "invoiceitem.created", "invoiceitem.created", (UPDATED, {"items"}),
        ], id="lines for the next invoice"),
        pytest.param(DOWN, [], _plan, ["subscription_schedule.created", (UPDATED, {"schedule"})], id="planned change"),
        pytest.param(DOWN, [_plan], _undo, ["subscription_schedule.released", (UPDATED, {"schedule"})], id="undo"),
        pytest.param(DOWN, [_plan], _renew, [
            (UPDATED, {"items"}), ("subscription_schedule.updated", {"current_phase"}), "subscription_schedule.released",
            *INVOICED, (UPDATED, {"items", "latest_invoice"}), *COLLECTED,
        ], id="planned change comes"),
        pytest.param({}, [], _renew, [*INVOICED, (UPDATED, {"items", "latest_invoice"}), *COLLECTED], id="renewal"),
        pytest.param({}, [], _declined, [
            *INVOICED, (UPDATED, {"latest_invoice", "pending_update"}), BEGUN, *FAILED,
        ], id="declined"),
        pytest.param({}, [], _awaiting_authentication, [
            *INVOICED, (UPDATED, {"latest_invoice", "pending_update"}), BEGUN, "payment_intent.requires_action",
            "invoice.payment_action_required", "invoice.payment_failed",
        ], id="asked to confirm"),
        pytest.param({}, [_declined], _paid_later, [
            *TAKEN, *PAID, "invoice_payment.paid", (UPDATED, {"items", "pending_update"}),
            "customer.subscription.pending_update_applied",
        ], id="paid later"),
        pytest.param({}, [_declined], _abandoned, [
            "invoice.voided", "payment_intent.canceled", (UPDATED, {"pending_update"}),
            "customer.subscription.pending_update_expired",
        ], id="never paid"),
        pytest.param({}, [], _cancel, [
            (UPDATED, {"cancel_at", "cancel_at_period_end", "canceled_at", "cancellation_details"}),
        ], id="cancel"),
        pytest.param({}, [_cancel], _keep, [
            (UPDATED, {"cancel_at", "cancel_at_period_end", "canceled_at", "cancellation_details"}),
        ], id="keep"),
        pytest.param({}, [_cancel], _renew, [("customer.subscription.deleted", {"ended_at", "status"})], id="end"),
        pytest.param({}, [], _pause, [
            "invoiceitem.created", ("customer.subscription.paused", {"status"}),
        ], id="pause"),
        pytest.param({}, [_pause], _resume, [
            *INVOICED, (UPDATED, {"latest_invoice", "pending_update"}), *COLLECTED, "customer.subscription.resumed",
            (UPDATED, {"billing_cycle_anchor", "items", "pending_update", "status"}),
            "customer.subscription.pending_update_applied",
        ], id="resumption"),
    ],
)  # fmt: skip
@pytest.mark.both_databases
def test_operations_emit_their_events_in_order(
    app: Flask,
    policy: dict[str, Any],
    before: list[Callable[[History], None]],
    action: Callable[[History], None],
    told: Emitted,
) -> None:
    history = History.start(app, policy=policy).advance_to("2026-04-16")
    for step in before:
        step(history)
    known = len(_events(history))
    action(history)
    assert _emitted(history, known) == told


@pytest.mark.both_databases
def test_subscription_events_have_one_object_shape(app: Flask) -> None:
    history = History.start(app).advance_to("2026-04-16")
    history.change_plan(quantity=3)
    history.advance_to("2026-05-01")
    history.cancel()
    told = [data["object"] for kind, data in _events(history) if kind == UPDATED]
    assert len({frozenset(document) for document in told}) == 1
    assert len({frozenset(item) for document in told for item in document["items"]["data"]}) == 1


@pytest.mark.both_databases
def test_a_payment_emits_one_intent_with_a_charge_per_attempt(app: Flask) -> None:
    history = History.start(app).advance_to("2026-04-16")
    _declined(history)
    _paid_later(history)
    told = {kind: data["object"] for kind, data in _events(history)}
    failed, intent, paid = (
        told[name] for name in ("charge.failed", "payment_intent.succeeded", "invoice_payment.paid")
    )
    assert {failed["payment_intent"], told["charge.succeeded"]["payment_intent"]} == {intent["id"]}
    assert paid["payment"] == {"type": "payment_intent", "payment_intent": intent["id"]}
    assert paid["invoice"] == told["invoice.paid"]["id"]
    assert failed["id"] != told["charge.succeeded"]["id"] == intent["latest_charge"]
    assert (failed["paid"], failed["amount"], failed["amount_captured"]) == (False, 1000, 0)
    assert (intent["status"], intent["amount"], intent["amount_received"]) == ("succeeded", 1000, 1000)
    error = told["payment_intent.payment_failed"]["last_payment_error"]
    assert (error["code"], error["decline_code"]) == ("card_declined", "card_declined")


def test_an_unauthenticated_payment_is_canceled_at_the_provider(app: Flask) -> None:
    history = History.start(app).advance_to("2026-04-16")
    _awaiting_authentication(history)
    known = len(_events(history))
    history.add_card()
    history.pay()
    assert _emitted(history, known)[:3] == ["payment_intent.payment_failed", *TAKEN]
    error = next(data["object"] for kind, data in _events(history) if kind == "payment_intent.payment_failed")
    assert error["last_payment_error"]["code"] == "payment_intent_authentication_failure"
    assert error["latest_charge"] is None


@pytest.mark.skipif(not NAMES.exists(), reason="the field's list of events is not here")
def test_every_event_type_is_one_of_stripes() -> None:
    known = {line.split()[0] for line in NAMES.read_text().splitlines() if line.strip()}
    source = Path(__file__).parents[2] / "portal_site" / "billing"
    text = "\n".join(path.read_text() for path in source.rglob("*.py"))

    owners = (
        "charge|coupon|customer|invoice|invoice_payment|invoiceitem|payment_intent|payment_method|price|product|promotion_code|"
        "subscription_schedule|tax_rate"
    )
    used = set(re.findall(rf'"((?:{owners})\.[a-z_.]+)"', text))
    assert used
    assert used - {"charge.dispute"} <= known  # what Stripe's events of disputes begin with
