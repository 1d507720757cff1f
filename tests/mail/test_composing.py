"""What leaves: headers that nobody can bend, both parts complete, signed for the merchant's domain, over a safe connection."""

import datetime
import ssl
from pathlib import Path
from typing import Any

import dkim
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

from portal_site import encryption
from portal_site.billing.models import Account
from portal_site.branding.theme import Branding
from portal_site.mail import delivery, outbox, rendering, sending
from portal_site.mail.delivery import DKIM_PURPOSE, SmtpServer
from portal_site.mail.messages import Button, Message, deliverable, header_text
from portal_site.mail.outbox import Draft
from portal_site.mail.rendering import Content, Reader
from tests import world
from tests.mail import mail_server
from tests.mail.test_sending import FROM, _send

MESSAGE = Message(
    subject="Your receipt",
    heading="Thank you",
    paragraphs=("US$36.00 was charged to Visa •••• 4242.",),
    preview="US$36.00",
    code="123456",
    rows=(("Invoice", "ACME-0001"), ("Total", "US$36.00")),
    button=Button("See the invoice", "https://billing.example.com/a?b=1&c=2"),
    notes=("You get this because you pay <b>Acme</b>.",),
)


def _key(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


def _pem(key: rsa.RSAPrivateKey) -> str:
    plain = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, plain).decode()


@given(st.text(max_size=300))
def test_no_name_breaks_out_of_its_header(name: str) -> None:
    made = header_text(name)
    assert len(made) <= 100
    assert made == " ".join(made.split())
    assert not set(made) & set("\r\n\0\u202e\u2066")


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        ("hedda@acme.example", "hedda@acme.example"),
        ("hedda@müller.example", "hedda@xn--mller-kva.example"),
        (None, None),
        ("hedda@", None),
    ],
)
def test_addresses_are_sent_to_in_ascii_where_they_can_be(typed: str | None, sent: str | None) -> None:
    assert deliverable(typed) == sent


def test_both_parts_say_everything(lite_app: Flask) -> None:
    with lite_app.test_request_context(), rendering.in_language_of(Reader("en", "UTC")):
        content = rendering.render(MESSAGE, "Acme", Branding())
    for words in ("Thank you", "US$36.00 was charged to Visa •••• 4242.", "123456", "ACME-0001", "See the invoice"):
        assert words in content.text
        assert words in content.html
    assert "https://billing.example.com/a?b=1&c=2" in content.text
    assert "https://billing.example.com/a?b=1&amp;c=2" in content.html
    assert "&lt;b&gt;Acme&lt;/b&gt;" in content.html
    assert "<b>Acme</b>" in content.text
    for outside in ("<img", "<link", "@import", "<script", "url("):
        assert outside not in content.html
    assert content.html.count("<style") == 1
    assert "prefers-color-scheme: dark" in content.html
    assert "background-color" in content.html.split("<body", 1)[1]


def test_whom_it_is_for_decides_the_language_and_nothing_is_left_of_it(lite_app: Flask) -> None:
    from flask import g

    with lite_app.test_request_context():
        with rendering.in_language_of(Reader(None, "Europe/Paris", preferred_locales=("fr-FR",))):
            assert rendering.filters.money(3600, "eur") == "36,00\u00a0€"
            assert rendering.filters.date(world.START) == "1er avril 2026"
        assert "visitor" not in g
        assert "locale_context" not in g


def _account(**mail: Any) -> str:
    account_id = world.scene().account_id
    with world.transaction() as session:
        account = session.get(Account, account_id)
        assert account
        account.mail, account.business_name = mail, "Acme\r\nBcc: x@evil.example"
        account.support_email = "help@acme.example"
    return account_id


def _sent(account_id: str) -> Any:
    content = Content("Hi\r\nBcc: x@evil.example", "Hi", "<p>Hi</p>")
    with mail_server.running() as server:
        with world.transaction() as session:
            outbox.write(
                session, Draft(account_id, False, "receipt", "k", ["hedda@acme.example"]), content, world.START
            )
        assert _send(server.url).sent == 1
        return server


@pytest.mark.case("C11")
def test_a_line_break_in_a_name_or_subject_makes_no_header(lite_app: Flask) -> None:
    server = _sent(_account())
    (message,) = server.messages
    assert message["Bcc"] is None
    assert message["From"] == f'"Acme Bcc: x@evil.example" <{FROM}>'
    assert message["Subject"] == "Hi Bcc: x@evil.example"
    assert message["Reply-To"] == "help@acme.example"
    assert server.taken[0].rcpt_tos == ["hedda@acme.example"]


def test_the_merchants_own_sender_and_signature(lite_app: Flask) -> None:
    key = _key()
    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    sealed = encryption.encrypt(DKIM_PURPOSE, _pem(key))
    account_id = _account(
        name="Acme Billing",
        address="billing@acme.example",
        reply_to="books@acme.example",
        dkim={"domain": "acme.example", "selector": "portal", "key": sealed},
    )
    server = _sent(account_id)
    (message,) = server.messages
    assert message["From"] == "Acme Billing <billing@acme.example>"
    assert message["Reply-To"] == "books@acme.example"
    assert message["Message-ID"].endswith("@acme.example>")
    assert server.taken[0].mail_from == FROM

    def dns(name: bytes, **_options: Any) -> bytes:
        import base64

        assert name == b"portal._domainkey.acme.example."
        return b"v=DKIM1; k=rsa; p=" + base64.b64encode(public)

    content = bytes(server.taken[0].content)
    assert dkim.verify(content, dnsfunc=dns)
    assert not dkim.verify(content.replace(b"<p>Hi", b"<p>Ho"), dnsfunc=dns)


def test_a_certificate_is_checked(lite_app: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """STARTTLS with a certificate that this machine trusts, and without."""
    key, name = _key(), x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (tmp_path / "key.pem").write_text(_pem(key))
    (tmp_path / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    account_id = _account()
    with mail_server.running(tls_context=context, require_starttls=True) as server:
        url = server.url.replace("127.0.0.1", "localhost").removesuffix("?tls=none")
        with world.transaction() as session:
            content = Content("Hi", "Hi", "<p>Hi</p>")
            outbox.write(
                session, Draft(account_id, False, "receipt", "k", ["hedda@acme.example"]), content, world.START
            )
        assert "CERTIFICATE_VERIFY_FAILED" in _send(url).fault
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
        assert _send(url, world.START + 60).sent == 1
        assert server.encrypted == [True]


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://relay.example", SmtpServer("relay.example", 587, None, None, "starttls")),
        ("smtps://me%40x:p%2Fw@relay.example", SmtpServer("relay.example", 465, "me@x", "p/w", "tls")),
        ("smtp://127.0.0.1:25?tls=none", SmtpServer("127.0.0.1", 25, None, None, "none")),
    ],
)
def test_the_server_in_a_url(url: str, server: SmtpServer) -> None:
    assert SmtpServer.of(url) == server


def test_the_demos_folder(lite_app: Flask, tmp_path: Path) -> None:
    account_id = _account()
    draft = Draft(account_id, False, "receipt", "k", ["hedda@acme.example"])
    with world.transaction() as session:
        email = outbox.write(session, draft, Content("Hi", "Hi", "<p>Hi</p>"), world.START)
    assert sending.send_due(delivery.transport_of("", tmp_path / "mail"), FROM, world.START).sent == 1
    assert email
    assert b"Subject: Hi" in (tmp_path / "mail" / f"{email.id}.eml").read_bytes()
