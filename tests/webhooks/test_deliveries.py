"""What an endpoint gets: each event once where nothing fails, in their order, signed; and what becomes of failures."""

import threading

import pytest
import stripe
from flask import Flask

from portal_site.billing.billing_run import clean_up
from portal_site.billing.errors import BillingError, NotFound
from portal_site.billing.models import Event, WebhookDelivery, WebhookEndpoint
from portal_site.billing.webhooks import endpoints, queue
from portal_site.billing.webhooks.queue import PATIENCE, PAUSES
from portal_site.config import LOOPBACK_NETWORKS
from portal_site.deliveries import sending
from portal_site.deliveries.connections import Sender
from tests import world
from tests.plans import plan
from tests.webhooks.conftest import AT, MOST_TURNS, Hook, hook
from tests.webhooks.many import many_events
from tests.webhooks.receiver import HANGS, HUGE, REDIRECTS, Receiver
from tests.world import reading

DAY = 24 * 60 * 60


@pytest.mark.case("E7")
def test_events_come_once_in_their_order_and_signed(shop: Hook) -> None:
    shop.happen("Ada", "Bea", "Cleo")
    shop.send()
    shop.send(AT + 60)
    assert shop.names() == ["Ada", "Bea", "Cleo"]
    delivery = shop.receiver.deliveries[0]
    event = delivery.event(shop.secret, AT)
    assert (event.type, event.api_version, event.livemode) == ("customer.created", "2026-08-26.dahlia", False)
    assert (event.pending_webhooks, event.request.id) == (1, None)
    assert delivery.headers["User-Agent"].startswith("PortalSite/")
    assert delivery.headers["Content-Type"] == "application/json; charset=utf-8"
    assert [(row.status, row.attempts, row.response_status) for row in shop.rows()] == [("succeeded", 1, 200)] * 3
    with pytest.raises(stripe.SignatureVerificationError):
        delivery.event(endpoints.roll(shop.account_id, False, shop.row.id, AT, 0).secret, AT)


@pytest.mark.case("E7")
@pytest.mark.parametrize(
    ("answer", "fault", "status"),
    [
        (500, "it answered 500", 500), (410, "it answered 410", 410), (REDIRECTS, "it answered with a redirect", 302),
        (HANGS, "it did not answer in time", None),
    ],
)  # fmt: skip
def test_a_failure_is_tried_again_and_others_go_on(
    shop: Hook, answer: int | str, fault: str, status: int | None
) -> None:
    shop.receiver.answers.append(answer)
    shop.happen("Ada", "Bea")
    shop.send(longest=0.5)
    assert shop.names() == ["Ada", "Bea"]
    assert {one.path for one in shop.receiver.deliveries} == {"/hook"}
    failed, sent = shop.rows()
    assert (failed.status, failed.fault, failed.response_status) == ("pending", fault, status)
    assert (failed.due_at, sent.status) == (AT + PAUSES[0], "succeeded")
    shop.send(AT + PAUSES[0] - 1)
    assert len(shop.receiver.deliveries) == 2
    shop.send(AT + PAUSES[0])
    assert shop.names() == ["Ada", "Bea", "Ada"]
    assert shop.receiver.deliveries[2].event(shop.secret, AT + PAUSES[0]).data.object.name == "Ada"
    assert shop.rows()[0].status == "succeeded"


def test_a_huge_answer_is_not_read_to_its_end(lite_shop: Hook) -> None:
    lite_shop.receiver.answers.append(HUGE)
    lite_shop.happen("Ada")
    lite_shop.send()
    assert [row.status for row in lite_shop.rows()] == ["succeeded"]


def test_nobody_at_the_address(lite_shop: Hook) -> None:
    endpoints.change(lite_shop.account_id, False, lite_shop.row.id, {"url": "http://127.0.0.1:1024/"}, AT)
    lite_shop.happen("Ada")
    lite_shop.send()
    assert [(row.status, row.fault) for row in lite_shop.rows()] == [("pending", "nobody answers at its address")]


def test_one_event_that_always_fails_has_72_hours(lite_shop: Hook) -> None:
    """Others come through meanwhile, so the endpoint stays on."""
    assert PATIENCE == 72 * 60 * 60
    lite_shop.happen("Ada")
    at, tries = AT, 0
    for pause in (*PAUSES, 0):
        lite_shop.receiver.answers.append(500)
        lite_shop.send(at)
        tries += 1
        lite_shop.happen("Bea")
        lite_shop.send(at)
        at += pause
    row = lite_shop.rows()[0]
    assert (row.status, row.attempts, row.tried_at, row.due_at) == ("failed", tries, AT + PATIENCE, None)
    assert (lite_shop.stored().status, lite_shop.stored().failures) == ("enabled", 0)


