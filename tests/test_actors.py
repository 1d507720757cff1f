"""Who acts: each entry names its actor, the events of what it does carry it, and nothing changes anything without one."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from portal_site import clock, worker
from portal_site.billing.customers import billing_information
from portal_site.billing.events import actors
from portal_site.billing.events.actors import Actor, ActorType, acting_as, current_actor
from portal_site.billing.gateways.sandbox.models import SandboxCharge
from portal_site.billing.importing import importer
from portal_site.billing.models import Event, Invoice, TestClock
from portal_site.db import db
from tests import world
from tests.client import PortalClient
from tests.conftest import TESTER, Visit
from tests.scenarios.history import History
from tests.test_cli import EXPORT, Portal
from tests.world import reading


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function: from its call on there is no actor but those that entries name, as in production."""
    return lambda: monkeypatch.setattr(actors, "_actor", ContextVar("actor"))


@contextmanager
def _new_events() -> Iterator[list[tuple[str, str | None, str | None]]]:
    """The events that the block writes, as (type, actor type, actor id), filled in at its end."""
    query = select(Event.type, Event.actor_type, Event.actor_id).order_by(Event.sequence)
    found: list[tuple[str, str | None, str | None]] = []
    with reading() as reader:
        before = len(reader.execute(query).all())
    yield found
    db.session.remove()
    with reading() as reader:
        found += [(row.type, row.actor_type, row.actor_id) for row in reader.execute(query).all()[before:]]


def _actors(found: list[tuple[str, str | None, str | None]]) -> set[tuple[str | None, str | None]]:
    return {(kind, actor_id) for _, kind, actor_id in found}


def test_emitting_without_an_actor_is_refused(app: Flask, nobody: Any) -> None:
    customer = world.scene().customer
    nobody()
    with _new_events() as found, pytest.raises(RuntimeError, match="nobody acts"):
        billing_information.update_billing_information(customer.id, {"name": "New"}, clock.now())
    assert found == []


def test_the_innermost_actor_counts_until_its_block_ends(nobody: Any) -> None:
    nobody()
    with acting_as(ActorType.OPERATOR):
        with acting_as(ActorType.API_KEY, "key_one"):
            assert current_actor() == Actor(ActorType.API_KEY, "key_one")
        assert current_actor() == Actor(ActorType.OPERATOR)
    with pytest.raises(RuntimeError), acting_as(ActorType.USER, "usr_one"):
        raise RuntimeError
    with pytest.raises(RuntimeError, match="nobody acts"):
        current_actor()


def test_a_new_thread_has_no_actor(nobody: Any) -> None:
    nobody()
    seen: list[Exception] = []

    def ask() -> None:
        try:
            current_actor()
        except RuntimeError as error:
            seen.append(error)

    with acting_as(ActorType.OPERATOR):
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
    assert len(seen) == 1


def test_a_request_to_the_portal_is_its_customers(visit: Visit, nobody: Any) -> None:
    customer = world.scene().customer
    client = visit(customer)
    nobody()
    with _new_events() as found:
        page = "/billing-information/edit"
        assert client.send(page, {**client.form(page), "name": "Berg & Co"}).status_code == 303
    assert found == [("customer.updated", "customer", customer.id)]
    with pytest.raises(RuntimeError, match="nobody acts"):  # the thread is nobody's again
        current_actor()


def test_a_request_that_fails_leaves_no_actor_behind(
    app: Flask, visit: Visit, nobody: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = visit(world.scene().customer)
    nobody()
    monkeypatch.setitem(app.view_functions, "portal.show_overview", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        client.get("/")
    assert client.get("/no-such-page").status_code == 404
    with pytest.raises(RuntimeError, match="nobody acts"):
        current_actor()


def _pay(client: PortalClient) -> None:
    with reading() as reader:
        invoice_id = reader.scalar(select(Invoice.id).where(Invoice.status == "open"))
    address = f"/invoices/{invoice_id}/payment"
    assert client.send(address, client.form(address)).status_code == 303


def test_a_payments_events_have_the_customer_as_actor_and_renewals_the_worker(
    app: Flask, visit: Visit, nobody: Any
) -> None:
    scene = world.scene(last="open")
    client = visit(scene.customer)
    nobody()
    with _new_events() as found:
        _pay(client)
    assert {"invoice.paid", "charge.succeeded", "customer.subscription.updated"} <= {kind for kind, *_ in found}
    assert _actors(found) == {("customer", scene.customer.id)}
    with _new_events() as found:
        worker.tick(app, clock.now() + 40 * 24 * 60 * 60)
    assert {"invoice.created", "invoice.paid", "charge.succeeded"} <= {kind for kind, *_ in found}
    assert _actors(found) == {("worker", None)}


def test_advancing_a_clock_has_the_operator_as_actor_and_its_billing_the_worker(app: Flask) -> None:
    history = History.start(app)
    with _new_events() as found:
        history.advance_to("2026-05-01")
    clocks = [event for event in found if event[0].startswith("test_helpers.")]
    assert {"invoice.paid", "charge.succeeded"} <= {kind for kind, *_ in found}
    assert _actors([event for event in found if event not in clocks]) == {("worker", None)}
    assert _actors(clocks) == {(TESTER.type, TESTER.id)}


def test_a_payment_settled_by_an_event_has_the_provider_as_actor(app: Flask, nobody: Any) -> None:
    history = History.start(app)
    history.add_card(world.SLOW)
    history.advance_to("2026-05-01")
    history.settle_debits()
    nobody()
    with reading() as reader:
        reference = str(reader.scalar(select(SandboxCharge.reference)))
    headers, body = app.extensions["gateways"].shared("sandbox").make_event("charge.succeeded", reference)
    with _new_events() as found:
        assert app.test_client().post("/gateways/sandbox/events", data=body, headers=headers).status_code == 200
    assert "invoice.paid" in {kind for kind, *_ in found}
    assert _actors(found) == {("provider", "sandbox")}


@pytest.fixture
def portal(tmp_path: Path) -> Portal:
    """The command on a folder of its own, with one customer."""
    portal = Portal(tmp_path)
    portal.with_database()
    (tmp_path / "export.json").write_text(EXPORT)
    assert portal("import", str(tmp_path / "export.json")).returncode == 0
    return portal


def test_commands_have_the_operator_as_actor(portal: Portal, nobody: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody()
    seen = []
    write = TestClock.__init__
    monkeypatch.setattr(
        TestClock, "__init__", lambda *args, **columns: seen.append(current_actor()) or write(*args, **columns)
    )
    assert portal("clock", "create", "--at", "2026-01-31").returncode == 0
    assert seen == [Actor(ActorType.OPERATOR)]


def test_an_import_acts_for_itself(
    portal: Portal, tmp_path: Path, nobody: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody()
    seen = []
    take = importer.import_objects
    monkeypatch.setattr(
        importer, "import_objects", lambda *args, **options: seen.append(current_actor()) or take(*args, **options)
    )
    assert portal("import", str(tmp_path / "export.json")).returncode == 0
    assert seen == [Actor(ActorType.IMPORT)]
