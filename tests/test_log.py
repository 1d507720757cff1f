"""The log of what people did: every change of it is found out."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, text, update

from portal_site.billing.customers import billing_information
from portal_site.billing.events import log
from portal_site.billing.events.actors import ActorType, acting_as
from portal_site.billing.events.emission import OfAccount, emit
from portal_site.billing.models import Event, EventCounter
from portal_site.db.transactions import reading, transaction
from tests import world

ALL = {"unscoped": "the whole log"}


def _write(account_id: str, count: int, actor: ActorType = ActorType.USER, note: str = "é ☂ \\u0041") -> None:
    for number in range(count):
        with acting_as(actor, "user_1"), transaction() as session:
            document = {"object": "note", "number": number, "note": note, "share": 0.1, "none": None}
            emit(session, "note.created", OfAccount(account_id), 1_000 + number, document=document)


def _entries() -> list[Any]:
    with reading() as reader:
        query = select(Event.sequence, Event.actor_type).where(Event.log_hash.is_not(None)).order_by(Event.sequence)
        return list(reader.execute(query.execution_options(**ALL)).all())


def test_an_empty_log_is_right(app: Flask) -> None:
    assert log.verify() == log.Verdict(0, log.START)


def test_what_people_do_is_an_entry_and_what_the_worker_does_is_none(app: Flask) -> None:
    account_id = world.scene().account_id
    for actor in ActorType:
        _write(account_id, 2, actor)
    assert {entry.actor_type for entry in _entries()} == {"customer", "user", "api_key", "operator"}
    verdict = log.verify()
    assert (verdict.count, verdict.fault) == (8, "")


def test_a_customers_change_is_an_entry(app: Flask) -> None:
    scene = world.scene()
    with acting_as(ActorType.CUSTOMER, scene.customer.id):
        billing_information.update_billing_information(scene.customer.id, {"name": "Hedda B."}, world.HALF)
    assert log.verify().count == 1


def _change(session: Any, sequence: int) -> None:
    session.execute(update(Event).where(Event.sequence == sequence).values(created=1).execution_options(**ALL))


def _change_data(session: Any, sequence: int) -> None:
    row = session.scalars(select(Event).where(Event.sequence == sequence).execution_options(**ALL)).one()
    row.data = {**row.data, "previous_attributes": {"share": 0.2}}


def _blame(session: Any, sequence: int) -> None:
    session.execute(update(Event).where(Event.sequence == sequence).values(actor_id="user_2").execution_options(**ALL))


def _remove(session: Any, sequence: int) -> None:
    session.execute(text(f"DELETE FROM events WHERE sequence = {sequence}").execution_options(**ALL))


def _hide(session: Any, sequence: int) -> None:
    session.execute(update(Event).where(Event.sequence == sequence).values(log_hash=None).execution_options(**ALL))


def _swap(session: Any, sequence: int) -> None:
    values = {"sequence": -1}
    session.execute(update(Event).where(Event.sequence == sequence).values(values).execution_options(**ALL))
    one_more = {"sequence": sequence}
    session.execute(update(Event).where(Event.sequence == sequence + 1).values(one_more).execution_options(**ALL))
    session.execute(update(Event).where(Event.sequence == -1).values(sequence=sequence + 1).execution_options(**ALL))


def _unhash(session: Any, sequence: int) -> None:
    """The whole entry anew, with a hash that one can compute without the key."""
    values = {"log_hash": "0" * 64}
    session.execute(update(Event).where(Event.sequence == sequence).values(values).execution_options(**ALL))


@pytest.mark.parametrize("tamper", [_unhash, _change, _change_data, _blame, _remove, _hide, _swap])
def test_tampering_is_found_out(app: Flask, tamper: Any) -> None:
    account_id = world.scene().account_id
    _write(account_id, 5)
    third = _entries()[2].sequence
    with transaction() as session:
        tamper(session, third)
    verdict = log.verify()
    assert verdict.count == 2
    assert "is not what it was" in verdict.fault


@pytest.mark.parametrize("hides", [False, True])
def test_a_missing_end_is_found_out(app: Flask, hides: bool) -> None:
    _write(world.scene().account_id, 3)
    with transaction() as session:
        last = _entries()
        _remove(session, last[-1].sequence)
        if hides:  # the counter, too, says that the entry before was the last one
            head = select(Event.log_hash).where(Event.sequence == last[-2].sequence).execution_options(**ALL)
            for state in (session.scalar(head), f"{session.scalar(head)}:{'0' * 64}"):
                session.execute(update(EventCounter).values(log_hash=state).execution_options(**ALL))
    assert log.verify().fault == "the end of the log is missing"


@pytest.mark.parametrize("number", [None, 10_000])
def test_an_entry_that_is_slipped_in_is_found_out(app: Flask, number: int | None) -> None:
    account_id = world.scene().account_id
    _write(account_id, 2)
    with transaction() as session:
        row = Event(
            id="evt_slipped", account_id=account_id, livemode=True, created=1, type="team.member.deleted", data={"object": {}},
            sequence=number, actor_type="user", actor_id="user_1", log_hash="0" * 64,
        )  # fmt: skip
        session.add(row)
    assert "evt_slipped was slipped in" in log.verify().fault


def test_hashes_of_before_a_change_of_the_secret_key_are_right(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    account_id, former = world.scene().account_id, app.config["SECRET_KEY"]
    _write(account_id, 2)
    monkeypatch.setitem(app.config, "SECRET_KEY", "another key, which is long enough for this")
    monkeypatch.setitem(app.config, "SECRET_KEY_FALLBACKS", [former])
    _write(account_id, 2)
    assert (log.verify().count, log.verify().fault) == (4, "")


def test_a_transaction_that_fails_leaves_no_gap(app: Flask) -> None:
    account_id = world.scene().account_id
    _write(account_id, 1)
    with pytest.raises(ZeroDivisionError), acting_as(ActorType.USER), transaction() as session:
        emit(session, "note.created", OfAccount(account_id), 1, document={"object": "note"})
        session.flush()
        raise ZeroDivisionError
    _write(account_id, 1)
    assert (log.verify().count, log.verify().fault) == (2, "")


def test_entries_that_are_written_at_once_are_one_chain(app: Flask) -> None:
    account_id, start = world.scene().account_id, threading.Barrier(6)

    def write(_number: int) -> None:
        with app.app_context():
            start.wait()
            _write(account_id, 10)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(write, range(6)))
    assert (log.verify().count, log.verify().fault) == (60, "")


def test_a_long_log_is_read_in_parts(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "AT_ONCE", 3)
    _write(world.scene().account_id, 10)
    seen: list[tuple[int, int]] = []
    verdict = log.verify(lambda done, total: seen.append((done, total)))
    assert (verdict.count, len(seen)) == (10, 10)
    assert seen[-1][0] == seen[-1][1]
