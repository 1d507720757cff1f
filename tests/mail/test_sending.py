"""The outbox against a real SMTP server: refused, slow, broken off, and killed in between. Each e-mail arrives once."""

import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
import time_machine
from flask import Flask
from sqlalchemy import func, select, update

from portal_site.billing.models import Customer
from portal_site.cli import checks
from portal_site.db import bulk
from portal_site.mail import delivery, outbox, sending
from portal_site.mail.models import Email, EmailStatus, UndeliverableAddress
from portal_site.mail.outbox import Draft
from portal_site.mail.rendering import Content
from portal_site.mail.sending import SendReport
from tests import world
from tests.mail import mail_server
from tests.mail.mail_server import MailServer, hang_up, hang_up_having_taken
from tests.plans import plan
from tests.web.processes import free_port

AT = world.START
FROM = "billing@operator.example"
CONTENT = Content("Your receipt – été", "Hello Hedda", "<p>Hello <b>Hedda</b></p>")


@pytest.fixture
def server() -> Iterator[MailServer]:
    with mail_server.running() as made:
        yield made


def _write(*to: str, key: str = "one", **members: Any) -> Email:
    account_id = members.pop("account_id", None) or world.scene(key).account_id
    draft = Draft(account_id, False, "receipt", key, to or ("hedda@acme.example",), **members)
    with world.transaction() as session:
        email = outbox.write(session, draft, CONTENT, AT)
    assert email is not None
    return email


def _send(url: str, at: int = AT) -> SendReport:
    return sending.send_due(delivery.transport_of(url, None), FROM, at)  # type: ignore[arg-type]


def _row(email: Email) -> Any:
    with world.reading() as reader:
        mine = Email.account_id == email.account_id, Email.id == email.id
        return reader.execute(select(Email.__table__).where(*mine)).one()


@pytest.mark.both_databases
def test_an_email_is_sent_once_and_forgotten(app: Flask, server: MailServer) -> None:
    email = _write()
    assert _send(server.url) == SendReport(sent=1)
    assert _send(server.url, AT + outbox.CLAIM) == SendReport()
    (message,) = server.messages
    assert message["Subject"] == "Your receipt – été"
    assert message["From"] == f"one <{FROM}>"
    assert message["To"] == "hedda@acme.example"
    assert message["Message-ID"] == f"<{email.id}@operator.example>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["List-Unsubscribe"] is None
    text, html = (message.get_body((kind,)) for kind in ("plain", "html"))
    assert text is not None
    assert html is not None
    assert text.get_content().strip() == "Hello Hedda"
    assert "<b>Hedda</b>" in html.get_content()
    row = _row(email)
    assert (row.status, row.content, row.sent_at) == (EmailStatus.SENT, None, AT)


@pytest.mark.both_databases
def test_what_it_says_is_not_readable_in_the_database(app: Flask) -> None:
    assert "Hedda" not in _row(_write()).content


@pytest.mark.both_databases
def test_one_email_for_each_key(app: Flask) -> None:
    email = _write()
    with world.transaction() as session:
        assert (
            outbox.write(session, Draft(email.account_id, False, "receipt", "one", ["x@acme.example"]), CONTENT, AT)
            is None
        )


def test_a_rolled_back_reason_sends_nothing(lite_app: Flask, server: MailServer) -> None:
    account_id = world.scene().account_id
    with pytest.raises(ZeroDivisionError), world.transaction() as session:
        outbox.write(session, Draft(account_id, False, "receipt", "x", ["x@acme.example"]), CONTENT, AT)
        _ = 1 / 0
    assert _send(server.url) == SendReport()


@pytest.mark.case("F8")
@pytest.mark.both_databases
def test_refused_for_now_it_is_tried_again_later_and_later(app: Flask, server: MailServer) -> None:
    email = _write()
    server.to_messages = ["451 try later", "452 full"]
    assert _send(server.url) == SendReport(refused=1)
    assert (_row(email).attempts, _row(email).due_at) == (1, AT + 60)
    assert _send(server.url, AT + 59) == SendReport()
    assert _send(server.url, AT + 60) == SendReport(refused=1)
    assert _row(email).last_error == "452 full"
    assert _send(server.url, AT + 60 + 5 * 60) == SendReport(sent=1)
    assert len(server.taken) == 1


