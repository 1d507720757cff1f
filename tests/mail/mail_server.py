"""A real SMTP server on loopback that does as it is told."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.web.processes import free_port

Answer = str | Callable[[SMTP], str]


@dataclass
class MailServer:
    """What it has taken, and what it answers: the next of a list, then 250."""

    taken: list[Envelope] = field(default_factory=list)
    to_recipients: list[str] = field(default_factory=list)
    to_messages: list[Answer] = field(default_factory=list)
    unknown: set[str] = field(default_factory=set)
    url: str = ""
    encrypted: list[bool] = field(default_factory=list)

    @property
    def messages(self) -> list[EmailMessage]:
        return [message_from_bytes(bytes(envelope.content or b""), policy=default) for envelope in self.taken]  # type: ignore[misc,arg-type]

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.unknown:
            return "550 5.1.1 no such user"
        answer = self.to_recipients.pop(0) if self.to_recipients else "250 OK"
        if answer.startswith("2"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        answer = self.to_messages.pop(0) if self.to_messages else "250 OK"
        if not isinstance(answer, str):
            answer = answer(server)
        if answer.startswith("2"):
            self.taken.append(envelope)
            self.encrypted.append(session.ssl is not None)
        return answer


def hang_up(server: SMTP) -> str:
    """Ends the connection instead of an answer."""
    server.transport.close()  # type: ignore[union-attr]
    return "451 gone"


def hang_up_having_taken(server: SMTP) -> str:
    """Takes the e-mail and ends the connection before it has said so."""
    server.transport.close()  # type: ignore[union-attr]
    return "250 too late"


@contextmanager
def running(**options: Any) -> Iterator[MailServer]:
    """A server; the options are those of aiosmtpd's SMTP, and `login` as (name, password)."""
    login = options.pop("login", None)
    if login:
        given = LoginPassword(login[0].encode(), login[1].encode())
        options |= {
            "authenticator": lambda _server, _session, _envelope, _how, data: AuthResult(
                success=data == given, handled=False
            ),
            "auth_required": True,
            "auth_require_tls": False,
        }
    handler = MailServer()
    controller = Controller(handler, hostname="127.0.0.1", port=free_port(), **options)
    controller.start()
    handler.url = f"smtp://{f'{login[0]}:{login[1]}@' if login else ''}127.0.0.1:{controller.port}?tls=none"
    try:
        yield handler
    finally:
        controller.stop()