def _live_on(shop: Hook, until: int) -> int:
    """Let time pass from one due try to the next; the last instant."""
    at = AT
    for _ in range(200):
        row = shop.stored() if not shop.row.deleted_at else shop.row
        due = [one.due_at for one in shop.rows() if one.due_at is not None]
        if row.status != "enabled" or not due:
            return at
        at = max(at + 1, row.paused_until, min(due))
        if at > until:
            return at
        shop.send(at)
    raise AssertionError("it never ends")


@pytest.mark.case("E7")
def test_what_never_answers_rests_and_is_disabled_after_72_hours(shop: Hook) -> None:
    shop.receiver.usual = 500
    shop.happen(*(f"Customer {number}" for number in range(200)))
    shop.send()
    assert len(shop.receiver.deliveries) == queue.TOLERATED  # not each of them
    assert shop.stored().paused_until == AT + PAUSES[0]
    at = _live_on(shop, AT + 2 * PATIENCE)
    row = shop.stored()
    assert (row.status, row.gave_up_at) == ("disabled", at)
    assert AT + PATIENCE <= at <= AT + PATIENCE + queue.LONGEST_REST
    tried = len(shop.receiver.deliveries)
    assert tried < 120
    shop.receiver.usual = 200
    shop.send(at + DAY)
    assert len(shop.receiver.deliveries) == tried
    with pytest.raises(BillingError, match="disabled"):
        queue.send_again(shop.account_id, False, shop.rows()[0].event_id, shop.row.id, at)
    endpoints.change(shop.account_id, False, shop.row.id, {"disabled": False}, at)
    shop.happen("Later")
    shop.send(at)
    assert (shop.names()[-1], len(shop.receiver.deliveries)) == ("Later", tried + 1)
    assert [one.status for one in shop.rows()][-1] == "succeeded"
    assert {one.status for one in shop.rows()[:-1]} == {"failed"}


def test_what_waits_comes_as_soon_as_it_answers_again(shop: Hook) -> None:
    shop.receiver.usual = 503
    shop.happen("Ada", "Bea", "Cleo", "Dora")
    shop.send()
    shop.send(AT + 60)
    assert shop.names() == ["Ada", "Bea", "Cleo", "Ada"]
    shop.receiver.usual = 200
    shop.send(AT + 60 + PAUSES[1])
    assert sorted(shop.names()[4:]) == ["Ada", "Bea", "Cleo", "Dora"]
    assert {row.status for row in shop.rows()} == {"succeeded"}


