"""Idempotency keys: one effect and one answer, however often and at whatever moment a request is sent again."""

import threading
from typing import Any

import pytest
import time_machine
from flask import Flask
from sqlalchemy import func, insert, select

from portal_site import clock
from portal_site.api import idempotency
from portal_site.billing.billing_run import clean_up
from portal_site.billing.models import IdempotentRequest, PortalSession
from portal_site.billing.portal_access import portal_sessions
from portal_site.db import db
from tests import world
from tests.api.calls import SESSIONS, Program, error
from tests.conftest import Recorder, empty_all
from tests.world import reading

DAY = 24 * 60 * 60


def _count(model: Any) -> int:
    with reading() as connection:
        query = select(func.count()).select_from(model).execution_options(unscoped="a test counts all")
        return connection.scalar(query) or 0


@pytest.mark.case("E1")
@pytest.mark.both_databases
def test_the_same_request_again_gets_the_same_answer(app: Flask) -> None:
    scene = world.scene()
    program = Program(app, scene.account_id)
    first = program.post(SESSIONS, {"customer": scene.customer.id}, Idempotency_Key="one")
    again = program.post(SESSIONS, {"customer": scene.customer.id}, Idempotency_Key="one")
    assert (first.status_code, again.status_code) == (200, 200)
    assert again.data == first.data
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["Original-Request"] == first.headers["Request-Id"]
    assert _count(PortalSession) == 1
    other = program.post(SESSIONS, {"customer": scene.customer.id}, Idempotency_Key="two")
    assert other.json["id"] != first.json["id"]  # type: ignore[index]


@pytest.mark.case("A6")
def test_the_stored_answer_does_not_hold_the_link(lite_app: Flask) -> None:
    scene = world.scene()
    answer = Program(lite_app, scene.account_id).post(SESSIONS, {"customer": scene.customer.id}, Idempotency_Key="one")
    token = answer.json["url"].rpartition("/")[2]  # type: ignore[index]
    with reading() as connection:
        query = select(IdempotentRequest.answer).where(IdempotentRequest.account_id == scene.account_id)
        stored = connection.scalar(query)
    assert stored
    assert token not in stored
    assert scene.customer.id not in stored


@pytest.mark.case("E2")
def test_a_key_is_for_one_request(lite_app: Flask) -> None:
    scene, other = world.scene(), world.scene("Other")
    program = Program(lite_app, scene.account_id)
    data = {"customer": scene.customer.id}
    assert program.post(SESSIONS, data, Idempotency_Key="one").status_code == 200
    refused = program.post(SESSIONS, {**data, "locale": "fr"}, Idempotency_Key="one")
    assert error(refused)[0] == 400
    assert refused.json["error"]["type"] == "idempotency_error"  # type: ignore[index]
    # Another account's key of the same name is another key.
    theirs = Program(lite_app, other.account_id).post(SESSIONS, {"customer": other.customer.id}, Idempotency_Key="one")
    assert theirs.status_code == 200
    assert program.post(SESSIONS, data, Idempotency_Key="x" * 256).status_code == 400


@pytest.mark.case("E1")
@pytest.mark.both_databases
def test_of_many_at_once_one_has_an_effect(app: Flask) -> None:
    scene = world.scene()
    program = Program(app, scene.account_id)
    answers: list[Any] = []

    def send() -> None:
        answers.append(program.post(SESSIONS, {"customer": scene.customer.id}, Idempotency_Key="one"))

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert len({answer.data for answer in answers if answer.status_code == 200}) == 1
    assert _count(PortalSession) == 1


