"""What an e-mail says, before it becomes text and HTML; and the sender."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from email_validator import EmailNotValidError, validate_email

_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
LONGEST_NAME = 100


@dataclass(frozen=True)
class Button:
    """The one thing to do: a link with its text."""

    words: str
    address: str


@dataclass(frozen=True)
class Message:
    """An e-mail's subject and parts, in one language. `preview` is what mail programs show beside the subject.

    `code` is a one-time code, in large type; `rows` are pairs of a label and a value. `links` stand small below all else. Where
    `unsubscribe` leads, the reader can stop e-mails of this kind, which mail programs offer too.

    A merchant's own words (`own_words`) can stand in the place of the subject, of the `opening`, which is the paragraphs that
    other parts repeat, and of the button's words. `values` are those that such words can name.
    """

    subject: str
    heading: str
    opening: tuple[str, ...] = ()
    paragraphs: tuple[str, ...] = ()
    preview: str = ""
    code: str = ""
    rows: tuple[tuple[str, str], ...] = ()
    button: Button | None = None
    notes: tuple[str, ...] = ()
    links: tuple[Button, ...] = ()
    unsubscribe: str = ""
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Dkim:
    """The signature of the merchant's own domain. `key` is a private key in PEM, encrypted as `encryption.encrypt` does."""

    domain: str
    selector: str
    key: str


@dataclass(frozen=True)
class SenderSettings:
    """An account's own sender, from `Account.mail`. Without an address, the operator's is used, with the business's name."""

    name: str | None = None
    address: str | None = None
    reply_to: str | None = None
    dkim: Dkim | None = None

    @classmethod
    def of(cls, document: Mapping[str, Any] | None) -> Self:
        """The settings in a stored document. Raises TypeError for a member that is unknown."""
        members = dict(document or {})
        dkim = members.pop("dkim", None)
        return cls(**members, dkim=Dkim(**dkim) if dkim else None)


def one_line(text: str) -> str:
    """The text on one line, without control characters and marks that turn the direction of others."""
    kept = (" " if unicodedata.category(c) in ("Cc", "Zl", "Zp", "Cs") else c for c in text if c not in _BIDI)
    return "".join(kept).strip()


def header_text(name: str) -> str:
    """A name fit for a header: on one line, with single blanks, and not too long."""
    return " ".join(one_line(name).split())[:LONGEST_NAME]


def deliverable(address: str | None) -> str | None:
    """The address as it is sent to, with an international domain in ASCII; None if it is not one."""
    if not address:
        return None
    try:
        found = validate_email(address, check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        return None
    return found.ascii_email or found.normalized


def masked(email: str) -> str:
    """An address for a page that anybody may see: its owner knows it by the first letter and the domain."""
    return f"{email[:1]}•••@{email.rpartition('@')[2]}"
