"""An account's own settings: public details, branding with its pictures, failed payments, links."""

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image
from sqlalchemy import select

from portal_site.billing.accounts import account_settings
from portal_site.billing.models import Account, BrandAsset, Event
from portal_site.billing.rules.payments.dunning import DunningPolicy
from portal_site.db.json_columns import JsonObject
from portal_site.db.transactions import reading
from portal_site.mail.models import Email
from portal_site.notices.kinds import Kind, Settings
from tests.client import text
from tests.conftest import enter
from tests.dashboard.desk import Desk

SECTIONS = ("branding", "business", "emails", "payments", "links")


@pytest.fixture
def office(desk: Desk) -> Desk:
    """The same desk, at the account's own settings."""
    return replace(desk, configuration_id="account")


def _account(office: Desk) -> Account:
    with office.app.app_context():
        return account_settings.get(office.account_id)


def _settings(office: Desk) -> JsonObject:
    return account_settings.settings_of(_account(office))


@pytest.mark.parametrize("section", SECTIONS)
def test_a_form_that_is_saved_as_it_is_changes_nothing(office: Desk, section: str) -> None:
    before = _settings(office)
    assert office.save(section).status_code == 303
    assert _settings(office) == before
    assert _account(office).version == 1


@pytest.mark.parametrize(
    ("section", "changed", "words"),
    [
        ("business", {"business_name": "Acme & Daughters"}, "Acme & Daughters"),
        ("business", {"support_url": "https://help.acme.example"}, "Help"),
        ("business", {"support_email": "help@acme.example"}, "Help"),
        ("business", {"terms_of_service_url": "https://acme.example/terms"}, "Terms"),
        ("business", {"privacy_policy_url": "https://acme.example/privacy"}, "Privacy"),
        ("branding", {"background": "#0b6e4f", "shape": "sharp"}, "/theme/0b6e4f-1f4fd8-system-sharp-"),
        ("branding", {"button": "#c2185b", "font": "serif"}, "/theme/f4f4f6-c2185b-serif-rounded-"),
    ],
)
def test_each_setting_has_its_effect_with_the_customers_next_click(
    office: Desk, section: str, changed: dict[str, Any], words: str
) -> None:
    customer = office.portal()
    assert words not in text(customer.get("/").text) + customer.get("/").text
    preview = office.client.post(
        office.address(f"{section}/preview"), data={**office.form(section), **changed, "page": "overview"}
    )
    assert words.partition("-system")[0].partition("-serif")[0] in text(preview.text) + preview.text
    assert office.save(section, **changed).status_code == 303
    assert words in text(customer.get("/").text) + customer.get("/").text


def test_the_time_zone_is_that_of_the_dates(office: Desk) -> None:
    customer = office.portal()
    assert "May 1, 2026" in text(customer.get("/").text)
    assert office.save("business", timezone="America/Los_Angeles").status_code == 303
    assert "April 30, 2026" in text(customer.get("/").text)


def test_the_address_is_on_invoices(office: Desk) -> None:
    typed = {"line1": "1 rue de la Paix", "postal_code": "75002", "city": "Paris", "country": "FR"}
    assert office.save("business", **typed).status_code == 303
    stored = _settings(office)["address"]
    assert {name: stored[name] for name in typed} == typed
    assert office.save("business", **dict.fromkeys(typed, "")).status_code == 303
    assert _settings(office)["address"] is None


def test_failed_payments(office: Desk) -> None:
    changed = {"retry_days": "2, 4,8", "then": "unpaid", "amount_owed": "full", "write_off": "y"}
    assert office.save("payments", **changed).status_code == 303
    assert DunningPolicy.of(_account(office).dunning) == DunningPolicy((2, 4, 8), "unpaid", True, "full")
    assert office.save("payments", retry_days="").status_code == 303
    assert DunningPolicy.of(_account(office).dunning).retry_days == ()


def test_links_return_to_registered_hosts_only(office: Desk) -> None:
    typed = " App.acme.example \nacme.example\n\nacme.example"
    assert office.save("links", return_hosts=typed, email_link_days="14").status_code == 303
    assert _settings(office)["return_hosts"] == ["app.acme.example", "acme.example"]
    assert _account(office).email_link_days == 14
    good = enter(office.app, office.shop.customer, return_url="https://acme.example/app")
    assert "Return to Acme" in good.get("/").text
    bad = enter(office.app, office.shop.customer, return_url="https://evil.example/")
    assert "Return to Acme" not in bad.get("/").text


