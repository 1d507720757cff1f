"""Handing e-mails over: to an SMTP server, or into a folder in the demo."""

import re
import smtplib
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self
from urllib.parse import unquote, urlsplit

import dkim

from portal_site import encryption, locations
from portal_site.mail.messages import deliverable, header_text
from portal_site.mail.outbox import Outgoing
from portal_site.mail.rendering import Content

CONNECT_TIMEOUT = 20  # seconds; also for each answer of the server
NO_SUCH_ADDRESS = frozenset({"5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10"})
DKIM_PURPOSE = "dkim"
DKIM_HEADERS = [
    b"from",
    b"to",
    b"cc",
    b"subject",
    b"date",
    b"message-id",
    b"reply-to",
    b"mime-version",
    b"content-type",
    b"list-unsubscribe",
]


class ServerFault(Exception):
    """The server cannot be reached, or does not let us in. No e-mail is to blame."""


class Refused(Exception):
    """The server refused an e-mail. `for_good` are those of its addresses that it will never take.

    `broke_off` says that the connection ended in it, so that nobody knows whether the server has it.
    """

    def __init__(self, reason: str, for_good: Sequence[str] = (), *, broke_off: bool = False) -> None:
        super().__init__(reason)
        self.for_good = for_good
        self.broke_off = broke_off


class PartlySent(Exception):
    """The server took it for some of the recipients. `gone` are addresses that do not exist."""

    def __init__(self, gone: Sequence[str], reason: str) -> None:
        super().__init__(reason)
        self.gone = gone


class Transport(Protocol):
    """Where e-mails go. It is a context manager: a connection is kept for several."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def send(self, name: str, envelope_from: str, recipients: Sequence[str], message: bytes) -> None:
        """Hand over one. `name` identifies it. Raises ServerFault or Refused."""


@dataclass(frozen=True)
class SmtpServer:
    """An SMTP server, from a URL: smtp:// with STARTTLS (or ?tls=none, for one on the same machine), or smtps://."""

    host: str
    port: int
    username: str | None
    password: str | None
    security: str  # starttls, tls or none

    @classmethod
    def of(cls, url: str) -> Self:
        """The server at a checked URL."""
        parts = urlsplit(url)
        is_tls = parts.scheme == "smtps"
        security = "tls" if is_tls else "none" if parts.query == "tls=none" else "starttls"
        name, word = (unquote(text) if text else None for text in (parts.username, parts.password))
        return cls(parts.hostname or "", parts.port or (465 if is_tls else 587), name, word, security)


class SmtpTransport:
    """A connection to an SMTP server, opened with the first e-mail."""

    def __init__(self, server: SmtpServer) -> None:
        self.server = server
        self._connection: smtplib.SMTP | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()

    def send(self, name: str, envelope_from: str, recipients: Sequence[str], message: bytes) -> None:
        """Hand over one. Raises ServerFault or Refused."""
        connection = self._connect()
        try:
            refused = connection.sendmail(
                envelope_from, list(recipients), message, mail_options=_options(connection, recipients)
            )
        except smtplib.SMTPRecipientsRefused as error:
            raise self._refused(error.recipients) from error
        except smtplib.SMTPSenderRefused as error:
            self._leave()
            raise ServerFault(
                f"the sender {envelope_from} is refused: {_said(error.smtp_code, error.smtp_error)}"
            ) from error
        except smtplib.SMTPDataError as error:
            raise Refused(_said(error.smtp_code, error.smtp_error)) from error
        except smtplib.SMTPNotSupportedError as error:
            raise Refused(f"the server does not take such an address: {error}") from error
        except (smtplib.SMTPException, OSError) as error:
            self._leave()
            raise Refused(f"{type(error).__name__}: {error}", broke_off=True) from error
        if refused:  # the others got it
            refusal = self._refused(refused)
            raise PartlySent(refusal.for_good, str(refusal))

    def _refused(self, by_address: dict[str, tuple[int, bytes]]) -> Refused:
        gone = [address for address, answer in by_address.items() if _is_unknown(*answer)]
        return Refused("; ".join(f"{address}: {_said(*answer)}" for address, answer in by_address.items()), gone)

    def _connect(self) -> smtplib.SMTP:
        if self._connection is not None and self._connection.sock is None:  # it said goodbye
            self._connection = None
        if self._connection is None:
            try:
                self._connection = _open(self.server)
            except (smtplib.SMTPException, OSError) as error:
                raise ServerFault(f"{type(error).__name__}: {error}") from error
        return self._connection

    def _leave(self) -> None:
        if self._connection is not None:
            with suppress(smtplib.SMTPException, OSError):
                self._connection.quit()
            self._connection = None


