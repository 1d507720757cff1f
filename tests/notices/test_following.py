"""Following events: each leads to its e-mail once, however many workers follow, whenever one dies; and to whom it goes."""

import threading
from email import message_from_bytes
from email.policy import default
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select, update

from portal_site.billing.errors import BillingError
from portal_site.billing.events.emission import emit
from portal_site.billing.models import Account, Customer, Event, Product
from portal_site.mail import delivery, outbox
from portal_site.mail.messages import SenderSettings
from portal_site.mail.models import Email
from portal_site.notices import following, recipients, reminders, triggers, writing
from portal_site.notices import settings as notice_settings
from portal_site.notices.kinds import Kind
from portal_site.notices.models import FollowedEvents
from portal_site.notices.reminders import Place
from tests import world
from tests.notices.outgoing import DAY, bill, of_kind, written
from tests.plans import plan
from tests.world import END, reading


def _follow(app: Flask, at: int = END) -> bool:
    with app.test_request_context(base_url="http://127.0.0.1:8000"):
        return following.CUSTOMERS.follow(at, stays_local=True)


@pytest.mark.both_databases
def test_four_workers_write_each_email_once(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "AT_ONCE", 2)
    shop = world.shop()
    for number in range(9):
        world.neighbour(shop, number)
    bill(app, END)
    start = threading.Barrier(4)

    failed: list[Exception] = []

    def work() -> None:
        try:
            with app.app_context():
                start.wait()
                for _turn in range(20):
                    _follow(app)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work) for _each in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert [mail.kind for mail in written(app, END + 10 * following.CLAIM)] == ["receipt"] * 10


@pytest.mark.case("F8")
def test_a_worker_that_dies_leaves_its_events_to_the_next(lite_app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    world.shop()
    bill(lite_app, END)

    class Killed(BaseException):
        pass

    def die(*_arguments: Any, **_options: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(writing, "write_all", die)
        _follow(lite_app)
    assert not _follow(lite_app, END + following.CLAIM - 1)
    assert _follow(lite_app, END + following.CLAIM)
    assert len(written(lite_app, END + following.CLAIM)) == 1


def test_what_happened_while_email_was_off_is_no_news(lite_app: Flask) -> None:
    world.shop()
    bill(lite_app, END)
    assert written(lite_app, END + writing.STALE + 60) == []
    with reading() as reader:
        last = reader.scalar(select(func.max(Event.sequence)))
        assert reader.scalar(select(FollowedEvents.sequence)) == last


def test_one_that_cannot_be_written_does_not_keep_the_others(lite_app: Flask) -> None:
    broken, sound = world.shop("Broken"), world.shop("Sound")
    bill(lite_app, END)
    with world.transaction() as session:
        session.get_one(Account, broken.customer.account_id).branding = {"background": "red;}body{}"}
    assert of_kind(written(lite_app, END), "receipt").to == [sound.customer.email]


def test_an_event_of_another_version_does_not_keep_the_others(lite_app: Flask) -> None:
    shop = world.shop()
    with world.transaction() as session:
        for kind in sorted(triggers.TYPES):
            emit(session, kind, shop.subscription, END, document={"id": "x"})
    bill(lite_app, END)
    assert [mail.kind for mail in written(lite_app, END)] == ["receipt"]


# --- to whom ----------------------------------------------------------------------------------------------------------


def _change(shop: world.Shop, **members: Any) -> None:
    with world.transaction() as session:
        mine = update(Customer).where(Customer.account_id == shop.customer.account_id, Customer.id == shop.customer.id)
        session.execute(mine.values(**members))


def test_a_kind_that_is_off_is_not_sent(lite_app: Flask) -> None:
    shop = world.shop()
    notice_settings.change(shop.customer.account_id, Kind.RECEIPT, enabled=False)
    bill(lite_app, END)
    assert written(lite_app, END) == []


def test_billing_contacts_get_the_kinds_that_they_are_named_for(lite_app: Flask) -> None:
    shop = world.shop()
    account_id, customer_id = shop.customer.account_id, shop.customer.id
    recipients.add_contact(account_id, customer_id, "books@acme.example", cc=True, kinds=["receipt"])
    recipients.add_contact(account_id, customer_id, "boss@acme.example", kinds=["refund"])
    recipients.add_contact(account_id, customer_id, "office@acme.example")
    bill(lite_app, END)
    receipt = of_kind(written(lite_app, END), "receipt")
    assert (receipt.to, receipt.cc) == (["hedda@acme.example", "office@acme.example"], ["books@acme.example"])


def test_contacts_are_written_to_where_the_customer_has_no_address(lite_app: Flask) -> None:
    shop = world.shop()
    recipients.add_contact(shop.customer.account_id, shop.customer.id, "books@acme.example", cc=True)
    _change(shop, email=None)
    bill(lite_app, END)
    receipt = of_kind(written(lite_app, END), "receipt")
    assert (receipt.to, receipt.cc) == (["books@acme.example"], [])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"email": "nobody"}, "Not an e-mail address: nobody"),
        ({"email": "a@b.example\r\nBcc: c@d.example"}, "Not an e-mail address: "),
        ({"email": "a@b.example", "kinds": ["spam"]}, "No such kind of e-mail: spam."),
    ],
)
@pytest.mark.case("C11")
def test_a_contact_that_is_none_is_refused(lite_app: Flask, given: dict[str, Any], words: str) -> None:
    shop = world.shop()
    with pytest.raises(BillingError, match=words.replace(".", r"\.")):
        recipients.add_contact(shop.customer.account_id, shop.customer.id, **given)


