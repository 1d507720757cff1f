"""The sender of an account's e-mails: its records in the DNS of a real server, its key, and whom e-mails come from in the end."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import dkim
import pytest
import time_machine
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from flask import Flask
from sqlalchemy import select
from werkzeug.test import TestResponse

from portal_site import clock
from portal_site.billing.models import Account, Event
from portal_site.db.transactions import reading, transaction
from portal_site.mail import delivery, outbox, sending
from portal_site.mail.outbox import Draft
from portal_site.mail.rendering import Content
from portal_site.mail.senders import settings
from portal_site.mail.senders.settings import Sender
from portal_site.staff import sessions
from portal_site.staff.roles import Role
from tests.client import PortalClient, parse, text
from tests.dashboard.counter import Counter
from tests.dashboard.staff import employ, sign_in
from tests.domains.name_server import NameServer, name_server
from tests.mail import mail_server
from tests.web.processes import free_port

OPERATOR, RELAY = "billing@operator.example", "include:spf.relay.example"


@dataclass
class Desk:
    """An owner at the page of the sender, the account, and the name server that is asked."""

    app: Flask
    client: PortalClient
    account_id: str
    dns: NameServer

    @property
    def sender(self) -> Sender:
        with self.app.app_context():
            return settings.get(self.account_id)

    def page(self) -> str:
        return text(self.client.get(self.address()).text)

    def address(self, rest: str = "") -> str:
        return f"/dashboard/{self.account_id}/emails/sender{rest and '/'}{rest}"

    def post(self, rest: str = "", **data: str) -> TestResponse:
        """Send a form of the page as it is now."""
        fields = list(parse(self.client.get(self.address()).text).iter("input"))
        marks = {str(field.get("value")) for field in fields if field.get("name") == "mark"}
        (mark,) = marks
        return self.client.send(self.address(rest), {"mark": mark, **data})

    def save(self, address: str = "", name: str = "", reply_to: str = "") -> TestResponse:
        return self.post(address=address, name=name, reply_to=reply_to)

    def publish(self) -> None:
        """Set the record of the key as the page shows it, in parts as providers want them."""
        found = re.findall(r'<code class="token">([^<]+)</code>', self.client.get(self.address()).text)
        name, value = found[0], found[1]
        assert value.startswith("v=DKIM1; k=rsa; p=MII")
        parts = " ".join(f'"{value[at : at + 200]}"' for at in range(0, len(value), 200))
        self.dns.set(name, "TXT", parts.replace(";", "\\;"))

    def sent(self) -> Any:
        """What really leaves of an e-mail that is written now."""
        with self.app.app_context(), mail_server.running() as server:
            with transaction() as session:
                draft = Draft(
                    self.account_id, False, "receipt", f"k{clock.now()}{self.sender.mark}", ["hedda@x.example"]
                )
                outbox.write(session, draft, Content("Hi", "Hi", "<p>Hi</p>"), clock.now())
            report = sending.send_due(delivery.transport_of(server.url, None), OPERATOR, clock.now())  # type: ignore[arg-type]
            assert report.sent == 1
            return server


@pytest.fixture
def here(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    # The resolver's patience needs a clock that goes on.
    with name_server() as dns, time_machine.travel(clock.now(), tick=True):
        monkeypatch.setitem(counter.app.extensions, "dns", dns.client)
        own = replace(
            counter.app.config["SETTINGS"], mail_from=OPERATOR, smtp_url="smtp://127.0.0.1:1", mail_spf=(RELAY,)
        )
        monkeypatch.setitem(counter.app.config, "SETTINGS", own)
        yield Desk(counter.app, counter.client, counter.account_id, dns)


def _verified(desk: Desk, message: bytes) -> bool:
    def txt(name: bytes, **_options: Any) -> bytes | None:
        found = desk.dns.client.texts(name.decode().removesuffix("."))
        return found[0].encode() if found else None

    return bool(dkim.verify(message, dnsfunc=txt))


def test_name_and_answers_count_at_once_and_the_address_is_the_operators(here: Desk) -> None:
    assert f"Emails come from Lumen Press <{OPERATOR}>, not signed here." in here.page()
    assert "DNS records" not in here.page()
    assert here.save(name="Lumen\r\nBcc: x@evil.example", reply_to="books@lumen.example").status_code == 303
    (message,) = here.sent().messages
    assert message["From"] == f'"LumenBcc: x@evil.example" <{OPERATOR}>'
    assert message["Reply-To"] == "books@lumen.example"
    assert message["Bcc"] is None


def test_an_address_is_used_once_the_record_of_its_key_is_found(here: Desk) -> None:
    assert here.save("Billing@Lumen.example", "Lumen").status_code == 303
    assert "They come from Billing@lumen.example once the record of its key is found." in here.page()
    assert "Not looked at" in here.page()
    assert here.sent().messages[0]["From"] == f"Lumen <{OPERATOR}>"
    assert here.post("check").status_code == 303
    assert here.page().count("Missing") == 3
    assert here.sender.current.address is None
    here.publish()
    here.dns.set("lumen.example", "TXT", '"v=spf1 mx -all"', '"x"')
    here.dns.set("_dmarc.lumen.example", "TXT", '"v=DMARC1\\; p=none"')
    page = text(here.client.get(here.post("check").location).text)
    assert "The domain is proven: emails come from Billing@lumen.example now." in page
    assert "SPF Different" in page
    assert f"Value v=spf1 {RELAY} mx -all Found v=spf1 mx -all" in page
    assert "DMARC Found" in page
    assert "Looked at: " in page
    server = here.sent()
    assert server.messages[0]["From"] == "Lumen <Billing@lumen.example>"
    assert server.taken[0].mail_from == OPERATOR
    assert _verified(here, bytes(server.taken[0].content))
    assert here.save("books@lumen.example", "Lumen").status_code == 303  # of the same domain: at once
    assert (here.sender.current.address, here.sender.next) == ("books@lumen.example", None)


@pytest.mark.parametrize("how", ["broken", "silent", "another key"])
def test_without_the_proof_nobody_is_pretended_to_be(here: Desk, how: str) -> None:
    here.save("ceo@bank.example")
    name = f"{here.sender.place[1]}._domainkey.bank.example"
    if how == "another key":
        here.dns.set(name, "TXT", '"v=DKIM1\\; p=AAAA"')
    else:
        getattr(here.dns, how).add(name)
    assert here.post("check").status_code == 303
    assert f"DKIM {'Different' if how == 'another key' else 'No answer'}" in here.page()
    assert here.sender.current.address is None
    assert here.sent().messages[0]["From"] == f"Lumen Press <{OPERATOR}>"


def test_another_key_takes_over_when_it_is_found(here: Desk) -> None:
    here.save("billing@lumen.example")
    here.publish()
    here.post("check")
    former = here.sender.current.dkim
    assert here.post("key", source="new", selector="Next").status_code == 303
    assert "The key next signs them once its record is found." in here.page()
    server = here.sent()
    assert _verified(here, bytes(server.taken[0].content))
    here.post("check")
    assert here.sender.current.dkim == former
    assert here.post("withdrawal").status_code == 303
    assert here.sender.next is None
    here.post("key", source="new", selector="next")
    here.publish()
    here.post("check")
    assert here.sender.place == ("lumen.example", "next")
    server = here.sent()
    assert b"s=next;" in bytes(server.taken[0].content).replace(b"\r\n ", b"")
    assert _verified(here, bytes(server.taken[0].content))
    refused = here.post("key", source="new", selector="next")
    assert (refused.status_code, "has this selector" in text(refused.text)) == (422, True)
    assert here.save("").status_code == 303
    assert (here.sender.current.address, here.sender.current.dkim) == (None, None)


def _pem() -> str:
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return rsa.generate_private_key(65537, 2048).private_bytes(serialization.Encoding.PEM, form, plain).decode()


def test_ones_own_key_is_stored_encrypted_and_never_shown_again(here: Desk) -> None:
    here.save("billing@lumen.example")
    pem = _pem()
    secret = pem.splitlines()[5]
    assert here.post("key", source="own", selector="mine", key=pem).status_code == 303
    assert here.sender.place == ("lumen.example", "mine")
    with reading() as reader:
        row = reader.execute(select(Account.__table__).where(Account.id == here.account_id)).one()
        events = reader.scalars(select(Event.data).where(Event.account_id == here.account_id)).all()
    for place in (repr(row), repr(events), here.client.get(here.address()).text):
        assert secret not in place
    assert events[-1]["object"]["settings_changed"]["sender"]["next_key"] == "mine._domainkey.lumen.example"
    assert here.sender.next is not None
    assert here.sender.next.dkim.key not in repr(events)
    refused = here.post("key", source="own", selector="no good!", key=pem)
    assert (refused.status_code, secret in refused.text) == (422, False)


BAD: list[tuple[str, dict[str, str], str]] = [
    ("", {"address": "nobody"}, "Enter an email address such as"),
    ("", {"address": "élodie@lumen.example"}, "Enter an email address such as"),
    ("", {"address": "a@b.example, c@d.example"}, "Enter an email address such as"),
    ("", {"reply_to": "x@y"}, "Enter an email address such as"),
    ("", {"name": "x" * 101}, "at most 100 characters"),
    ("", {"address": f"{'x' * 250}@lumen.example"}, "longer than 254 characters"),
    ("key", {"source": "own"}, "Paste the key."),
    ("key", {"source": "own", "key": "no key"}, "not a private key as PEM"),
    ("key", {"source": "own", "key": "x" * 10_001}, "longer than 10000"),
    ("key", {"source": "new", "selector": "a b"}, "A selector is a name such as"),
    ("key", {"source": "new", "selector": ".."}, "A selector is a name such as"),
    ("key", {"source": "stolen"}, "Not a valid choice"),
]


@pytest.mark.case("C11")
@pytest.mark.parametrize(("rest", "data", "words"), BAD)
def test_what_cannot_be_is_refused_at_its_field_and_nothing_is_stored(
    here: Desk, rest: str, data: dict[str, str], words: str
) -> None:
    here.save("billing@lumen.example")
    before = here.sender
    refused = here.post(rest, **({"address": "billing@lumen.example", **data} if not rest else data))
    assert (refused.status_code, words in text(refused.text)) == (422, True), text(refused.text)[-2500:]
    assert here.sender == before


def test_a_key_of_another_kind_is_refused(here: Desk) -> None:
    here.save("billing@lumen.example")
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(serialization.Encoding.PEM, form, plain).decode()
    refused = here.post("key", source="own", key=pem)
    assert (refused.status_code, "must be an RSA key of 1,024 to 4,096 bits" in text(refused.text)) == (422, True)


def test_without_an_address_there_is_nothing_to_sign_or_to_look_at(here: Desk) -> None:
    refused = here.post("key", source="new")
    assert (refused.status_code, "Enter an address first" in text(refused.text)) == (422, True)
    refused = here.post("check")
    assert (refused.status_code, "no records to look at" in text(refused.text)) == (422, True)
    assert here.dns.asked == []


def test_who_saves_second_is_told(here: Desk) -> None:
    here.client.get(here.address())
    stale = here.sender.mark
    here.save("billing@lumen.example")
    before = here.sender
    for rest, data in (("", {"address": ""}), ("key", {"source": "new"}), ("withdrawal", {})):
        refused = here.client.send(here.address(rest), {"mark": stale, **data})
        assert (refused.status_code, "Somebody else has changed the sender" in text(refused.text)) == (409, True)
    assert here.sender == before


def test_what_is_changed_while_dns_is_asked_is_not_proven(here: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    here.save("billing@lumen.example")
    here.publish()
    client = here.dns.client
    answer = client.texts_of

    def slowly(names: Any) -> Any:
        found = answer(names)
        settings.save(here.account_id, settings.get(here.account_id).mark, "", "ceo@bank.example", "", clock.now())
        return found

    monkeypatch.setattr(client, "texts_of", slowly)
    monkeypatch.setitem(here.app.extensions, "dns", client)
    assert here.post("check").status_code == 422
    assert (here.sender.current.address, here.sender.next and here.sender.next.address) == (None, "ceo@bank.example")


def test_what_became_of_a_test_is_said(here: Desk) -> None:
    there = f"/dashboard/{here.account_id}/emails/test"
    form = {"page": "receipt", "page_of": "sender"}
    here.client.get(here.address())
    assert here.client.send(there, form).location == here.address()
    assert "is on its way." in here.page()
    away = f"smtp://127.0.0.1:{free_port()}?tls=none"
    with here.app.app_context():
        assert sending.send_due(delivery.transport_of(away, None), OPERATOR, clock.now()).fault  # type: ignore[arg-type]
    assert "waits: the operator’s mail server cannot be used at the moment." in here.page()
    with mail_server.running() as server, here.app.app_context():
        server.to_recipients.append("554 5.7.1 sender not allowed")
        at = clock.now() + 3600
        sending.send_due(delivery.transport_of(server.url, None), OPERATOR, at)  # type: ignore[arg-type]
        assert "was refused. The server said: ada@lumen.example: 554 5.7.1 sender not allowed" in here.page()
        sending.send_due(delivery.transport_of(server.url, None), OPERATOR, at + 3600)  # type: ignore[arg-type]
    assert "to ada@lumen.example was taken by the mail server." in here.page()
    here.app.config["SETTINGS"] = replace(here.app.config["SETTINGS"], smtp_url="")
    here.client.send(there, form)
    assert "This portal sends no emails yet" in here.page()


def test_it_needs_an_owner_or_admin_who_has_just_proved_it(here: Desk) -> None:
    admin = sign_in(here.app, employ(here.account_id, Role.ADMIN, "adam@lumen.example", "Adam"))
    assert admin.get(here.address()).status_code == 200
    with time_machine.travel(clock.now() + sessions.FRESH + 60, tick=False):
        assert here.client.get(here.address()).location.startswith("/dashboard/proof")
        for rest in ("", "key", "check", "withdrawal"):
            assert here.client.send(here.address(rest)).location.startswith("/dashboard/proof")


@pytest.mark.both_databases
def test_a_sender_is_proven_on_both_databases(app: Flask) -> None:
    from portal_site.billing.events.actors import ActorType, acting_as
    from portal_site.mail.senders import checks, keys
    from tests.dashboard.staff import account

    with acting_as(ActorType.OPERATOR), name_server() as dns:
        account_id = account()
        saved = settings.save(account_id, settings.get(account_id).mark, "Lumen", "b@lumen.example", "", 5)
        assert saved.next is not None
        public = keys.public_key(saved.next.dkim)
        value = f'"v=DKIM1\\; p={public[:200]}" "{public[200:]}"' if public else ""
        dns.set(f"{saved.place[1]}._domainkey.lumen.example", "TXT", value)
        found = checks.check(account_id, dns.client, 6)
        assert (found.current.address, found.next) == ("b@lumen.example", None)
        assert found == settings.get(account_id)
        assert settings.set_sender(account_id, 7, name="Lumen") is None  # the operator's own word, at once
        assert settings.get(account_id).current.address is None
