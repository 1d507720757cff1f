"""Sending what is in the outbox. Any number of workers may do it; each e-mail is sent once, or twice if a worker dies in it."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from flask import Flask

from portal_site import clock
from portal_site.billing.portal_access import logins
from portal_site.config import Settings
from portal_site.db.faults import described, is_of_surroundings
from portal_site.mail import delivery, login_codes, outbox
from portal_site.mail.delivery import PartlySent, Refused, ServerFault, Transport
from portal_site.mail.outbox import Outgoing

EVERY = 2  # seconds between two looks into the outbox: somebody waits for a code
SLOWEST = 4 * 60  # seconds that one e-mail can take, with a time-out at each step
MOST_DROPS = 3  # connections in a row that broke in an e-mail; after that it is the server's fault
log = logging.getLogger("portal.mail")


@dataclass
class SendReport:
    """How many e-mails were sent, and refused for now or for good. `fault` is why the server could not be used, if so."""

    sent: int = 0
    refused: int = 0
    fault: str = ""
    is_more: bool = False  # whether others may be due


def send_due(connect: Callable[[], Transport], operator_address: str, at: int) -> SendReport:
    """Send some of the e-mails that are due at `at`, oldest first: as many as are claimed at once."""
    report, began = SendReport(), time.monotonic()
    batch = outbox.claim(at)
    if batch:
        with connect() as transport:
            _Batch(transport, operator_address, at, report).send(batch, began + outbox.CLAIM - SLOWEST)
    report.is_more = len(batch) == outbox.AT_ONCE and not report.fault
    return report


class _Batch:
    """Some claimed e-mails, sent over one connection as far as possible."""

    def __init__(self, transport: Transport, operator_address: str, at: int, report: SendReport) -> None:
        self.transport, self.operator_address, self.at, self.report = transport, operator_address, at, report
        self.drops = 0

    def send(self, batch: list[Outgoing], until: float) -> None:
        """Send them until the monotonic time `until`; those that are left over are taken again once the claim is over."""
        for position, outgoing in enumerate(batch):
            rest = [each.email for each in batch[position:]]
            if time.monotonic() > until:
                return
            try:
                self._send(outgoing)
            except ServerFault as fault:
                self.report.fault = str(fault)
                outbox.note_server_fault(rest, str(fault), self.at)
                return
            if self.drops >= MOST_DROPS:
                self.report.fault = "the server breaks off in each e-mail"
                outbox.note_server_fault(rest[1:], self.report.fault, self.at)
                return

    def _send(self, outgoing: Outgoing) -> None:
        email = outgoing.email
        content = outbox.content_of(email)
        if content is None:
            self._refuse(outgoing, Refused("its secret key is not known any more"))
            return
        try:
            message = delivery.composed(outgoing, content, self.operator_address)
        except Exception as error:  # a name or a key that the library chokes on must not stop the others
            log.exception("e-mail %s cannot be composed", email.id)
            self._refuse(outgoing, Refused(f"it cannot be composed: {type(error).__name__}"))
            return
        recipients = [*email.recipients["to"], *email.recipients["cc"]]
        try:
            self.transport.send(email.id, self.operator_address, recipients, message)
        except Refused as refusal:
            self.drops = self.drops + 1 if refusal.broke_off else 0
            self._refuse(outgoing, refusal)
        except PartlySent as partly:
            outbox.note_sent(email, self.at, gone=partly.gone, reason=str(partly))
            self.report.sent += 1
        else:
            self.drops = 0
            outbox.note_sent(email, self.at)
            self.report.sent += 1

    def _refuse(self, outgoing: Outgoing, refusal: Refused) -> None:
        self.report.refused += 1
        outbox.note_refused(outgoing.email, str(refusal), self.at, for_good=refusal.for_good)


class Writer(Protocol):
    """Writes e-mails into the outbox, some at a time; whether there may be more. `stays_local`: none leaves this machine."""

    def __call__(self, at: int, *, stays_local: bool) -> bool: ...


def send(app: Flask, writers: Sequence[Writer] = ()) -> SendReport | None:
    """Answer who asked for a code, let others write, and send what is due now, as the settings say.

    None if there was nothing to do, or e-mail is off.
    """
    settings: Settings = app.config["SETTINGS"]
    with app.app_context(), app.test_request_context(base_url=settings.base_url):
        at = clock.now()
        if not settings.sends_mail:
            return None
        if logins.is_any_unanswered():
            login_codes.answer_requests(at)
        is_more = sum(_write(writer, at, stays_local=not settings.smtp_url) for writer in writers) > 0
        if not outbox.is_anything_due(at):
            return SendReport(is_more=True) if is_more else None
        report = send_due(delivery.transport_of(settings.smtp_url, settings.mail_folder), settings.mail_from, at)
        report.is_more = not report.fault and (report.is_more or is_more)
    if report.fault:
        log.error("e-mails wait: %s", report.fault)
    if report.sent or report.refused:
        log.info("sent %d e-mails, %d were refused", report.sent, report.refused)
    return report


def _write(writer: Writer, at: int, *, stays_local: bool) -> bool:
    """Let one writer write. Its faults must keep neither the others nor what is in the outbox."""
    try:
        return writer(at, stays_local=stays_local)
    except Exception as error:
        if is_of_surroundings(error):
            raise
        log.exception("e-mails cannot be written")
        return False


def run(app: Flask, stop: threading.Event, writers: Sequence[Writer] = (), every: float = EVERY) -> None:
    """Send whatever is due until `stop` is set. What is no defect is one line in the log."""
    while not stop.is_set():
        report = None
        try:
            report = send(app, writers)
        except Exception as error:
            if is_of_surroundings(error):
                log.error("e-mails wait: %s", described(error))
            else:
                log.exception("e-mails wait")
            stop.wait(10 * every)
        if report is None or not report.is_more:
            stop.wait(every)


def in_thread(app: Flask, stop: threading.Event, writers: Sequence[Writer]) -> threading.Thread:
    """`run` beside the billing, which must not wait for a slow mail server."""
    thread = threading.Thread(target=run, args=(app, stop, writers), name="mail", daemon=True)
    thread.start()
    return thread
