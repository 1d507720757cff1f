"""The sequence of events follows their commits: a reader behind a cursor misses none, and there is never a gap."""

import random
import re
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import flask_migrate
import pytest
from flask import Flask
from sqlalchemy import func, insert, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, OperationalError, PendingRollbackError

from portal_site import locations
from portal_site.billing.events import emission
from portal_site.billing.events import reading as events
from portal_site.billing.events.emission import emit
from portal_site.billing.events.reading import StoredEvent, events_after
from portal_site.billing.models import Customer, Event, EventCounter
from portal_site.db import db
from portal_site.db.transactions import transaction
from portal_site.ids import ordered_id
from tests import world
from tests.conftest import empty_all, make_app, own_database
from tests.proofs.kills import Killed, killing
from tests.proofs.test_races import together
from tests.world import reading


def _emit(session: Any, customer: Customer, *names: str) -> None:
    for name in names:
        emit(session, "customer.updated", customer, 1, previous={"name": name})


def _names(found: Sequence[StoredEvent]) -> list[str]:
    return [event.data["previous_attributes"]["name"] for event in found]


def _customers(*names: str) -> list[Customer]:
    return [world.scene(name).customer for name in names]


def test_events_are_numbered_in_the_order_of_emission(app: Flask) -> None:
    one, two = _customers("One", "Two")
    with transaction() as session:
        _emit(session, one, "a", "b")
        _emit(session, two, "c")
        _emit(session, one, "d")
    found = events_after(0)
    assert [event.sequence for event in found] == [1, 2, 3, 4]
    assert _names(found) == ["a", "b", "c", "d"]
    assert _names(events_after(1, limit=2)) == ["b", "c"]
    assert _names(events_after(1, account_id=one.account_id)) == ["b", "d"]
    assert events_after(4) == []
    event = found[2]
    assert (event.account_id, event.livemode, event.created, event.type) == (
        two.account_id,
        False,
        1,
        "customer.updated",
    )
    assert event.data["object"]["id"] == two.id


def test_an_event_holds_its_object_as_it_was_when_it_was_emitted(app: Flask) -> None:
    (customer,) = _customers("One")
    with transaction() as session:
        row = session.merge(customer)
        for name in ("first", "second"):
            row.name = name
            _emit(session, row, name)
    assert [event.data["object"]["name"] for event in events_after(0)] == ["first", "second"]


@pytest.fixture
def writers(postgres_app: Flask) -> Iterator[Flask]:
    """The app on PostgreSQL, empty: on SQLite one transaction begins to write after the other."""
    with postgres_app.app_context():
        empty_all()
        yield postgres_app


def test_what_commits_first_comes_first_though_it_was_emitted_last(writers: Flask) -> None:
    one, two = _customers("One", "Two")
    with transaction() as slow:
        _emit(slow, one, "emitted first")
        with writers.app_context(), transaction() as quick:
            _emit(quick, two, "emitted last")
        assert _names(_seen_elsewhere(writers)) == ["emitted last"]
    assert _names(events_after(0)) == ["emitted last", "emitted first"]


def _seen_elsewhere(app: Flask) -> Sequence[StoredEvent]:
    """What another process sees meanwhile."""
    with app.app_context():
        return events_after(0)


def test_the_counter_is_the_last_thing_that_a_transaction_waits_for(writers: Flask) -> None:
    """While one transaction is about to commit, another one can do all of its work but that."""
    one, two = _customers("One", "Two")
    seen = []

    def write() -> None:
        with writers.app_context(), transaction() as session:
            _emit(session, two, "waits")
            session.flush()
            seen.append("worked")
        seen.append("committed")

    thread = threading.Thread(target=write)
    with db.engine.connect() as holder:
        holder.execute(text("INSERT INTO event_counter VALUES (1, 0) ON CONFLICT (id) DO UPDATE SET last = 0"))
        thread.start()
        deadline = time.monotonic() + 20
        while seen != ["worked"] and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.2)
        assert seen == ["worked"]
        holder.commit()
    thread.join(20)
    assert seen == ["worked", "committed"]
    assert one.id