@pytest.mark.case("F8")
def test_at_last_it_is_parked_and_an_operator_can_retry(lite_app: Flask, server: MailServer) -> None:
    email, at = _write(), AT
    server.to_messages = ["450 no"] * (len(outbox.PAUSES) + 1)
    for pause in (*outbox.PAUSES, 0):
        _send(server.url, at)
        at += pause
    assert _row(email).status == EmailStatus.PARKED
    assert outbox.backlog().parked == 1
    assert outbox.backlog().reason == "450 no"
    assert _send(server.url, at + 10 * 24 * 60 * 60) == SendReport()
    assert outbox.retry(email.id, at) == 1
    assert _send(server.url, at) == SendReport(sent=1)


@pytest.mark.case("F8")
@pytest.mark.both_databases
def test_an_address_that_does_not_exist_is_remembered(app: Flask, server: MailServer) -> None:
    server.unknown = {"gone@acme.example"}
    email = _write("gone@acme.example")
    assert _send(server.url) == SendReport(refused=1)
    assert (_row(email).status, _row(email).content) == (EmailStatus.SUPPRESSED, None)
    assert outbox.backlog() == outbox.Backlog(0, None, None)
    with world.reading() as reader:
        known = UndeliverableAddress.account_id == email.account_id
        assert reader.scalars(select(UndeliverableAddress.address).where(known)).all() == ["gone@acme.example"]
    second = _write("gone@acme.example", key="two", account_id=email.account_id)
    assert (second.status, second.content) == (EmailStatus.SUPPRESSED, None)
    with world.transaction() as session:
        later = outbox.write(
            session, Draft(email.account_id, False, "receipt", "x", ["gone@acme.example"]), CONTENT, AT + outbox.UNDELIVERABLE
        )  # fmt: skip
    assert later is not None
    assert later.status == EmailStatus.WAITING


@pytest.mark.both_databases
def test_what_became_of_an_email_is_known_for_a_while(app: Flask, server: MailServer) -> None:
    account_id = world.scene().account_id
    sent, waiting = (_write(f"{key}@acme.example", key=key, account_id=account_id) for key in "ab")
    with world.transaction() as session:
        session.execute(
            update(Email).where(Email.account_id == account_id, Email.id == waiting.id).values(due_at=AT + 60)
        )
    assert _send(server.url) == SendReport(sent=1)
    assert outbox.remove_old(AT + outbox.KEPT) == 0
    assert outbox.remove_old(AT + outbox.KEPT + 1) == 1
    assert _row(waiting).status == EmailStatus.WAITING
    assert sent.id != waiting.id


@pytest.mark.parametrize(
    ("answer", "is_gone"),
    [
        ("550 no such user", True),
        ("550 5.1.1 no such user", True),
        ("550 5.7.1 relaying denied", False),
        ("552 5.2.2 mailbox full", False),
        ("554 blocked by a list", False),
        ("530 5.7.0 authentication required", False),
        ("450 5.1.1 later", True),
        ("450 later", False),
    ],
)
def test_only_an_address_that_does_not_exist_is_given_up(
    lite_app: Flask, server: MailServer, answer: str, is_gone: bool
) -> None:
    email = _write()
    server.to_recipients = [answer]
    assert _send(server.url) == SendReport(refused=1)
    assert _row(email).status == (EmailStatus.SUPPRESSED if is_gone else EmailStatus.WAITING)


def test_what_was_asked_for_goes_to_a_refused_address_and_an_operator_can_forget_it(
    lite_app: Flask, server: MailServer
) -> None:
    server.unknown = {"gone@acme.example"}
    account_id = world.scene().account_id
    _write("gone@acme.example", account_id=account_id)
    _send(server.url)
    asked = _write("gone@acme.example", key="asked", account_id=account_id, asked_for=True)
    assert asked.status == EmailStatus.WAITING
    assert outbox.forget("Gone@ACME.example") in (0, 1)
    assert outbox.forget("gone@acme.example") in (0, 1)
    assert _write("gone@acme.example", key="again", account_id=account_id).status == EmailStatus.WAITING