@pytest.mark.case("E1")
def test_a_request_waits_for_another_one_with_its_key_but_not_for_long(
    postgres_app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(idempotency._INSERTS, "postgresql", idempotency._bounded_insert("50ms"))
    with postgres_app.app_context():
        empty_all()
        scene = world.scene()
        program, data = Program(postgres_app, scene.account_id), {"customer": scene.customer.id}
        row = {
            "account_id": scene.account_id, "livemode": False, "key": "one", "created": clock.now(), "fingerprint": "",
            "request_id": "", "status": 0, "answer": "",
        }  # fmt: skip
        with db.engine.connect() as other:
            other.execute(insert(IdempotentRequest), row)
            refused = program.post(SESSIONS, data, Idempotency_Key="one")
            other.rollback()
        assert error(refused)[::2] == (409, "idempotency_key_in_use")
        assert program.post(SESSIONS, data, Idempotency_Key="one").status_code == 200


@pytest.mark.case("E3")
@pytest.mark.both_databases
def test_what_is_cut_off_has_no_effect_and_leaves_the_key_free(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """The effect, the key's row and the answer are one transaction: what kills the request before the end undoes all."""
    scene = world.scene()
    program = Program(app, scene.account_id)

    class Killed(BaseException):
        """As if the process were gone."""

    def killed(*_args: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr("portal_site.api.idempotency._store", killed)
        with pytest.raises(Killed):
            program.post(SESSIONS, {"customer": scene.customer.id}, Idempotency_Key="one")
    assert (_count(PortalSession), _count(IdempotentRequest)) == (0, 0)
    assert program.post(SESSIONS, {"customer": scene.customer.id}, Idempotency_Key="one").status_code == 200
    assert _count(PortalSession) == 1


@pytest.mark.case("E4")
def test_a_key_is_free_again_after_a_day(lite_app: Flask) -> None:
    scene = world.scene()
    program, data = Program(lite_app, scene.account_id), {"customer": scene.customer.id}
    first = program.post(SESSIONS, data, Idempotency_Key="one")
    with time_machine.travel(clock.now() + DAY - 60, tick=False):
        assert program.post(SESSIONS, data, Idempotency_Key="one").data == first.data
    with time_machine.travel(clock.now() + DAY + 1, tick=False):
        later = program.post(SESSIONS, data, Idempotency_Key="one")
        assert later.json["id"] != first.json["id"]  # type: ignore[index]
    clean_up.remove_old_rows(clock.now() + 3 * DAY)
    assert _count(IdempotentRequest) == 0


@pytest.mark.case("E5")
def test_a_failure_and_a_refusal_are_answered_again_as_they_were(
    lite_app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = world.scene()
    program, data = Program(lite_app, scene.account_id), {"customer": scene.customer.id}
    with monkeypatch.context() as patched:
        patched.setattr(portal_sessions, "_check_return_url", lambda *_args: 1 / 0)
        failed = program.post(SESSIONS, data, Idempotency_Key="one")
    assert (failed.status_code, failed.headers["Stripe-Should-Retry"]) == (500, "false")
    assert failed.json["error"]["type"] == "api_error"  # type: ignore[index]
    again = program.post(SESSIONS, data, Idempotency_Key="one")
    assert (again.status_code, again.data) == (500, failed.data)
    refused = program.post(SESSIONS, {"customer": "cus_none"}, Idempotency_Key="two")
    assert refused.status_code == 400
    assert (
        program.post(SESSIONS, {"customer": "cus_none"}, Idempotency_Key="two").headers["Idempotent-Replayed"] == "true"
    )
    assert _count(PortalSession) == 0


def test_a_parameter_that_cannot_be_read_binds_no_key(lite_app: Flask) -> None:
    scene = world.scene()
    program = Program(lite_app, scene.account_id)
    assert program.post(SESSIONS, {"nope": "1"}, Idempotency_Key="one").status_code == 400
    assert program.post(SESSIONS, {"customer": scene.customer.id}, Idempotency_Key="one").status_code == 200


def test_a_session_with_a_key_takes_four_statements_in_its_transaction(app: Flask, recorder: Recorder) -> None:
    scene = world.scene()
    program = Program(app, scene.account_id)
    data = {"customer": scene.customer.id, "return_url": "https://shop.example/account"}
    for number in range(2):
        recorder.statements.clear()
        assert program.post(SESSIONS, data, Idempotency_Key=f"key {number}").status_code == 200
    words = [statement.split()[0] for statement in recorder.statements if not statement.startswith("PRAGMA")]
    assert [word for word in words if word in ("SELECT", "INSERT", "UPDATE", "SET", "DELETE")] == [
        "SELECT", "INSERT", "SELECT", "INSERT", "UPDATE",
    ]  # fmt: skip