def test_a_silent_transaction_with_numbers_is_ended_by_the_server(
    writers: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a machine that is cut off: its connection stays open, and with it the lock, until the server ends it."""
    one, two = _customers("One", "Two")
    monkeypatch.setattr(emission, "SILENCE", "300ms")

    def write() -> None:
        with transaction() as session:
            _emit(session, one, "goes on")

    with pytest.raises(DBAPIError, match="idle-in-transaction timeout"), transaction() as session:
        _emit(session, two, "falls silent")
        emission.take_numbers(session, 1)
        assert together(writers, [write], patience=30) == [None]
    with transaction() as session:
        _emit(session, one, "after")
    found = events_after(0)
    assert (_names(found), [event.sequence for event in found]) == (["goes on", "after"], [1, 2])


def test_a_concurrent_reader_misses_no_event_and_reads_in_order(app: Flask) -> None:
    customers = _customers("One", "Two", "Three")
    seen: list[StoredEvent] = []
    done = threading.Event()

    def follow() -> None:
        with app.app_context():
            over = False
            while not over:
                was_done = done.is_set()  # before the look: only then is what it does not find not there
                found = events_after(seen[-1].sequence if seen else 0, limit=7)
                seen.extend(found)
                over = was_done and not found

    reader = threading.Thread(target=follow)
    reader.start()
    try:
        together(app, [lambda number=number: _write(number, customers[number % 3]) for number in range(6)])
    finally:
        done.set()
        reader.join(60)
    assert not reader.is_alive()
    assert [event.sequence for event in seen] == list(range(1, len(seen) + 1))
    assert len({event.id for event in seen}) == len(seen) == _stored()
    for number in range(6):  # what one thread wrote comes in its order
        mine = [tuple(map(int, name.split())) for name in _names(seen) if name.startswith(f"{number} ")]
        assert len({name[1] for name in mine}) == 40
        assert all(before < after for before, after in pairwise(mine))


def _write(number: int, customer: Customer) -> None:
    """Forty transactions with up to three events each, and some more that fail."""
    chance, stored = random.Random(number), 0
    while stored < 40:
        count, fails = chance.randint(1, 3), chance.random() < 0.2
        try:
            with transaction() as session:
                _emit(session, customer, *(f"{number} {stored} {place}" for place in range(count)))
                time.sleep(chance.random() * 0.003)
                if fails:
                    raise KeyError
            stored += 1
        except KeyError:
            pass
        except OperationalError as error:  # SQLite's lock is not fair, so that a thread may wait until the timeout
            assert "locked" in str(error)


def _stored() -> int:
    with reading() as reader:
        return reader.scalar(select(func.count()).select_from(Event)) or 0


def test_a_crash_between_emission_and_commit_leaves_no_event_and_no_gap(app: Flask) -> None:
    one, two = _customers("One", "Two")

    def write(name: str) -> None:
        with transaction() as session:
            session.merge(one).name = name
            _emit(session, one, name, name)

    with killing(None) as counted:
        write("whole")
    assert counted.points >= 4  # the change, the counter, the events, the commit
    for point in range(counted.points):
        with pytest.raises(Killed), killing(point):
            write(f"killed at {point}")
    with transaction() as session:
        _emit(session, two, "after")
    found = events_after(0)
    assert (_names(found), [event.sequence for event in found]) == (["whole", "whole", "after"], [1, 2, 3])


def test_events_belong_to_a_whole_transaction(app: Flask) -> None:
    (customer,) = _customers("One")
    with pytest.raises(RuntimeError, match="no transaction"):
        _emit(db.session(), customer, "outside")
    with transaction() as session:
        _emit(session, customer, "inside")
        with pytest.raises(RuntimeError, match="savepoint"), session.begin_nested():
            _emit(session, customer, "in a savepoint")
    assert _names(events_after(0)) == ["inside"]


def _old_row(customer: Customer, created: int, name: str) -> dict[str, Any]:
    """An event as the program of before `sequence` writes it."""
    data = {"object": {}, "previous_attributes": {"name": name}}
    owner = {"account_id": customer.account_id, "livemode": False, "type": "customer.updated"}
    return {"id": ordered_id("evt"), "created": created, "data": data, **owner}


def test_events_of_an_older_version_are_numbered_before_they_are_read(app: Flask) -> None:
    """While processes are replaced one by one, both programs write. Nothing that was read before gets another number."""
    (customer,) = _customers("One")
    with transaction() as session:
        _emit(session, customer, "new 1")
    first = events_after(0)
    with transaction() as session:
        rows = [_old_row(customer, 7, "old 2"), _old_row(customer, 8, "old 3"), _old_row(customer, 6, "old 1")]
        session.execute(insert(Event), rows)
    with transaction() as session:
        _emit(session, customer, "new 2")
    found = events_after(first[-1].sequence)
    assert _names(found) == ["new 2", "old 1", "old 2", "old 3"]
    assert [event.sequence for event in found] == [2, 3, 4, 5]
    assert {event.actor_type for event in found[1:]} == {None}
    with transaction() as session:
        _emit(session, customer, "new 3")
    assert [event.sequence for event in events_after(5)] == [6]


def test_readers_at_the_same_time_number_each_event_once(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    (customer,) = _customers("One")
    monkeypatch.setattr(events, "NUMBERED_AT_ONCE", 7)
    with transaction() as session:
        session.execute(insert(Event), [_old_row(customer, n, str(n)) for n in range(60)])
    results = together(app, [lambda: events_after(0)] * 6)
    assert {tuple(_names(found)) for found in results} == {tuple(map(str, range(60)))}
    assert {tuple(event.sequence for event in found) for found in results} == {tuple(range(1, 61))}


def _plan(query: Any) -> str:
    explain = "EXPLAIN QUERY PLAN " if db.engine.dialect.name == "sqlite" else "EXPLAIN "
    compiled = query.compile(dialect=db.engine.dialect)
    order = getattr(compiled, "positiontup", None)
    bound = tuple(compiled.params[key] for key in order) if order is not None else compiled.params
    with reading() as connection:
        if db.engine.dialect.name == "postgresql":
            connection.execute(text("ANALYZE events"))
        return "\n".join(str(line) for line in connection.exec_driver_sql(explain + str(compiled), bound))


def test_events_are_read_by_an_index_without_sorting(app: Flask) -> None:
    small, large = _customers("Small", "Large")
    with transaction() as session:
        for number in range(3000):
            _emit(session, large if number % 50 else small, str(number))
    account_id = small.account_id
    for query, index in (
        (events.after(1500, 100, None), "uq_events_sequence"),
        (events.after(1500, 100, account_id), "ix_events_account_id_sequence"),
        (events.unnumbered(1), "ix_events_unnumbered"),
    ):
        plan = _plan(query)
        assert set(re.findall(r"(?:ix|uq)_events_\w+", plan)) == {index}, plan
        assert "TEMP B-TREE" not in plan, plan
        assert "Sort" not in plan, plan


@pytest.fixture(params=["sqlite", "postgresql"])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """An app whose database is as the revision before the sequence left it, with events of that program."""
    if request.param == "sqlite":
        yield _with_events(f"sqlite:///{tmp_path / 'stored.db'}", tmp_path)
        return
    with own_database(request.getfixturevalue("postgres")) as url:
        address = make_url(url).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
        app = _with_events(address, tmp_path)
        yield app
        with app.app_context():
            db.engine.dispose()


STORED = 40
ADD = text(
    "INSERT INTO events (id, account_id, livemode, created, type, data)"
    " VALUES (:id, :account, false, :created, 'customer.updated', '{}')"
)


def _with_events(url: str, folder: Path) -> Flask:
    app = make_app(url, folder)
    with app.app_context():
        account_id = world.scene().account_id
        db.session.remove()
        flask_migrate.downgrade(directory=str(locations.MIGRATIONS), revision="0010")
        with db.engine.begin() as connection:
            for number in range(STORED):
                row = {"id": f"evt_{number % 4}_{number:02}", "account": account_id, "created": number // 8 % 3}
                connection.execute(ADD, row)
    return app


def _numbered() -> list[tuple[int, str]]:
    with reading() as reader:
        rows = reader.execute(select(Event.created, Event.id).order_by(Event.sequence)).all()
        assert list(reader.scalars(select(Event.sequence).order_by(Event.sequence))) == list(range(1, STORED + 1))
    return [(row.created, row.id) for row in rows]


@pytest.fixture
def small_batches(tmp_path: Path) -> str:
    """The folder of a copy of the migrations that numbers a few stored events at once."""
    copied = shutil.copytree(
        locations.MIGRATIONS, tmp_path / "migrations", ignore=shutil.ignore_patterns("__pycache__")
    )
    script = copied / "versions" / "0011_event_sequence.py"
    whole = script.read_text()
    script.write_text(whole.replace("AT_ONCE = 5000", "AT_ONCE = 9"))
    assert script.read_text() != whole
    return str(copied)


def test_stored_events_are_numbered_in_the_order_of_their_time(stored: Flask, small_batches: str) -> None:
    with stored.app_context():
        flask_migrate.upgrade(directory=small_batches)
        numbered = _numbered()
        assert numbered == sorted(numbered)
        with reading() as reader:
            assert reader.scalar(select(EventCounter.last)) == STORED
        customer = world.scene("Two").customer
        with transaction() as session:
            _emit(session, customer, "new")
        assert [event.sequence for event in events_after(STORED)] == [STORED + 1]


def _way_back(migrations: str) -> Callable[[], None]:
    """A function that brings the database back to what it is now, at the revision before the sequence.

    SQLite's file is copied: to downgrade it, which writes each table anew, takes as long as all the rest.
    """
    if db.engine.dialect.name == "postgresql":
        return lambda: flask_migrate.downgrade(directory=migrations, revision="0010")
    path, kept = str(db.engine.url.database), sqlite3.connect(":memory:")
    with closing(sqlite3.connect(path)) as source:
        source.backup(kept)

    def restore() -> None:
        db.session.remove()
        db.engine.dispose()
        with closing(sqlite3.connect(path)) as target:
            kept.backup(target)

    return restore


@pytest.mark.long
def test_an_interrupted_migration_goes_on_where_it_was(stored: Flask, small_batches: str) -> None:
    with stored.app_context():
        go_back = _way_back(small_batches)
        with killing(None) as counted:
            flask_migrate.upgrade(directory=small_batches)
        whole = _numbered()
        for point in range(0, counted.points, 4):
            go_back()
            # Alembic commits what the kill leaves of a block of its own, where the connection is gone already.
            with pytest.raises((Killed, PendingRollbackError)), killing(point):
                flask_migrate.upgrade(directory=small_batches)
            flask_migrate.upgrade(directory=small_batches)
            assert _numbered() == whole
