"""An outside cause stops a billing run, is told by `portal check`, and is forgotten once it is gone; no row is blamed for it."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask import Flask
from sqlalchemy import event, func, select, text, update
from sqlalchemy.exc import OperationalError

from portal_site import clock, worker
from portal_site.billing.billing_run import due_pages, parking, renewal_batch, runner
from portal_site.billing.billing_run.failures import RunStopped
from portal_site.billing.errors import GatewayUnavailable
from portal_site.billing.models import Invoice, PaymentAttempt, Subscription, SubscriptionItem
from portal_site.billing.payments import collection
from portal_site.cli import checks, groups
from portal_site.db import db, migrations
from tests import world
from tests.conftest import enter, make_app
from tests.world import reading

LATER = world.END + 60
Cause = Callable[[], Any]


def _execute(*statements: str) -> None:
    db.session.remove()
    with db.engine.begin() as connection:
        for statement in statements:
            connection.execution_options(unscoped="the test is the cause").execute(text(statement))


@contextmanager
def _statements(*begin: str, end: str) -> Iterator[None]:
    _execute(*begin)
    try:
        yield
    finally:
        _execute(end)


@contextmanager
def _no_invoices() -> Iterator[None]:
    """Somebody's trigger: what is written already can still be changed."""
    if db.engine.dialect.name == "sqlite":
        refuse = "CREATE TRIGGER no_room BEFORE INSERT ON invoices BEGIN SELECT RAISE(ABORT, 'no room'); END"
        with _statements(refuse, end="DROP TRIGGER no_room"):
            yield
        return
    function = (
        "CREATE FUNCTION no_room() RETURNS trigger AS $$ BEGIN RAISE EXCEPTION 'no room'; END $$ LANGUAGE plpgsql"
    )
    trigger = "CREATE TRIGGER no_room BEFORE INSERT ON invoices FOR EACH ROW EXECUTE FUNCTION no_room()"
    with _statements(function, trigger, end="DROP FUNCTION no_room CASCADE"):
        yield


@contextmanager
def _an_older_schema() -> Iterator[None]:
    with _statements(
        "ALTER TABLE invoices RENAME COLUMN cycle_at TO cycle",
        end="ALTER TABLE invoices RENAME COLUMN cycle TO cycle_at",
    ):
        yield


@contextmanager
def _no_writes() -> Iterator[None]:
    lite = db.engine.dialect.name == "sqlite"

    def prepare(connection: Any, *_rest: Any) -> None:
        connection.execute("PRAGMA query_only=ON" if lite else "SET default_transaction_read_only = on")
        if not lite:
            connection.commit()

    def anew() -> None:
        db.session.remove()
        db.engine.dispose()

    anew()
    event.listen(db.engine, "connect", prepare)
    try:
        yield
    finally:
        event.remove(db.engine, "connect", prepare)
        anew()


def _billed() -> int:
    db.session.remove()
    with reading() as reader:
        return reader.scalar(select(func.count()).select_from(Invoice).where(Invoice.cycle_at == world.END)) or 0


def _blamed() -> set[Any]:
    with reading() as reader:
        return set(map(tuple, reader.execute(select(Subscription.billing_failures, Subscription.billing_error))))


def _check(monkeypatch: pytest.MonkeyPatch) -> str:
    """What `portal check` says of workers, billing and payments."""
    said: list[str] = []
    with monkeypatch.context() as listening:
        listening.setattr("click.echo", lambda words, **_: said.append(words))
        with suppress(SystemExit):
            checks._check_worker()
    return "\n".join(said)


@pytest.mark.case("F21")
@pytest.mark.parametrize("cause", [_no_invoices, _an_older_schema, _no_writes])
def test_a_common_cause_parks_no_subscription(app: Flask, monkeypatch: pytest.MonkeyPatch, cause: Cause) -> None:
    for number in range(6):
        world.shop(f"Shop{number}")
    monkeypatch.setattr(clock, "now", lambda: LATER)
    with cause():
        for _ in range(5):
            with pytest.raises(Exception, match=r"no room|cycle_at|readonly|read-only"):
                worker.tick(app, LATER)
        told = "database: takes no writes: " if cause is _no_writes else "the last run stopped: "
        assert told in _check(monkeypatch)
    assert (_billed(), _blamed()) == (0, {(0, None)})
    worker.tick(app, LATER)
    assert (_billed(), _blamed()) == (6, {(0, None)})
    assert "stopped" not in _check(monkeypatch)