@pytest.mark.case("E7")
def test_a_worker_that_dies_after_sending_sends_again(shop: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.happen("Ada", "Bea")
    with monkeypatch.context() as patch:
        patch.setattr(queue, "record", lambda *_: (_ for _ in ()).throw(SystemExit))
        patch.setattr(queue, "release", lambda *_: None)
        with pytest.raises(SystemExit):
            shop.send()
    assert shop.names() == ["Ada"]
    shop.send(AT + queue.CLAIM - 1)  # the claim of the dead one lasts
    assert shop.names() == ["Ada"]
    shop.send(AT + queue.CLAIM)
    assert shop.names() == ["Ada", "Ada", "Bea"]


def test_a_rolled_secret_signs_for_a_day_beside_the_new_one(lite_shop: Hook) -> None:
    made = endpoints.roll(lite_shop.account_id, False, lite_shop.row.id, AT)
    lite_shop.happen("Ada")
    lite_shop.send(AT + DAY - 1)
    first = lite_shop.receiver.deliveries[0]
    assert first.headers["Stripe-Signature"].count("v1=") == 2
    for secret in (lite_shop.secret, made.secret):
        assert first.event(secret, AT + DAY - 1).type == "customer.created"
    lite_shop.happen("Bea")
    lite_shop.send(AT + DAY)
    assert lite_shop.receiver.deliveries[1].headers["Stripe-Signature"].count("v1=") == 1
    assert lite_shop.receiver.deliveries[1].event(made.secret, AT + DAY).type == "customer.created"


@pytest.mark.parametrize("end", ["disable", "delete"])
def test_what_is_disabled_or_deleted_gets_nothing_more(shop: Hook, end: str) -> None:
    shop.receiver.usual = 500
    shop.happen("Ada")
    shop.send()
    if end == "delete":
        endpoints.delete(shop.account_id, False, shop.row.id, AT)
    else:
        endpoints.change(shop.account_id, False, shop.row.id, {"disabled": True}, AT)
    shop.happen("Bea")
    shop.send(AT + DAY)
    assert shop.names() == ["Ada"]
    clean_up.remove_old_rows(AT + 31 * DAY)
    with reading() as reader:
        assert reader.execute(WebhookDelivery.__table__.select()).all() == []
        assert len(reader.execute(WebhookEndpoint.__table__.select()).all()) == (0 if end == "delete" else 1)
        assert len(reader.execute(Event.__table__.select()).all()) > 3


def test_a_platform_gets_what_happens_to_connected_accounts(app: Flask, receiver: Receiver) -> None:
    platform = hook(receiver, connect=True)
    with world.merchant("Shop", platform_id=platform.account_id) as made:
        connected_id = made.account.id
    with world.merchant("Other") as made:
        stranger_id = made.account.id
    own = hook(receiver, platform.account_id, path="/own")
    platform.happen("Own")
    platform.happen("Theirs", account_id=connected_id)
    platform.happen("Foreign", account_id=stranger_id)
    platform.send()
    found = {one.path: one.event(secret, AT) for one, secret in zip(
        sorted(receiver.deliveries, key=lambda one: one.path), (platform.secret, own.secret), strict=True
    )}  # fmt: skip
    assert (found["/hook"].account, found["/hook"].data.object.name) == (connected_id, "Theirs")
    assert ("account" in found["/own"], found["/own"].data.object.name) == (False, "Own")
    assert sending.waiting(AT) == []


def test_only_what_is_asked_for_and_only_of_the_mode(lite_app: Flask, receiver: Receiver) -> None:
    every = hook(receiver, enabled_events=["*"])
    every.happen("Ada")
    endpoints.roll(every.account_id, False, every.row.id, AT)  # for the log only
    for livemode in (False, True):
        world_customer = {"name": "Live"} if livemode else {"name": "Bea"}
        from portal_site.billing.customers import customers

        customers.create(every.account_id, livemode, world_customer, AT)
    every.send()
    assert every.names() == ["Ada", "Bea"]


def test_an_event_is_sent_again(lite_shop: Hook) -> None:
    lite_shop.happen("Ada")
    lite_shop.send()
    event_id = lite_shop.rows()[0].event_id
    queue.send_again(lite_shop.account_id, False, event_id, lite_shop.row.id, AT + 5)
    lite_shop.send(AT + 5)
    assert lite_shop.names() == ["Ada", "Ada"]
    assert [(row.status, row.attempts) for row in lite_shop.rows()] == [("succeeded", 1)]
    other = hook(lite_shop.receiver)
    with pytest.raises(NotFound):
        queue.send_again(other.account_id, False, event_id, other.row.id, AT)


def test_a_turn_that_is_stopped_counts_no_failure(lite_shop: Hook) -> None:
    lite_shop.happen("Ada")
    sender = Sender(LOOPBACK_NETWORKS)
    sender.stop()
    assert not sending.take_turn(sender, lite_shop.row.id, AT)
    assert (lite_shop.rows(), lite_shop.stored().claimed_until, lite_shop.stored().failures) == ([], 0, 0)


def test_many_events_come_in_several_turns(lite_shop: Hook) -> None:
    names = [f"Customer {number}" for number in range(queue.NEW_AT_ONCE + 3)]
    lite_shop.happen(*names)
    assert sending.take_turn(Sender(LOOPBACK_NETWORKS), lite_shop.row.id, AT)
    lite_shop.send()
    assert lite_shop.names() == names
    assert MOST_TURNS > 2


def test_four_workers_send_each_event_once(app: Flask, shop: Hook) -> None:
    names = [f"Customer {number}" for number in range(30)]
    shop.happen(*names)
    faults: list[BaseException] = []

    def work() -> None:
        try:
            with app.app_context():
                shop.send()
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    shop.send()
    assert faults == []
    assert shop.names() == names


def test_the_queries_have_their_indexes(shop: Hook) -> None:
    newer = hook(shop.receiver, shop.account_id)
    newer.receiver.usual = 500
    newer.happen("Ada", "Bea")
    newer.send()
    for account_id in (shop.account_id, hook(shop.receiver).account_id, hook(shop.receiver).account_id):
        many_events(account_id, 2000, AT)
    row = newer.stored()
    assert "ix_webhook_deliveries_due" in plan(queue.retries(row, AT), "webhook_deliveries", unused=True)
    assert "ix_webhook_deliveries_endpoint_id" in plan(queue.last_of(row, 20), "webhook_deliveries", unused=True)
    new = plan(queue.after(row), "events", unused=True)
    # PostgreSQL may as well take the index of all events.
    assert "ix_events_account_id_sequence" in new or "uq_events_sequence" in new
    assert "Sort" not in new
    looked_at = plan(queue.waiting(AT), "webhook_deliveries", unused=True)
    assert "ix_webhook_deliveries_due" in looked_at
    assert "ix_events_account_id_sequence" in looked_at or "uq_events_sequence" in looked_at
