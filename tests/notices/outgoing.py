"""What the worker writes into the outbox, to be looked at."""

import json
import re
from dataclasses import dataclass, field
from typing import Any

from flask import Flask
from sqlalchemy import select

from portal_site import encryption
from portal_site.billing.billing_run import runner
from portal_site.mail import outbox
from portal_site.mail.models import Email
from portal_site.notices import following, reminders
from tests.world import reading

DAY = 24 * 60 * 60
BACK = "http://127.0.0.1:8000/back"


@dataclass
class Mail:
    """An e-mail in the outbox."""

    kind: str
    to: list[str]
    cc: list[str]
    subject: str
    text: str
    html: str
    unsubscribe: str
    expires_at: int | None
    links: list[str] = field(default_factory=list)

    @property
    def link(self) -> str:
        """The path of the first link of its own."""
        return next(each for each in self.links if each.startswith("/m/"))


def written(app: Flask, at: int, *, stays_local: bool = True) -> list[Mail]:
    """Let the worker write at this instant, then everything that is in the outbox, oldest first."""
    with app.test_request_context(base_url="http://127.0.0.1:8000"):
        for _turn in range(50):
            if not following.CUSTOMERS.follow(at, stays_local=stays_local) | reminders.write_due(
                at, stays_local=stays_local
            ):
                break
    with reading() as reader:
        rows = reader.execute(select(Email.__table__).order_by(Email.created, Email.id)).all()
    return [_mail(row) for row in rows]


def of_kind(mails: list[Mail], kind: str) -> Mail:
    """The only e-mail of a kind."""
    (found,) = [mail for mail in mails if mail.kind == kind]
    return found


def bill(app: Flask, at: int) -> None:
    """A billing run."""
    with app.test_request_context(base_url="http://127.0.0.1:8000"):
        runner.run(app.extensions["gateways"], at, lambda _id: BACK)


def _mail(row: Any) -> Mail:
    subject, text, html, unsubscribe = json.loads(encryption.decrypt(outbox.PURPOSE, row.content) or "")
    links = [found.partition("8000")[2] for found in re.findall(r"http://127\.0\.0\.1:8000\S+", text)]
    to, cc = row.recipients["to"], row.recipients["cc"]
    return Mail(row.kind, to, cc, subject, text, html, unsubscribe, row.expires_at, links)