def _open(server: SmtpServer) -> smtplib.SMTP:
    if server.security == "tls":
        context = ssl.create_default_context()
        connection: smtplib.SMTP = smtplib.SMTP_SSL(server.host, server.port, timeout=CONNECT_TIMEOUT, context=context)
    else:
        connection = smtplib.SMTP(server.host, server.port, timeout=CONNECT_TIMEOUT)
    try:
        if server.security == "starttls":
            connection.starttls(context=ssl.create_default_context())
        if server.username is not None:
            connection.login(server.username, server.password or "")
    except BaseException:
        connection.close()
        raise
    return connection


def _options(connection: smtplib.SMTP, recipients: Sequence[str]) -> list[str]:
    connection.ehlo_or_helo_if_needed()
    if all(address.isascii() for address in recipients):
        return []
    if not connection.has_extn("smtputf8"):
        raise smtplib.SMTPNotSupportedError("it has letters that this server does not know")
    return ["SMTPUTF8", "BODY=8BITMIME"]


def _is_unknown(code: int, words: bytes | str) -> bool:
    """Whether the answer says that there is no such address, and not that the server is full, strict, or set up wrongly.

    Enhanced status codes (RFC 3463) tell; of a server without them, those codes count that RFC 5321 has for it.
    """
    enhanced = re.match(r"\s*(\d\.\d{1,3}\.\d{1,3})\b", _said(code, words).partition(" ")[2])
    return enhanced[1] in NO_SUCH_ADDRESS if enhanced else code in (550, 551, 553)


def _said(code: int, words: bytes | str) -> str:
    text = words.decode(errors="replace") if isinstance(words, bytes) else words
    return f"{code} {' '.join(text.split())}"


class FolderTransport:
    """A folder of .eml files, for the demo and for development."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> Self:
        locations.make_private_folder(self.folder)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is left open."""

    def send(self, name: str, envelope_from: str, recipients: Sequence[str], message: bytes) -> None:
        """Write one file."""
        path = self.folder / f"{name}.eml"
        locations.make_private_file(path)
        path.write_bytes(message)


# --- the message ------------------------------------------------------------------------------------------------------


def composed(outgoing: Outgoing, content: Content, operator_address: str) -> bytes:
    """The whole e-mail with its headers. The same row makes the same e-mail, with the same Message-ID, each time."""
    email, sender = outgoing.email, outgoing.sender
    address = sender.address or operator_address
    message = EmailMessage(policy=SMTP_POLICY)
    message["From"] = str(Address(header_text(sender.name or outgoing.business), addr_spec=address))
    message["To"] = ", ".join(email.recipients["to"])
    if email.recipients["cc"]:
        message["Cc"] = ", ".join(email.recipients["cc"])
    if reply_to := deliverable(sender.reply_to) or deliverable(outgoing.support_email):
        message["Reply-To"] = reply_to
    message["Subject"] = header_text(content.subject)
    message["Date"] = format_datetime(datetime.fromtimestamp(email.created, UTC))
    message["Message-ID"] = f"<{email.id}@{address.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    if content.unsubscribe:
        message["List-Unsubscribe"] = f"<{content.unsubscribe}>"
    message.set_content(content.text)
    message.add_alternative(content.html, subtype="html")
    # The parts are told apart by what is never in them: a random one would make another e-mail of the same row.
    message.set_boundary(f"=_{email.id}")
    return _signed(message.as_bytes(), outgoing)


def _signed(message: bytes, outgoing: Outgoing) -> bytes:
    settings = outgoing.sender.dkim
    key = encryption.decrypt(DKIM_PURPOSE, settings.key) if settings else None
    if settings is None or key is None:
        return message
    signature: bytes = dkim.sign(
        message, settings.selector.encode(), settings.domain.encode(), key.encode(), include_headers=DKIM_HEADERS
    )
    return signature + message


def transport_of(smtp_url: str, folder: Path) -> Callable[[], Transport]:
    """What makes connections: to the server at the URL or, without one, to the folder."""
    if not smtp_url:
        return lambda: FolderTransport(folder)
    server = SmtpServer.of(smtp_url)
    return lambda: SmtpTransport(server)