REFUSED: list[tuple[str, dict[str, str], str]] = [
    ("business", {"business_name": " "}, "Business name is required."),
    ("business", {"business_name": "x" * 101}, "at most 100 characters"),
    ("business", {"timezone": "Mars/Olympus"}, "Not a valid choice"),
    ("business", {"support_url": "javascript:alert(1)"}, "must begin with http"),
    ("business", {"terms_of_service_url": "//evil.example"}, "must begin with http"),
    ("branding", {"background": "red;}"}, "Enter a value such as"),
    ("branding", {"button": ""}, "Buttons is required."),
    ("branding", {"shape": "round-ish"}, "Not a valid choice"),
    ("payments", {"retry_days": "1, 2, 3, 4, 5, 6, 7, 8, 9"}, "at most eight retries"),
    ("payments", {"retry_days": "61"}, "at most eight retries"),
    ("payments", {"retry_days": "0"}, "at most eight retries"),
    ("payments", {"retry_days": "soon"}, "at most eight retries"),
    ("payments", {"then": "explode"}, "Not a valid choice"),
    ("links", {"return_hosts": "https://acme.example/app"}, "is not a host such as"),
    ("links", {"return_hosts": "*.acme.example"}, "is not a host such as"),
    ("links", {"return_hosts": "acme.example\n" + "x" * 300}, "is not a host such as"),
    ("links", {"return_hosts": "\n".join(f"{n}.example" for n in range(51))}, "at most 50 hosts"),
    ("links", {"email_link_days": "91"}, "between 1 and 90"),
]


@pytest.mark.case("C7")
@pytest.mark.case("C8")
@pytest.mark.parametrize(("section", "changed", "words"), REFUSED)
def test_what_cannot_be_is_refused_with_the_reason_and_nothing_is_stored(
    office: Desk, section: str, changed: dict[str, str], words: str
) -> None:
    before = _settings(office)
    response = office.save(section, **changed)
    assert (response.status_code, words in text(response.text)) == (422, True), text(response.text)[:2000]
    assert _settings(office) == before


def test_colours_that_cannot_be_read_are_said_to_be_changed(office: Desk) -> None:
    assert office.save("branding", background="#ffffff", button="#ffff66").status_code == 303
    page = text(office.client.get(office.address("branding")).text)
    assert "Light, panel: as you chose it, contrast of its text" in page
    assert "instead of" in page


def test_the_history_of_the_account(office: Desk) -> None:
    first = _settings(office)
    office.save("business", business_name="Acme II")
    page = office.client.get(office.address("history"))
    assert "Business name Acme Acme II" in text(page.text)
    assert "Ada Byron" in page.text
    assert office.client.send(office.address("history/1/restoration"), {"version": "2"}).status_code == 303
    assert _settings(office) == first
    with reading() as reader:
        query = select(Event.data).where(Event.account_id == office.account_id, Event.type == "account.updated")
        events = reader.scalars(query.order_by(Event.sequence)).all()
    assert [event["object"]["business_profile"]["name"] for event in events] == ["Acme II", "Acme"]
    assert office.client.get(office.address("comparison")).status_code == 404


def test_who_saves_second_sees_both_versions(office: Desk) -> None:
    mine = office.form("business")
    office.save("business", business_name="Acme II")
    mine["business_name"] = "Acme III"
    refused = office.client.post(office.address("business"), data=mine)
    assert (refused.status_code, "Business name Acme II Acme III" in text(refused.text)) == (409, True)
    assert _settings(office)["business_name"] == "Acme II"


def _upload(office: Desk, data: bytes, kind: str = "logo", name: str = "logo.svg") -> Any:
    office.client.get(office.address("branding"))
    form = {"csrf_token": office.client.token, "picture": (io.BytesIO(data), name)}
    return office.client.post(f"/dashboard/{office.account_id}/pictures/{kind}", data=form)


DRAWING = (
    b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 80 40"><rect width="80" height="40" fill="#123456"/></svg>'
)


