"""The merchant's own words in e-mails: typed, looked at, stored, sent, and taken back."""

from dataclasses import replace
from typing import Any

import pytest

from portal_site.billing.accounts import account_settings
from portal_site.billing.models import Customer
from portal_site.db.json_columns import JsonObject
from portal_site.mail import delivery, sending
from portal_site.notices import previews
from portal_site.staff.roles import Role
from tests import world
from tests.client import text
from tests.dashboard.desk import Desk
from tests.dashboard.staff import employ, sign_in
from tests.mail import mail_server
from tests.notices.outgoing import bill, of_kind, written

RECEIPT = previews.KINDS.index("receipt")
CHANGED = previews.KINDS.index("email_changed")
CODE = previews.KINDS.index("login_code")
OWN: JsonObject = {
    "subject": "Merci, {customer_name} : {amount} <b>reçus</b>",
    "introduction": "Bonjour {customer_name},\nmerci.\n\nÀ bientôt chez {business_name} & <i>Cie</i>",
    "button": "La facture {invoice_number}",
}


@pytest.fixture
def office(desk: Desk) -> Desk:
    """The same desk, at the account's own settings."""
    return replace(desk, configuration_id="account")


def _stored(office: Desk) -> JsonObject | None:
    with office.app.app_context():
        return account_settings.get(office.account_id).email_texts


def _save(office: Desk, position: int, language: str = "fr", **words: str) -> Any:
    return office.save("email_texts", **{f"{language}-{position}-{name}": value for name, value in words.items()})


def _look(office: Desk, position: int, language: str, look: str = "html", **words: str) -> str:
    data = office.form("email_texts")
    for name, value in words.items():
        data[f"{language}-{position}-{name}"] = value
    data.update({"page": previews.KINDS[position], "language": language, "format": look})
    return office.client.post(office.address("email_texts/preview"), data=data).text


def test_own_words_are_stored_marked_and_taken_back(office: Desk) -> None:
    assert _save(office, RECEIPT, **OWN).status_code == 303
    assert _stored(office) == {"receipt": {"fr": OWN}}
    page = text(office.client.get(office.address("email_texts")).text)
    assert page.count("A receipt yours: subject, introduction, button") == 1
    assert "A receipt standard" in page
    assert "Standard: “Receipt for €43.20 from Acme”" in page
    assert "These names are filled in: {customer_name}, {business_name}, {amount}, {invoice_number}, {date}." in page
    assert _save(office, RECEIPT, introduction="", button=" ").status_code == 303
    assert _stored(office) == {"receipt": {"fr": {"subject": OWN["subject"]}}}
    assert _save(office, RECEIPT, subject="").status_code == 303
    assert _stored(office) is None


def test_what_is_typed_is_shown_in_each_language_and_format_and_not_stored(office: Desk) -> None:
    html = _look(office, RECEIPT, "fr", **OWN)
    assert "Merci, Hedda Berg : 43,20\u00a0€ &lt;b&gt;reçus&lt;/b&gt;" in html
    assert "À bientôt chez Acme &amp; &lt;i&gt;Cie&lt;/i&gt;" in html
    assert "<i>Cie" not in html
    plain = text(_look(office, RECEIPT, "fr", "text", **OWN))
    assert "Bonjour Hedda Berg, merci. À bientôt chez Acme & <i>Cie</i>" in plain
    assert "La facture SAMPLE-0042" in plain
    for facts in ("SAMPLE-0042", "43,20", "30 novembre 2026", "Merci pour votre paiement"):
        assert facts in plain
    assert "Receipt for €43.20 from Acme" in _look(office, RECEIPT, "en", subject="")
    assert "does not fit together yet" in _look(office, RECEIPT, "en", subject="{oops")
    assert _stored(office) is None


BAD = [
    (RECEIPT, "subject", "x" * 101, "at most 100 characters"),
    (RECEIPT, "introduction", "x" * 2001, "at most 2000 characters"),
    (RECEIPT, "button", "x" * 41, "at most 40 characters"),
    (RECEIPT, "subject", "Hi\r\nBcc: x@evil.example", "Write one line only."),
    (RECEIPT, "subject", "Hi\u2028Bcc: x@evil.example", "Write one line only."),
    (RECEIPT, "subject", "{customer_name", "A brace must belong to a name"),
    (RECEIPT, "subject", "customer_name}", "A brace must belong to a name"),
    (RECEIPT, "subject", "{{7*7}}", "A brace must belong to a name"),
    (RECEIPT, "introduction", "{amount.__class__}", "A brace must belong to a name"),
    (RECEIPT, "introduction", "{amount!r}", "A brace must belong to a name"),
    (RECEIPT, "introduction", "{0}", "A brace must belong to a name"),
    (RECEIPT, "introduction", "{products}", "This email has no {products}."),
    (CHANGED, "introduction", "{customer_name}", "This email has no {customer_name}."),
    (CODE, "subject", "{amount}", "It has {business_name}, {code}."),
]