@pytest.mark.case("F21")
def test_a_failing_database_stops_a_run(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fills up fails what is next, whatever went well before."""
    for number in range(6):
        world.shop(f"Shop{number}")
    monkeypatch.setitem(runner.BATCH, db.engine.dialect.name, 2)
    full = iter((False, True))  # after the first batch's invoices

    def fill(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if "INSERT INTO invoices" in statement and next(full, True):
            raise OperationalError(statement, None, sqlite3.OperationalError("database or disk is full"))

    event.listen(db.engine, "before_cursor_execute", fill)
    try:
        with pytest.raises(OperationalError, match="disk is full"):
            worker.tick(app, LATER)
    finally:
        event.remove(db.engine, "before_cursor_execute", fill)
    assert (_billed(), _blamed()) == (2, {(0, None)})
    worker.tick(app, LATER)
    assert (_billed(), _blamed()) == (6, {(0, None)})


@pytest.mark.case("F21")
@pytest.mark.parametrize("error", [KeyError("id"), ValueError("bad json"), RuntimeError("library"), SystemError("c")])
def test_an_error_in_a_providers_library_parks_nothing_and_is_reported(
    app: Flask, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    for number in range(8):
        world.shop(f"Shop{number}")
    calls: list[object] = []

    def fail(*given: object) -> object:
        calls.append(given)
        raise error

    gateway = app.extensions["gateways"].shared("sandbox")
    with monkeypatch.context() as broken:
        broken.setattr(gateway, "charge", fail)
        broken.setattr(gateway, "find_charge", fail)
        for minute in range(0, 60, 4):
            calls.clear()
            worker.tick(app, LATER + minute * 60)
            assert len(calls) == 5  # it is not asked for all of them
        monkeypatch.setattr(clock, "now", lambda: LATER + 56 * 60)
        assert f"sandbox does not answer: {type(error).__name__}" in _check(monkeypatch)
    assert (_billed(), _blamed()) == (8, {(0, None)})
    for minute in (60, 61, 62):
        worker.tick(app, LATER + minute * 60)
    with reading() as reader:
        assert set(reader.scalars(select(Invoice.status))) == {"paid"}
        assert set(reader.scalars(select(PaymentAttempt.status))) == {"succeeded"}
    monkeypatch.setattr(clock, "now", lambda: LATER + 62 * 60)
    assert "does not answer" not in _check(monkeypatch)


def test_a_single_lost_answer_is_not_reported(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    world.shop()

    def lose(*_given: object) -> object:
        raise GatewayUnavailable("lost")

    monkeypatch.setattr(app.extensions["gateways"].shared("sandbox"), "charge", lose)
    assert worker.tick(app, LATER).fault is None


def _poison(monkeypatch: pytest.MonkeyPatch, *ids: str) -> None:
    rule = renewal_batch.renew

    def choke(snapshot: Any, *given: Any) -> Any:
        if snapshot.id in ids:
            raise ValueError("a price without a currency")
        return rule(snapshot, *given)

    monkeypatch.setattr(renewal_batch, "renew", choke)


@pytest.mark.case("F11")
def test_more_failures_than_a_batch_do_not_delay_the_others(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """One merchant's broken price, due before everybody else: the others are billed, and only then is it held against it."""
    shops = [world.shop(f"Shop{number}") for number in range(9)]
    bad = [shop.subscription.id for shop in shops[:5]]
    earlier = world.END - 1
    with world.transaction() as session:
        everybody = {"execution_options": {"unscoped": "those of the first merchants"}}
        due = update(Subscription).where(Subscription.id.in_(bad)).values(due_at=earlier, billing_cycle_anchor=earlier)
        items = update(SubscriptionItem).where(SubscriptionItem.subscription_id.in_(bad))
        for late in (due, items.values(current_period_end=earlier)):
            session.execute(late, **everybody)
    _poison(monkeypatch, *bad)
    monkeypatch.setitem(runner.BATCH, db.engine.dialect.name, 5)
    for number in range(parking.MOST_FAILURES):
        worker.tick(app, LATER + number * parking.RETRY)
    assert _billed() == 4
    assert {name for name, _ in parking.parked()} == set(bad)
    assert parking.unpark_all(LATER, "another cause") == 0
    monkeypatch.undo()
    assert parking.unpark_all(LATER + 3600, "without a currency") == 5
    worker.tick(app, LATER + 3600)
    assert parking.count_parked() == 0
    with reading() as reader:
        assert set(reader.scalars(select(Subscription.due_at <= LATER + 3600))) == {False}


@pytest.mark.case("F11", "F21")
def test_more_uncollectable_invoices_than_a_page_do_not_delay_the_others(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of one merchant come first, and its provider's library raises: every other invoice is tried in the same run."""
    monkeypatch.setattr(due_pages, "PAGE", 3)
    shops = [world.shop(f"Shop{number}") for number in range(11)]
    bad = {shop.customer.id for shop in shops[:7]}
    begin = collection.begin_collection

    def choke(gateways: Any, customer_id: str, *rest: Any, **more: Any) -> Any:
        if customer_id in bad:
            raise ValueError("an amount without a currency")
        return begin(gateways, customer_id, *rest, **more)

    monkeypatch.setattr(collection, "begin_collection", choke)
    with world.transaction() as session:
        later = Subscription.customer_id.not_in(bad)
        session.execute(
            update(Subscription).where(later).values(due_at=LATER), execution_options={"unscoped": "all merchants'"}
        )
    report = worker.tick(app, LATER)
    assert (report.collected, report.failed) == (11, 7)
    with reading() as reader:
        paid = select(Invoice.customer_id).where(Invoice.cycle_at.is_not(None), Invoice.status == "paid")
        assert set(reader.scalars(paid)) >= {shop.customer.id for shop in shops[7:]}


@pytest.mark.case("F11", "F21")
def test_more_unresolvable_payments_than_a_page_do_not_delay_the_others(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(due_pages, "PAGE", 2)
    gateway = app.extensions["gateways"].shared("sandbox")
    shops = [world.shop(f"Shop{number}") for number in range(7)]
    charge = gateway.charge

    def lose(request: Any) -> Any:
        charge(request)
        raise GatewayUnavailable("lost")

    with monkeypatch.context() as lossy:
        lossy.setattr(gateway, "charge", lose)
        for _ in range(2):  # after five lost answers in a row, a run asks no more
            worker.tick(app, LATER)
    bad = {shop.customer.id for shop in shops[:4]}
    inquire = collection.begin_inquiry

    def choke(gateways: Any, customer_id: str, *rest: Any, **more: Any) -> Any:
        if customer_id in bad:
            raise ValueError("an amount without a currency")
        return inquire(gateways, customer_id, *rest, **more)

    monkeypatch.setattr(collection, "begin_inquiry", choke)
    worker.tick(app, LATER + 3600)
    with reading() as reader:
        settled = select(PaymentAttempt.customer_id).where(PaymentAttempt.status == "succeeded")
        assert set(reader.scalars(settled)) == {shop.customer.id for shop in shops[4:]}


def test_a_single_failure_in_a_run_is_reported_but_not_counted(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = world.shop()
    _poison(monkeypatch, shop.subscription.id)
    for _ in range(4):
        with pytest.raises(RunStopped, match=r"1 failed\): ValueError: a price without a currency"):
            worker.tick(app, LATER)
    assert _blamed() == {(0, None)}
    world.shop("Other")
    worker.tick(app, LATER)
    assert _blamed() == {(1, "ValueError: a price without a currency"), (0, None)}


@pytest.mark.case("F21")
def test_a_page_on_an_older_schema_is_503_and_the_log_says_why(
    app: Flask, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    client = enter(app, world.scene().customer)
    monkeypatch.setitem(app.config, "PROPAGATE_EXCEPTIONS", False)
    renamed = "ALTER TABLE subscriptions RENAME COLUMN overdue_since TO not_yet"
    with _statements(renamed, end="ALTER TABLE subscriptions RENAME COLUMN not_yet TO overdue_since"):
        for address in ("/", "/subscriptions"):
            answer = client.get(address)
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "10")
    assert "overdue_since" in caplog.text
    assert client.get("/").status_code == 200


@pytest.mark.case("F21")
def test_an_outdated_schema_is_reported_at_the_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    app = make_app(f"sqlite:///{tmp_path / 'portal.db'}", tmp_path)
    migrations.warn_if_behind(app)
    assert caplog.text == ""
    with app.app_context():
        _execute("UPDATE alembic_version SET version_num = '9999'")  # an upgrade has begun, and this program goes on
        migrations.warn_if_behind(app)
        assert caplog.text == ""
        _execute("UPDATE alembic_version SET version_num = '0003'")
        migrations.warn_if_behind(app)
        db.engine.dispose()
    assert "the schema is at 0003" in caplog.text
    assert "run `portal migrate`" in caplog.text


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (psycopg.errors.LockNotAvailable("canceling statement due to lock timeout"), "A table was in use"),
        (sqlite3.OperationalError("database is locked"), "A table was in use"),
        (psycopg.errors.UndefinedColumn('column "x" does not exist\nLINE 1: SELECT x'), "older than the program"),
        (sqlite3.OperationalError("no such column: x"), "older than the program"),
        (sqlite3.OperationalError("no such table: x"), "not set up yet"),
        (sqlite3.OperationalError("database or disk is full"), "OperationalError: database or disk is full. Check"),
        (psycopg.errors.DiskFull("could not extend file\nHINT: Check free disk space."), "DiskFull: could not extend file. "),
    ],
)  # fmt: skip
def test_an_operator_is_told_what_is_wrong_in_one_line(error: Exception, said: str) -> None:
    words = groups._database_words(OperationalError("SELECT secret", {"secret": "value"}, error))
    assert said in words
    assert len(words.splitlines()) == 1
    assert "secret" not in words
