"""Many endpoints at once: what is slow or does not answer holds up no other, and the threads end with the worker."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import time_machine
from flask import Flask

from portal_site.config import LOOPBACK_NETWORKS
from portal_site.deliveries import lanes
from portal_site.deliveries.lanes import QUICK, SLOW, Dispatcher
from tests.webhooks.conftest import AT, hook
from tests.webhooks.receiver import Receiver

SOON = 5  # seconds: half of what a try may take


@contextmanager
def _running(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[Dispatcher]:
    monkeypatch.setitem(app.config, "SETTINGS", replace(app.config["SETTINGS"], webhook_networks=LOOPBACK_NETWORKS))
    monkeypatch.setattr(lanes, "EVERY", 0.05)
    dispatcher = Dispatcher(app, threading.Event(), every=0.05)
    thread = threading.Thread(target=dispatcher.run, daemon=True)
    thread.start()
    try:
        yield dispatcher
    finally:
        dispatcher.halt()
        thread.join(SOON)
    assert not thread.is_alive()


@pytest.mark.case("E9")
def test_endpoints_that_hang_hold_up_no_other(
    lite_app: Flask, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with time_machine.travel(AT, tick=True):
        first = hook(receiver, path="/hangs")
        hanging = [first, *(hook(receiver, first.account_id, path="/hangs") for _ in range(9))]
        for each in hanging:  # they have failed before
            _mark_slow(each.account_id)
        good = hook(receiver, path="/good")
        first.happen("Ada")
        good.happen("Bea", "Cleo")
        with _running(lite_app, monkeypatch):
            receiver.wait_for(SLOW, "/hangs")
            began = time.monotonic()
            receiver.wait_for(2, "/good")
            good.happen("Dora")
            receiver.wait_for(3, "/good")
            assert time.monotonic() - began < SOON
            ended = time.monotonic()
        assert time.monotonic() - ended < SOON  # nobody waits for those that hang
        assert first.rows() == []  # what was cut off counts as no failure
        assert {row.status for row in good.rows()} == {"succeeded"}
    assert QUICK + SLOW == 16


def _mark_slow(account_id: str) -> None:
    from sqlalchemy import update

    from portal_site.billing.models import WebhookEndpoint
    from portal_site.db.transactions import transaction

    with transaction() as session:
        session.execute(update(WebhookEndpoint).where(WebhookEndpoint.account_id == account_id).values(failures=1))


def test_the_dispatcher_goes_on_after_a_fault(
    lite_app: Flask, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with time_machine.travel(AT, tick=True):
        shop = hook(receiver)
        faults = iter([RuntimeError("once")])
        real = lanes.sending.waiting

        def fail_once(at: int) -> list[lanes.Waiting]:
            for fault in faults:
                raise fault
            return real(at)

        monkeypatch.setattr(lanes.sending, "waiting", fail_once)
        shop.happen("Ada")
        with _running(lite_app, monkeypatch):
            receiver.wait_for(1)
