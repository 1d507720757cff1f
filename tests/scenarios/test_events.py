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
from tests.scenarios.life import Life
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
Told = list[str | tuple[str, set[str]]]


def _told(life: Life, since: int) -> Told:
    """The events after the first `since`: each by its type, with the names of the members that were different."""
    found: Told = []
    for kind, data in _events(life)[since:]:
        before = data.get("previous_attributes")
        found.append((kind, set(before)) if before else kind)
    return found


def _events(life: Life) -> list[Any]:
    db.session.remove()
    with reading() as reader:
        mine = Event.account_id == life.shop.customer.account_id
        query = select(Event.type, Event.data).where(mine, Event.type.not_like("test_helpers.%"))
        return list(reader.execute(query.order_by(Event.created, Event.id)))


def _upgrade(life: Life) -> None:
    life.changes(quantity=3)


def _credit(life: Life) -> None:
    life.changes("solo")


def _code(life: Life) -> None:
    life.changes(quantity=3, code=life.code(percent_off="50", duration="once"))


def _plan(life: Life) -> None:
    life.changes("solo")


def _undo(life: Life) -> None:
    life.takes_it_back()


def _renew(life: Life) -> None:
    life.goes_to("2026-05-01")


def _declined(life: Life) -> None:
    life.gets_a_card(world.FAILS)
    life.changes(quantity=3)


def _asked(life: Life) -> None:
    life.gets_a_card(world.ASKS)
    life.changes(quantity=3)


def _paid_later(life: Life) -> None:
    life.gets_a_card()
    life.pays()


def _given_up(life: Life) -> None:
    life.goes_to("2026-04-17 12:00:00")


def _cancel(life: Life) -> None:
    life.cancels()


def _keep(life: Life) -> None:
    life.keeps()


def _pause(life: Life) -> None:
    life.pauses("month")


def _resume(life: Life) -> None:
    life.resumes()


@pytest.mark.parametrize(
    ("policy", "before", "action", "told"),
    [
        pytest.param({}, [], _upgrade, [
            *INVOICED, (UPDATED, {"latest_invoice", "pending_update"}), *COLLECTED, (UPDATED, {"items", "pending_update"}),
            "customer.subscription.pending_update_applied",
        ], id="upgrade"),
        pytest.param({}, [], _credit, [
            *INVOICED, *PAID, ("customer.updated", {"balance"}), (UPDATED, {"items", "latest_invoice"}),
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
        pytest.param({}, [], _asked, [
            *INVOICED, (UPDATED, {"latest_invoice", "pending_update"}), BEGUN, "payment_intent.requires_action",
            "invoice.payment_action_required", "invoice.payment_failed",
        ], id="asked to confirm"),
        pytest.param({}, [_declined], _paid_later, [
            *TAKEN, *PAID, "invoice_payment.paid", (UPDATED, {"items", "pending_update"}),
            "customer.subscription.pending_update_applied",
        ], id="paid later"),
        pytest.param({}, [_declined], _given_up, [
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
def test_each_thing_that_happens_is_told_in_order(
    app: Flask,
    policy: dict[str, Any],
    before: list[Callable[[Life], None]],
    action: Callable[[Life], None],
    told: Told,
) -> None:
    life = Life.begins(app, policy=policy).goes_to("2026-04-16")
    for step in before:
        step(life)
    known = len(_events(life))
    action(life)
    assert _told(life, known) == told


@pytest.mark.both_databases
def test_a_subscription_is_told_as_the_same_object_everywhere(app: Flask) -> None:
    life = Life.begins(app).goes_to("2026-04-16")
    life.changes(quantity=3)
    life.goes_to("2026-05-01")
    life.cancels()
    told = [data["object"] for kind, data in _events(life) if kind == UPDATED]
    assert len({frozenset(document) for document in told}) == 1
    assert len({frozenset(item) for document in told for item in document["items"]["data"]}) == 1


@pytest.mark.both_databases
def test_a_payment_is_told_as_one_intent_with_a_charge_for_each_try(app: Flask) -> None:
    life = Life.begins(app).goes_to("2026-04-16")
    _declined(life)
    _paid_later(life)
    told = {kind: data["object"] for kind, data in _events(life)}
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


def test_who_does_not_confirm_at_the_bank_is_not_charged_there(app: Flask) -> None:
    life = Life.begins(app).goes_to("2026-04-16")
    _asked(life)
    known = len(_events(life))
    life.gets_a_card()
    life.pays()
    assert _told(life, known)[:3] == ["payment_intent.payment_failed", *TAKEN]
    error = next(data["object"] for kind, data in _events(life) if kind == "payment_intent.payment_failed")
    assert error["last_payment_error"]["code"] == "payment_intent_authentication_failure"
    assert error["latest_charge"] is None


@pytest.mark.skipif(not NAMES.exists(), reason="the field's list of events is not here")
def test_every_name_is_one_of_the_fields() -> None:
    known = {line.split()[0] for line in NAMES.read_text().splitlines() if line.strip()}
    source = Path(__file__).parents[2] / "portal_site" / "billing"
    text = "\n".join(path.read_text() for path in source.rglob("*.py"))

    owners = "charge|customer|invoice|invoice_payment|invoiceitem|payment_intent|payment_method|subscription_schedule"
    used = set(re.findall(rf'"((?:{owners})\.[a-z_.]+)"', text))
    assert used
    assert used <= known