def test_many_are_sent_some_at_a_time(lite_app: Flask, server: MailServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "AT_ONCE", 2)
    account_id = world.scene().account_id
    for n in range(3):
        _write(f"{n}@acme.example", key=f"{n}", account_id=account_id)
    assert _send(server.url) == SendReport(sent=2, is_more=True)
    assert _send(server.url) == SendReport(sent=1)


def test_the_other_recipients_still_get_it(lite_app: Flask, server: MailServer) -> None:
    server.unknown = {"gone@acme.example"}
    email = _write("gone@acme.example", "hedda@acme.example", cc=["books@acme.example"])
    assert _send(server.url) == SendReport(sent=1)
    assert [envelope.rcpt_tos for envelope in server.taken] == [["hedda@acme.example", "books@acme.example"]]
    assert _row(email).status == EmailStatus.SENT


@pytest.mark.case("F8")
def test_without_a_server_all_wait_and_none_has_had_a_try(lite_app: Flask, server: MailServer) -> None:
    emails = [_write(key=key) for key in ("one", "two")]
    report = _send(f"smtp://127.0.0.1:{free_port()}?tls=none")
    assert report.fault.startswith("ConnectionRefusedError")
    assert [(_row(email).attempts, _row(email).due_at) for email in emails] == [(0, AT + 60)] * 2
    assert outbox.backlog().waiting_since == AT
    assert _send(server.url, AT + 60) == SendReport(sent=2)


def test_a_server_that_lets_nobody_in_counts_for_no_email(lite_app: Flask) -> None:
    email = _write()
    with mail_server.running(login=("portal", "right")) as server:
        report = _send(server.url.replace("right", "wrong"))
        assert "SMTPAuthenticationError" in report.fault
        assert "wrong" not in report.fault
        assert _row(email).attempts == 0
        assert _send(server.url, AT + 60) == SendReport(sent=1)