@pytest.mark.case("C11")
@pytest.mark.case("C14")
@pytest.mark.parametrize(("position", "field", "typed", "words"), BAD)
def test_what_cannot_be_is_refused_at_its_field_and_nothing_is_stored(
    office: Desk, position: int, field: str, typed: str, words: str
) -> None:
    response = _save(office, position, "en", **{field: typed})
    assert (response.status_code, words in text(response.text)) == (422, True)
    assert f'id="en-{position}-{field}-error"' in response.text
    assert f'href="#en-{position}-{field}"' in response.text
    assert _stored(office) is None


def test_forms_of_emails_that_there_are_not_are_left_out(office: Desk) -> None:
    data = office.form("email_texts")
    data["en-0-kind"], data["en-0-subject"] = "spam", "Buy"
    data["en-1-button-x"] = "y"
    assert office.client.post(office.address("email_texts"), data=data).status_code == 303
    assert _stored(office) is None
    assert f'name="en-{CHANGED}-button"' not in office.client.get(office.address("email_texts")).text


def test_who_saves_second_sees_both_versions_and_former_words_can_be_restored(office: Desk) -> None:
    mine = office.form("email_texts")
    _save(office, RECEIPT, "en", subject="Paid: {amount}")
    mine[f"en-{RECEIPT}-subject"] = "Thanks for {amount}"
    refused = office.client.post(office.address("email_texts"), data=mine)
    assert refused.status_code == 409
    assert "Email texts: receipt: en: subject Paid: {amount} Thanks for {amount}" in text(refused.text)
    _save(office, RECEIPT, "en", subject="all {customer_name}")
    assert "Paid: {amount} all {customer_name}" in text(office.client.get(office.address("history")).text)
    assert office.client.send(office.address("history/2/restoration"), {"version": "3"}).status_code == 303
    assert _stored(office) == {"receipt": {"en": {"subject": "Paid: {amount}"}}}


def test_who_may_not_edit_may_look(office: Desk) -> None:
    support = sign_in(office.app, employ(office.account_id, Role.SUPPORT, "sue@lumen.example", "Sue"))
    assert support.get(office.address("email_texts")).status_code == 200
    refused = support.send(office.address("email_texts"), {"version": "1", f"en-{RECEIPT}-subject": "Hi"})
    assert (refused.status_code, _stored(office)) == (403, None)


@pytest.mark.case("C11")
@pytest.mark.case("C14")
@pytest.mark.parametrize(
    ("locale", "subject", "opening", "kept"),
    [
        ("fr", "Merci, Hedda {amount} Bcc: x@evil.example", "Bonjour Hedda {amount} Bcc: x@evil.example, merci.", "Montant payé"),
        ("en-GB", "Got it: €10.00", "We have received €10.00", "Amount paid"),
    ],
)  # fmt: skip
def test_what_really_goes_out_has_them(office: Desk, locale: str, subject: str, opening: str, kept: str) -> None:
    """In the language of the customer, whose name can neither name anything else nor make a header."""
    _save(office, RECEIPT, "fr", subject="Merci, {customer_name}", introduction=OWN["introduction"])
    _save(office, RECEIPT, "en", subject="Got it: {amount}")
    with office.app.app_context(), world.transaction() as session:
        mine = world.select(Customer).where(Customer.account_id == office.account_id)
        customer = session.scalars(mine).one()
        customer.name, customer.preferred_locales = "Hedda {amount}\r\nBcc: x@evil.example", [locale]
    bill(office.app, world.END)
    mail = of_kind(written(office.app, world.END), "receipt")
    assert " ".join(mail.subject.split()) == subject
    with mail_server.running() as server, office.app.app_context():
        sent = sending.send_due(delivery.transport_of(server.url, office.app.instance_path), "b@op.example", world.END)  # type: ignore[arg-type]
        assert sent.sent == len(server.messages)
    message = next(one for one in server.messages if one["Subject"] == subject)
    assert message["Bcc"] is None
    plain, html = (message.get_body((kind,)) for kind in ("plain", "html"))
    assert plain is not None
    assert html is not None
    for part in (plain.get_content(), html.get_content()):
        assert opening in text(part)
        assert kept in text(part)
    assert "<i>" not in html.get_content()