def test_a_logo_and_an_icon(office: Desk) -> None:
    customer = office.portal()
    assert _upload(office, DRAWING).status_code == 303
    assert _upload(office, DRAWING, "icon").status_code == 303
    page = customer.get("/").text
    account = _account(office)
    assert f'src="/brand/{account.logo_id}"' in page
    assert f'<link rel="icon" href="/brand/{account.icon_id}">' in page
    shown = customer.get(f"/brand/{account.logo_id}")
    assert (shown.content_type, "sandbox" in shown.headers["Content-Security-Policy"]) == ("image/svg+xml", True)
    office.client.get(office.address("branding"))
    assert office.client.send(f"/dashboard/{office.account_id}/pictures/logo", {"remove": "yes"}).status_code == 303
    assert _account(office).logo_id is None
    assert office.client.send(f"/dashboard/{office.account_id}/pictures/banner", {"remove": "yes"}).status_code == 404


def _picture(size: tuple[int, int], kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("1", size).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.case("C6")
@pytest.mark.parametrize(
    "make",
    [
        lambda: b"",
        lambda: b"GIF89a<script>alert(1)</script>",
        lambda: b"%PDF-1.7 nothing",
        lambda: _picture((30_000, 30_000)),
        lambda: DRAWING + b" " * 300_000,
        lambda: b'<!DOCTYPE svg [<!ENTITY a "' + b"&a;" * 1000 + b'">]><svg>&a;</svg>',
    ],
    ids=["nothing", "no picture", "a document", "30,000 pixels", "too large", "entities"],
)
def test_what_is_no_picture_is_refused_and_nothing_is_stored(office: Desk, make: Callable[[], bytes]) -> None:
    refused = _upload(office, make())
    assert refused.status_code == 422
    assert "logo-error" in refused.text
    with reading() as reader:
        assert reader.scalar(select(BrandAsset.id).where(BrandAsset.account_id == office.account_id)) is None


@pytest.mark.case("C6")
def test_a_file_of_20_mb_is_refused(office: Desk) -> None:
    assert _upload(office, b"\0" * 20_000_000).status_code == 413


@pytest.mark.case("C6")
def test_a_script_in_a_drawing_is_gone(office: Desk) -> None:
    bad = DRAWING.replace(b"<rect", b'<script>alert(1)</script><foreignObject/><rect onclick="alert(1)"')
    assert _upload(office, bad).status_code == 303
    stored = office.client.get(f"/brand/{_account(office).logo_id}").data
    assert b"script" not in stored
    assert b"onclick" not in stored
    assert b"foreignObject" not in stored


def test_which_emails_customers_get(office: Desk) -> None:
    changed = {"receipt": None, "trial_ending_days": "14, 3", "unpaid_reminder_days": "0, -5", "least_period": "25"}
    assert office.save("emails", **changed).status_code == 303
    stored = Settings.of(_account(office).notices)
    assert (stored[Kind.RECEIPT].enabled, stored[Kind.REFUND].enabled) == (False, True)
    assert (stored[Kind.TRIAL_ENDING].days, stored[Kind.UNPAID_REMINDER].days) == ((14, 3), (0, -5))
    assert stored[Kind.RENEWAL_AHEAD].least_period == 25
    before = _settings(office)
    assert office.save("emails").status_code == 303
    assert _settings(office) == before
    for wrong in ({"trial_ending_days": "soon"}, {"trial_ending_days": "-1"}, {"trial_ending_days": ""},
                  {"unpaid_reminder_days": "91"}, {"card_expiring_days": "1,2,3,4,5,6,7"}):  # fmt: skip
        assert office.save("emails", **wrong).status_code == 422
    assert _settings(office) == before


@pytest.mark.parametrize(
    ("language", "words"), [("en", "Thank you for your payment"), ("fr", "Merci pour votre paiement")]
)
def test_each_email_can_be_looked_at_and_sent_to_oneself(
    office: Desk, monkeypatch: pytest.MonkeyPatch, language: str, words: str
) -> None:
    with_server = replace(office.app.config["SETTINGS"], smtp_url="smtp://127.0.0.1:1?tls=none")
    monkeypatch.setitem(office.app.config, "SETTINGS", with_server)
    shown = office.client.get(office.address(f"emails/preview?page=receipt&language={language}"))
    assert words in text(shown.text)
    assert shown.headers["Content-Security-Policy"].endswith("sandbox allow-same-origin")
    office.client.get(office.address("emails"))
    there = f"/dashboard/{office.account_id}/emails/test"
    assert office.client.send(there, {"page": "receipt", "language": language}).status_code == 303
    assert office.client.send(there, {"page": "nonsense"}).status_code == 404
    with reading() as reader:
        query = select(Email.recipients, Email.status).where(Email.account_id == office.account_id)
        assert reader.execute(query).one() == ({"to": ["ada@lumen.example"], "cc": []}, "waiting")