@pytest.mark.case("F8")
def test_a_slow_server_is_left_after_a_while(
    lite_app: Flask, server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()

    def slow(_server: Any) -> str:
        go_on.wait(5)
        return "250 at last"

    monkeypatch.setattr(delivery, "CONNECT_TIMEOUT", 0.3)
    email = _write()
    server.to_messages = [slow]
    assert _send(server.url) == SendReport(refused=1)
    assert "timed out" in _row(email).last_error.lower()
    go_on.set()


@pytest.mark.case("F8")
def test_broken_off_in_the_middle_it_is_tried_again_and_the_others_go(lite_app: Flask, server: MailServer) -> None:
    account_id = world.scene().account_id
    first = _write("a@acme.example", key="a", account_id=account_id)
    _write("b@acme.example", key="b", account_id=account_id)
    server.to_messages = [hang_up]
    assert _send(server.url) == SendReport(sent=1, refused=1)
    at = AT + 60
    assert _send(server.url, at) == SendReport(sent=1)
    assert len(server.taken) == 2
    assert _row(first).status == EmailStatus.SENT


@pytest.mark.case("F8")
def test_a_server_that_always_breaks_off_is_left_alone(lite_app: Flask, server: MailServer) -> None:
    account_id = world.scene().account_id
    emails = [_write(f"{n}@acme.example", key=f"{n}", account_id=account_id) for n in range(6)]
    server.to_messages = [hang_up] * 6
    report = _send(server.url)
    assert (report.refused, report.fault) == (3, "the server breaks off in each e-mail")
    assert sorted(_row(email).attempts for email in emails) == [0, 0, 0, 1, 1, 1]


@pytest.mark.case("F8")
def test_taken_without_an_answer_it_comes_twice_with_one_message_id(lite_app: Flask, server: MailServer) -> None:
    _write()
    server.to_messages = [hang_up_having_taken]
    _send(server.url)
    _send(server.url, AT + 60)
    first, second = server.messages
    assert first["Message-ID"] == second["Message-ID"]
    assert server.taken[0].content == server.taken[1].content


class Killed(BaseException):
    """The worker's process ends."""


@pytest.mark.case("F8")
@pytest.mark.both_databases
def test_killed_between_the_answer_and_the_commit_it_comes_twice(
    app: Flask, server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write()

    def die(*_given: Any, **_more: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(outbox, "note_sent", die)
        with pytest.raises(Killed):
            _send(server.url)
    assert _send(server.url, AT + outbox.CLAIM - 1) == SendReport()
    assert _send(server.url, AT + outbox.CLAIM) == SendReport(sent=1)
    assert len({message["Message-ID"] for message in server.messages}) == 1
    assert len(server.taken) == 2


@pytest.mark.both_databases
def test_several_workers_send_each_email_once(app: Flask, server: MailServer) -> None:
    account_id = world.scene().account_id
    for n in range(30):
        _write(f"{n}@acme.example", key=f"{n}", account_id=account_id)
    faults: list[BaseException] = []

    def work() -> None:
        try:
            with app.app_context():
                _send(server.url)
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert faults == []
    assert sorted(envelope.rcpt_tos[0] for envelope in server.taken) == sorted(f"{n}@acme.example" for n in range(30))


def test_what_is_of_no_use_any_more_is_not_sent(lite_app: Flask, server: MailServer) -> None:
    email = _write(expires_at=AT + 600)
    assert _send(server.url, AT + 600) == SendReport()
    assert (_row(email).status, _row(email).content) == (EmailStatus.EXPIRED, None)


@pytest.mark.parametrize(
    "address", ["", "nonsense", "a@b@c", "x@acme.example\r\nBcc: y@evil.example", "a b@acme.example"]
)
def test_what_is_no_address_gets_nothing(lite_app: Flask, address: str) -> None:
    assert _write(address).status == EmailStatus.SUPPRESSED


def _checked(app: Flask, capsys: pytest.CaptureFixture[str], **settings: str) -> str:
    """What `portal check` says of the e-mails."""
    before = app.config["SETTINGS"]
    app.config["SETTINGS"] = replace(before, **settings)
    try:
        with suppress(SystemExit):
            checks._check_mail(app)
    finally:
        app.config["SETTINGS"] = before
    said = capsys.readouterr()
    return said.out + said.err


def test_the_check_says_what_waits_and_what_was_given_up(
    lite_app: Flask, server: MailServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _checked(lite_app, capsys).startswith("mail: off.")
    on = {"smtp_url": server.url}
    assert _checked(lite_app, capsys, **on) == "mail: nothing waits\n"
    email = _write()
    with time_machine.travel(AT + 60, tick=False):
        assert _checked(lite_app, capsys, **on) == "mail: is being sent\n"
    with time_machine.travel(AT + 16 * 60, tick=False):
        assert "have been waiting for 16 minutes" in _checked(lite_app, capsys, **on)
    with world.transaction() as session:
        mine = Email.account_id == email.account_id
        session.execute(update(Email).where(mine).values(status=EmailStatus.PARKED, last_error="450 no"))
    assert "1 could not be sent, such as: 450 no." in _checked(lite_app, capsys, **on)


@pytest.mark.both_databases
def test_what_is_due_is_found_by_an_index_however_many_were_sent(app: Flask) -> None:
    account_id = world.scene().account_id
    sent = {"status": EmailStatus.SENT, "kind": "receipt", "recipients": {}, "attempts": 0, "livemode": False}
    rows = [
        {"id": f"em_{n}", "account_id": account_id, "created": AT, "dedup_key": f"{n}", "due_at": AT, **sent}
        for n in range(2000)
    ]
    with world.transaction() as session:
        bulk.insert(session, Email, rows)
    _write("a@acme.example", account_id=account_id)
    found = plan(outbox.due(AT), "emails")
    assert "ix_emails_due" in found
    customers = select(Customer.id).where(
        Customer.account_id == account_id, func.lower(Customer.email) == "hedda@acme.example"
    )
    assert "ix_customers_account_id_lower_email" in plan(customers, "customers", unused=True)
    assert "ix_emails_created" in plan(select(Email.id).where(Email.created < 1), "emails", unused=True)
