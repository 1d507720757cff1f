"""Customers in the dashboard: the list, a new one, one customer's page, links for it, and its portal as it sees it."""

from typing import Any
from unittest.mock import patch

import pytest
from sqlalchemy import select, update

from portal_site.billing.customers import billing_information, new_customers
from portal_site.billing.customers.new_customers import NewCustomer
from portal_site.billing.errors import BillingError
from portal_site.billing.events.actors import ActorType, acting_as
from portal_site.billing.models import Account, Customer, Event, PortalConfiguration, PortalSession
from portal_site.dashboard.customers import history
from portal_site.db import Base
from portal_site.db.transactions import reading as own_reading
from portal_site.db.transactions import transaction
from portal_site.mail import outbox
from portal_site.mail.models import Email
from portal_site.staff.roles import Role
from tests import world
from tests.client import parse, text
from tests.dashboard.desk import Desk
from tests.dashboard.staff import employ, sign_in
from tests.world import reading


def _address(desk: Desk, rest: str = "", mode: str = "test") -> str:
    return f"/dashboard/{desk.account_id}/{mode}/customers{rest and '/'}{rest}"


def _customer_id(desk: Desk) -> str:
    return str(desk.shop.customer.id)


def _everything() -> dict[str, int]:
    with own_reading() as reader:
        return {
            table.name: hash(tuple(sorted(map(repr, reader.execute(table.select().execution_options(unscoped="all"))))))
            for table in Base.metadata.sorted_tables
            if table.name != "user_sessions"
        }


def test_the_list_and_its_fragment_say_the_same(desk: Desk) -> None:
    whole = desk.client.get(f"{_address(desk)}?q=hed").text
    part = desk.client.get(_address(desk, "rows?q=hed"), headers={"HX-Request": "true"})
    assert part.headers["HX-Replace-Url"] == f"{_address(desk)}?q=hed"
    assert text(part.text) in text(whole)
    assert "Hedda Berg" in part.text
    none = desk.client.get(_address(desk, "rows?q=%3Cb%3E%25")).text
    assert "No customer has “&lt;b&gt;%”" in none
    assert desk.client.get(_address(desk, "rows?after=nonsense")).status_code == 404


def test_a_customer_is_created_with_its_event(desk: Desk) -> None:
    typed = {"name": "Zoë 🦊", "email": "zoe@acme.example", "country": "FR", "phone": "06 12 34 56 78", "locale": "fr"}
    made = desk.client.send(_address(desk), typed)
    assert made.status_code == 303
    page = text(desk.client.get(made.location).text)
    for words in ("Zoë 🦊", "zoe@acme.example", "+33 6 12 34 56 78", "France", "Français", "No subscription."):
        assert words in page
    assert "Customer created Ada Byron" in " ".join(page.split())
    with desk.app.app_context(), reading() as reader:
        row = reader.execute(select(Customer).where(Customer.id == made.location.rpartition("/")[2])).one()
        event = reader.execute(select(Event).where(Event.customer_id == row.id)).one()
    assert (row.livemode, row.address["country"], row.preferred_locales) == (False, "FR", ["fr"])
    assert (len(row.invoice_prefix), row.invoice_prefix.isupper() or row.invoice_prefix.isdigit()) == (8, True)
    assert (event.type, event.actor_type, event.data["object"]["name"]) == ("customer.created", "user", "Zoë 🦊")


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ({"email": "nonsense"}, "Enter an email address such as name@example.com."),
        ({"phone": "12"}, "Enter a phone number with its country code"),
        ({"country": "XX"}, "Choose a country."),
        ({"country": "Mars"}, ""),
        ({"name": "x" * 300}, "Use at most 256 characters."),
        ({"name": "4242 4242 4242 4242"}, "This looks like a card number."),
        ({"locale": "xx"}, "Not a valid choice."),
    ],
)
def test_what_makes_no_sense_is_refused_at_its_field(desk: Desk, typed: dict[str, str], words: str) -> None:
    before = _everything()
    refused = desk.client.send(_address(desk), typed)
    assert refused.status_code == 422
    assert words in text(refused.text)
    assert next(iter(typed.values()))[:10] in refused.text or "country" in typed or "locale" in typed
    assert _everything() == before


@pytest.mark.parametrize("name", ["name", "email", "phone"])
def test_the_operation_refuses_what_cannot_be_stored(desk: Desk, name: str) -> None:
    for value in ("a\0b", "x" * 600):
        with desk.app.app_context(), pytest.raises(BillingError) as refused:
            new_customers.create(desk.account_id, False, NewCustomer(**{name: value}), world.HALF)
        assert refused.value.param == name


def test_the_page_says_what_the_portal_says(desk: Desk) -> None:
    page, portal = text(desk.client.get(_address(desk, _customer_id(desk))).text), text(desk.portal().get("/").text)
    for words in ("Team", "€10.00 per month", "Next payment", "Visa", "Paid", "Expires 12/2031"):
        assert words in page
        assert words in portal
    figure = next(
        "".join(one.itertext()).strip()
        for one in parse(desk.portal().get("/").text).iter("dd")
        if one.get("class") == "figure"
    )
    assert figure in page
    for words in (
        "Hedda Berg",
        "hedda@acme.example",
        _customer_id(desk),
        desk.shop.subscription.id,
        "That of the browser",
    ):
        assert words in page
    assert "Nothing is listed yet of this customer" in page
    assert "None in the last 90 days." in page


