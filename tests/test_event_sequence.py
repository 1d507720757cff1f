"""The sequence of events follows their commits: a reader behind a cursor misses none, and there is never a gap."""

import random
import re
import threading
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, insert, select, text
from sqlalchemy.exc import DBAPIError, OperationalError

from portal_site.billing.events import emission
from portal_site.billing.events import reading as events
from portal_site.billing.events.reading import StoredEvent, events_after
from portal_site.billing.models import Customer, Event
from portal_site.db import db
from portal_site.db.transactions import transaction
from portal_site.ids import ordered_id
from tests import world
from tests.conftest import empty_all
from tests.named_events import emit_named
from tests.proofs.kills import Killed, killing
from tests.proofs.test_races import together
from tests.world import reading


def _names(found: Sequence[StoredEvent]) -> list[str]:
    return [event.data["previous_attributes"]["name"] for event in found]


def _customers(*names: str) -> list[Customer]:
    return [world.scene(name).customer for name in names]


def test_events_are_numbered_in_the_order_of_emission(app: Flask) -> None:
    one, two = _customers("One", "Two")
    with transaction() as session:
        emit_named(session, one, "a", "b")
        emit_named(session, two, "c")
        emit_named(session, one, "d")
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
            emit_named(session, row, name)
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
        emit_named(slow, one, "emitted first")
        with writers.app_context(), transaction() as quick:
            emit_named(quick, two, "emitted last")
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
            emit_named(session, two, "waits")
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
            emit_named(session, one, "goes on")

    with pytest.raises(DBAPIError, match="idle-in-transaction timeout"), transaction() as session:
        emit_named(session, two, "falls silent")
        emission.take_numbers(session, 1)
        assert together(writers, [write], patience=30) == [None]
    with transaction() as session:
        emit_named(session, one, "after")
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
                emit_named(session, customer, *(f"{number} {stored} {place}" for place in range(count)))
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
            emit_named(session, one, name, name)

    with killing(None) as counted:
        write("whole")
    assert counted.points >= 4  # the change, the counter, the events, the commit
    for point in range(counted.points):
        with pytest.raises(Killed), killing(point):
            write(f"killed at {point}")
    with transaction() as session:
        emit_named(session, two, "after")
    found = events_after(0)
    assert (_names(found), [event.sequence for event in found]) == (["whole", "whole", "after"], [1, 2, 3])


def test_events_belong_to_a_whole_transaction(app: Flask) -> None:
    (customer,) = _customers("One")
    with pytest.raises(RuntimeError, match="no transaction"):
        emit_named(db.session(), customer, "outside")
    with transaction() as session:
        emit_named(session, customer, "inside")
        with pytest.raises(RuntimeError, match="savepoint"), session.begin_nested():
            emit_named(session, customer, "in a savepoint")
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
        emit_named(session, customer, "new 1")
    first = events_after(0)
    with transaction() as session:
        rows = [_old_row(customer, 7, "old 2"), _old_row(customer, 8, "old 3"), _old_row(customer, 6, "old 1")]
        session.execute(insert(Event), rows)
    with transaction() as session:
        emit_named(session, customer, "new 2")
    found = events_after(first[-1].sequence)
    assert _names(found) == ["new 2", "old 1", "old 2", "old 3"]
    assert [event.sequence for event in found] == [2, 3, 4, 5]
    assert {event.actor_type for event in found[1:]} == {None}
    with transaction() as session:
        emit_named(session, customer, "new 3")
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
            emit_named(session, large if number % 50 else small, str(number))
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