@pytest.mark.parametrize("days", [(), (91,), (-1,), (1, 2, 3, 4, 5, 6, 7)])
def test_days_that_make_no_sense_are_refused(lite_app: Flask, days: tuple[int, ...]) -> None:
    shop = world.shop()
    with pytest.raises(BillingError):
        notice_settings.change(shop.customer.account_id, Kind.TRIAL_ENDING, days=days)
    with pytest.raises(BillingError):
        notice_settings.change(shop.customer.account_id, Kind.RECEIPT, days=(1,))


def test_in_test_mode_only_the_merchants_own_addresses_count(lite_app: Flask) -> None:
    """Customers of test mode are made up, or copies of real people: nobody else may get e-mails about them."""
    shop = world.shop()
    bill(lite_app, END)
    assert written(lite_app, END, stays_local=False) == []
    with world.transaction() as session:  # the domain of a support address may be that of a mail provider
        session.get_one(Account, shop.customer.account_id).support_email = "help@acme.example"
    bill(lite_app, END)
    assert written(lite_app, END, stays_local=False) == []
    with world.transaction() as session:
        dkim = {"domain": "acme.example", "selector": "portal", "key": "sealed"}
        session.get_one(Account, shop.customer.account_id).mail = {"dkim": dkim}
    bill(lite_app, END + 31 * DAY)
    assert of_kind(written(lite_app, END + 31 * DAY, stays_local=False), "receipt").to == ["hedda@acme.example"]


@pytest.mark.both_databases
def test_reminders_are_found_by_their_dates(app: Flask) -> None:
    world.shop()
    place = Place(Kind.TRIAL_ENDING, 7, END, "")
    assert "ix_subscriptions_due" in plan(
        reminders.subscriptions(place, END + DAY, "trialing"), "subscriptions", unused=True
    )
    assert "ix_invoices_due" in plan(reminders.unpaid(place, END + DAY), "invoices", unused=True)
    assert "ix_payment_methods_expiry" in plan(reminders.cards(2026, 6, ""), "payment_methods", unused=True)
    with reading() as reader:
        assert reader.scalar(select(func.count()).select_from(Email)) == 0


@pytest.mark.case("C14")
@pytest.mark.case("C4")
@pytest.mark.case("C11")
def test_names_are_text_and_nothing_else(lite_app: Flask) -> None:
    """What merchants and customers call things is no template, no markup and no header."""
    shop = world.shop()
    _change(shop, name="{{ 7*7 }}<script>")
    with world.transaction() as session:
        account = session.get_one(Account, shop.customer.account_id)
        account.business_name = "{{ 7*7 }}<img src=x onerror=alert(1)>\r\nBcc: a@b.example"
        mine = update(Product).where(Product.account_id == account.id)
        session.execute(mine.values(name="${7*7}{% raw %}<b>Team\u202e"))
    bill(lite_app, END)
    (mail,) = written(lite_app, END)
    assert "49" not in mail.subject + mail.text.replace(mail.link, "")
    for markup in ("<img", "<b>Team", "<script"):
        assert markup not in mail.html
    assert "{{ 7*7 }}" in mail.html
    with lite_app.app_context(), reading() as reader:
        row = reader.execute(select(Email.__table__)).one()
    outgoing = outbox.Outgoing(SimpleNamespace(**row._mapping), account.business_name, None, SenderSettings())  # type: ignore[arg-type]
    content = outbox.content_of(SimpleNamespace(**row._mapping))  # type: ignore[arg-type]
    assert content is not None
    sent = message_from_bytes(delivery.composed(outgoing, content, "billing@operator.example"), policy=default)
    assert sent["Bcc"] is None
    assert len(sent.get_all("To", [])) == 1