def test_the_page_says_what_is_not_usual(desk: Desk) -> None:
    with desk.app.app_context(), transaction() as session:
        mine = Customer.account_id == desk.account_id, Customer.id == _customer_id(desk)
        values = {"balance": -500, "currency": "eur", "other_balances": {"usd": 700}, "tax_exempt": "reverse"}
        session.execute(
            update(Customer).where(*mine).values({**values, "name": "<i>שרה</i>", "preferred_locales": ["de"]})
        )
    page = desk.client.get(_address(desk, _customer_id(desk))).text
    for words in ("€5.00 of credit", "$7.00 owed", "Reverse charge", "de"):
        assert words in text(page)
    assert "&lt;i&gt;שרה&lt;/i&gt;" in page


def test_without_an_active_default_configuration_there_is_no_portal(desk: Desk) -> None:
    with desk.app.app_context(), transaction() as session:
        mine = PortalConfiguration.account_id == desk.account_id
        session.execute(update(PortalConfiguration).where(mine).values(active=False))
    page = desk.client.get(_address(desk, _customer_id(desk)))
    assert "There is no portal to show" in text(page.text)
    assert "hedda@acme.example" in page.text
    assert desk.client.get(_address(desk, f"{_customer_id(desk)}/view")).status_code == 404
    assert desk.client.send(_address(desk, f"{_customer_id(desk)}/links")).status_code == 422


def test_customers_of_others_and_of_the_other_mode_do_not_exist(desk: Desk) -> None:
    with desk.app.app_context():
        other = world.scene("Other").customer.id
        with transaction() as session:
            deleted = world.Merchant(session, world.START, session.get(Account, desk.account_id))
            gone = deleted.customer("Gone", "gone@acme.example", "gone", deleted_at=world.START).id
    for rest in ("", "/view", "/view/frame?page=overview"):
        for address in (
            _address(desk, other + rest),
            _address(desk, gone + rest),
            _address(desk, _customer_id(desk) + rest, mode="live"),
            _address(desk, "cus_\0" + rest),
        ):
            assert desk.client.get(address).status_code == 404, address
    for rest in ("links", "emails"):
        assert desk.client.send(_address(desk, f"{other}/{rest}")).status_code == 404
        assert desk.client.send(_address(desk, f"{_customer_id(desk)}/{rest}", mode="live")).status_code == 404


def test_what_happened_is_listed_with_who_did_it(desk: Desk) -> None:
    customer_id, at = _customer_id(desk), world.HALF
    with desk.app.app_context():
        for number, (kind, actor) in enumerate(
            (
                (ActorType.CUSTOMER, customer_id), (ActorType.WORKER, None), (ActorType.OPERATOR, None),
                (ActorType.USER, "user_ada@lumen.example"), (ActorType.USER, "user_gone"), (ActorType.API_KEY, "key_gone"),
                (ActorType.PROVIDER, "sandbox"), (ActorType.IMPORT, None),
            )
        ):  # fmt: skip
            with acting_as(kind, actor):
                billing_information.update_billing_information(customer_id, {"name": f"Name {number}"}, at + number)
        with acting_as(ActorType.CUSTOMER, customer_id):
            billing_information.add_tax_id(customer_id, "eu_vat", "DE123456789", at)
    found = text(desk.client.get(_address(desk, customer_id)).text)
    for words in (
        "Tax ID DE123456789 added", "Customer changed: name", "The customer", "The worker, when it was due",
        "An operator at the command line", "Ada Byron", "Somebody of the team", "A program, by an API key",
        "The payment provider", "An import", "The list begins on",
    ):  # fmt: skip
        assert words in found


def test_what_happened_goes_on_page_by_page(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "SHOWN", 2)
    with desk.app.app_context():
        for number in range(5):
            changes = {"name": f"Name {number}", "phone": f"+{number}"} if number % 2 else {"name": f"Name {number}"}
            billing_information.update_billing_information(_customer_id(desk), changes, world.HALF + number)
    pages, there = [], _address(desk, _customer_id(desk))
    for _ in range(5):
        page = desk.client.get(there).text
        pages.append(text(page).count("Customer changed"))
        more = [a.get("href") or "" for a in parse(page).iter("a") if "View earlier" in "".join(a.itertext())]
        if not more:
            break
        there = more[0]
    assert pages == [2, 2, 1]
    assert desk.client.get(_address(desk, f"{_customer_id(desk)}?before=x")).status_code == 200


def test_a_link_is_shown_once_and_works(desk: Desk) -> None:
    there = _address(desk, _customer_id(desk))
    made = desk.client.send(f"{there}/links")
    link = next(
        "".join(one.itertext()) for one in parse(made.text).iter("code") if "/p/session/" in "".join(one.itertext())
    )
    assert "works for five minutes" in text(made.text)
    assert "/p/session/" not in desk.client.get(there).text
    assert "Portal link made Ada Byron" in " ".join(text(desk.client.get(there).text).split())
    browser = desk.app.test_client()
    followed = browser.get("/p/session/" + link.rpartition("/")[2], follow_redirects=True)
    assert "Hedda Berg" in followed.text


def _mails(desk: Desk, **settings: Any) -> Any:
    changed = type(desk.app.config["SETTINGS"])(**{**vars(desk.app.config["SETTINGS"]), **settings})
    return patch.dict(desk.app.config, {"SETTINGS": changed})


def test_a_link_is_emailed_in_the_customers_language(desk: Desk) -> None:
    there = _address(desk, _customer_id(desk))
    with desk.app.app_context(), transaction() as session:
        mine = Customer.account_id == desk.account_id, Customer.id == _customer_id(desk)
        session.execute(update(Customer).where(*mine).values(preferred_locales=["fr"]))
    options = {option.get("value") for option in parse(desk.client.get(there).text).iter("option")}
    assert f"subscription_cancel:{desk.shop.subscription.id}" in options
    with _mails(desk, demo=True):
        sent = desk.client.send(f"{there}/emails", {"purpose": "payment_method_update"})
    assert sent.status_code == 303
    assert "Portal link Waiting to be sent" in " ".join(text(desk.client.get(there).text).split())
    with desk.app.app_context(), transaction() as session:
        email = session.scalars(select(Email).where(Email.account_id == desk.account_id)).one()
        content = outbox.content_of(email)
    assert content is not None
    assert content.subject == "Acme: Mettre à jour votre moyen de paiement"
    assert email.recipients["to"] == ["hedda@acme.example"]
    link = next(line for line in content.text.splitlines() if line.startswith("http"))
    page = desk.app.test_client().get(link.partition("8000")[2] or link)
    assert page.status_code == 200


@pytest.mark.parametrize(
    ("purpose", "settings", "words"),
    [
        ("payment_method_update", {}, "No email is sent from here"),
        (
            "payment_method_update",
            {"smtp_url": "smtp://127.0.0.1:25?tls=none"},
            "In test mode emails go only to your own",
        ),
        ("nonsense", {"demo": True}, "Choose what the link is for."),
        ("subscription_cancel:sub_other", {"demo": True}, "Choose what the link is for."),
    ],
)
def test_an_email_that_may_not_go_is_refused(desk: Desk, purpose: str, settings: dict[str, Any], words: str) -> None:
    before = _everything()
    with _mails(desk, **settings):
        refused = desk.client.send(_address(desk, f"{_customer_id(desk)}/emails"), {"purpose": purpose})
    assert refused.status_code == 422
    assert words in text(refused.text)
    assert _everything() == before


def test_looking_as_the_customer_shows_its_pages_and_writes_nothing(desk: Desk) -> None:
    there = _address(desk, f"{_customer_id(desk)}/view")
    before = _everything()
    page = desk.client.get(there)
    assert "You see what Hedda Berg sees. Nothing can be done here." in text(page.text)
    assert "frame-src 'self'" in page.headers["Content-Security-Policy"]
    links = [a.get("href") or "" for a in parse(page.text).iter("a") if "/view?page=" in (a.get("href") or "")]
    assert len(links) == 5
    portal = {
        "overview": "/", "payment_methods": "/payment-methods", "billing_information": "/billing-information",
        "invoices": "/invoices", desk.shop.subscription.id: f"/subscriptions/{desk.shop.subscription.id}",
    }  # fmt: skip
    shown = {}
    for link in links:
        framing = desk.client.get(link).text
        frame = next(parse(framing).iter("iframe"))
        assert frame.get("sandbox") == "allow-same-origin"
        answer = desk.client.get(frame.get("src") or "")
        assert answer.headers["Content-Security-Policy"].endswith("; sandbox allow-same-origin")
        assert not list(parse(answer.text).iter("script"))
        shown[link.partition("page=")[2]] = answer.text
    for name in ("", "nonsense", "sub_other"):
        words = text(desk.client.get(f"{there}/frame?page={name}").text)
        assert "This customer does not get to this page." in words
    assert _everything() == before
    for name, path in portal.items():
        assert sorted(text(shown[name]).split()) == sorted(text(desk.portal().get(path).text).split()), name


def test_support_looks_and_changes_nothing(desk: Desk) -> None:
    with desk.app.app_context():
        support = employ(desk.account_id, Role.SUPPORT, "sam@lumen.example", "Sam")
    client = sign_in(desk.app, support)
    there = _address(desk, _customer_id(desk))
    page = client.get(there).text
    assert "View as customer" in page
    for words in ("Make a portal link", "Email a link"):
        assert words not in page
    assert "New customer" not in client.get(_address(desk)).text
    assert client.get(f"{there}/view").status_code == 200
    before = _everything()
    for address in (f"{there}/links", f"{there}/emails", _address(desk)):
        assert client.send(address).status_code == 403
    assert client.get(_address(desk, "new")).status_code == 403
    assert _everything() == before
    with desk.app.app_context(), reading() as reader:
        assert reader.scalar(select(PortalSession.id)) is None
