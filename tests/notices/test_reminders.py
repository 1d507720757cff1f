"""Reminders: each some days before its date, once, also after a time without a worker; and nobody who needs none gets one."""

import pytest
from flask import Flask
from sqlalchemy import select, update

from portal_site.billing.events.emission import emit
from portal_site.billing.models import Account, Customer, Invoice, PaymentMethod, Subscription
from portal_site.billing.subscriptions import subscription_items
from portal_site.mail.links import read
from portal_site.notices import reminders
from portal_site.notices import settings as notice_settings
from portal_site.notices.kinds import Kind
from tests import world
from tests.notices.outgoing import DAY, Mail, bill, of_kind, written
from tests.world import END, START, reading


def _from(app: Flask, at: int) -> None:
    """Let reminders begin at this instant."""
    assert written(app, at) == []


def _kinds(mails: list[Mail]) -> list[str]:
    return [mail.kind for mail in mails]


@pytest.mark.both_databases
def test_a_trial_is_reminded_of_a_week_before_its_end(app: Flask) -> None:
    ends = START + 30 * DAY
    world.shop(status="trialing", trial_start=START, trial_end=ends, billing_cycle_anchor=ends)
    _from(app, START)
    assert written(app, ends - 7 * DAY - 3600) == []
    ending = of_kind(written(app, ends - 7 * DAY), "trial_ending")
    assert ending.subject == "Your free trial ends on May 1, 2026"
    assert "Your next invoice, on May 1, 2026, will be €10.00. It will be charged to Visa •••• 4242." in " ".join(
        ending.text.split("\n\n")
    )
    assert ending.expires_at == ends
    assert ending.unsubscribe.startswith("http://127.0.0.1:8000/m/")
    for later in (60, DAY, 6 * DAY):
        assert len(written(app, ends - 7 * DAY + later)) == 1


def test_a_trial_without_a_payment_method_asks_for_one(lite_app: Flask) -> None:
    ends = START + 30 * DAY
    world.shop(card=None, status="trialing", trial_start=START, trial_end=ends, billing_cycle_anchor=ends)
    _from(lite_app, START)
    ending = of_kind(written(lite_app, ends - 7 * DAY), "trial_ending")
    assert "Add a payment method to continue without interruption." in ending.text
    assert read(ending.link.removeprefix("/m/")).purpose == "payment_method"  # type: ignore[union-attr]


def test_reminders_wait_for_a_worker(lite_app: Flask) -> None:
    ends = START + 30 * DAY
    world.shop(status="trialing", trial_start=START, trial_end=ends, billing_cycle_anchor=ends)
    _from(lite_app, START)
    assert _kinds(written(lite_app, ends - 2 * DAY)) == ["trial_ending"]


def test_switching_email_on_reminds_of_nothing_that_is_past(lite_app: Flask) -> None:
    ends = START + 30 * DAY
    world.shop(status="trialing", trial_start=START, trial_end=ends, billing_cycle_anchor=ends)
    for days in (6, 3, 1):
        assert written(lite_app, ends - days * DAY) == []


def test_a_short_period_renews_without_a_reminder_and_a_long_one_with(lite_app: Flask) -> None:
    monthly, yearly = world.shop(), world.shop("Best")
    with world.transaction() as session:
        mine = session.get_one(Subscription, yearly.subscription.id)
        (item,) = subscription_items.load_items(session, mine)
        item.price_id, item.current_period_end = yearly.prices["year"].id, START + 365 * DAY
        mine.due_at = START + 365 * DAY
    _from(lite_app, START)
    ahead = of_kind(written(lite_app, START + 358 * DAY), "renewal_ahead")
    assert ahead.to == ["hedda@best.example"]
    assert ahead.subject == "Your subscription renews on April 1, 2027"
    assert "Your next invoice, on April 1, 2027, will be €100.00." in ahead.text
    assert monthly.customer.email not in ahead.to


def test_what_the_reminder_says_is_what_is_then_charged(lite_app: Flask) -> None:
    shop = world.shop(tax=[{"id": "txr_1", "display_name": "VAT", "percentage": "20", "inclusive": False}])
    notice_settings.change(shop.customer.account_id, Kind.RENEWAL_AHEAD, least_period=20)
    _from(lite_app, START)
    ahead = of_kind(written(lite_app, END - 7 * DAY), "renewal_ahead")
    assert "will be €12.00." in ahead.text
    bill(lite_app, END)
    assert of_kind(written(lite_app, END), "receipt").subject == "Receipt for €12.00 from Acme"


def test_unpaid_invoices_are_reminded_of_before_at_and_after_their_date(lite_app: Flask) -> None:
    shop = world.shop(card=None, collection_method="send_invoice", days_until_due=14)
    bill(lite_app, END)
    written(lite_app, END)
    due = END + 14 * DAY
    subjects = []
    for day in range(30):
        mails = written(lite_app, END + day * DAY)
        subjects = [mail.subject.partition(" is ")[2] for mail in mails if mail.kind == "unpaid_reminder"]
    assert subjects == ["due on May 15, 2026", "due today", "overdue"]
    with reading() as reader:
        invoice = reader.execute(
            select(Invoice.due_date).where(Invoice.customer_id == shop.customer.id).order_by(Invoice.created.desc())
        ).first()
    assert invoice.due_date == due  # type: ignore[union-attr]


def test_a_card_is_reminded_of_a_month_before_it_expires_if_it_is_needed(lite_app: Flask) -> None:
    shop, spare = world.shop(), world.shop("Spare")
    with world.transaction() as session:
        cards = update(PaymentMethod).values(exp_year=2026, exp_month=6)
        session.execute(cards.execution_options(unscoped="a test"))
        others = update(Subscription).where(Subscription.customer_id == spare.customer.id)
        session.execute(others.values(status="canceled", ended_at=START, due_at=None))
    _from(lite_app, START)
    ends = 1_782_864_000  # 1 July 2026
    assert written(lite_app, ends - 30 * DAY - 3600) == []
    (mail,) = written(lite_app, ends - 30 * DAY)
    assert mail.to == [shop.customer.email]
    assert mail.subject == "Your Visa •••• 4242 expires soon"
    assert "Your Visa ending in 4242 expires at the end of June 2026." in mail.text
    assert len(written(lite_app, ends)) == 1


def test_a_pause_is_reminded_of_before_it_ends(lite_app: Flask) -> None:
    shop = world.shop()
    resumes = START + 40 * DAY
    with world.transaction() as session:
        row = session.get_one(Subscription, shop.subscription.id)
        row.status, row.due_at = "paused", resumes
        row.status_details = {"paused": {"type": "subscription", "resumes_at": resumes, "transitioned_at": START}}
    _from(lite_app, START)
    mail = of_kind(written(lite_app, resumes - 3 * DAY), "pause_ending")
    assert mail.subject == "Your subscription resumes on May 11, 2026"


def test_more_than_a_batch_on_one_second_are_all_reminded_of_once(
    lite_app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reminders, "AT_ONCE", 3)
    ends = START + 30 * DAY
    shop = world.shop(status="trialing", trial_start=START, trial_end=ends, billing_cycle_anchor=ends)
    for number in range(7):
        world.neighbour(shop, number)
    with world.transaction() as session:
        every = update(Subscription).values(status="trialing", trial_start=START, trial_end=ends, due_at=ends)
        session.execute(every.execution_options(unscoped="a test"))
        session.execute(update(PaymentMethod).values(exp_year=2026, exp_month=4).execution_options(unscoped="a test"))
    _from(lite_app, START - 30 * DAY)
    mails = written(lite_app, ends - 7 * DAY)
    assert sorted(_kinds(mails)) == ["card_expiring"] * 8 + ["trial_ending"] * 8
    assert len({(mail.kind, *mail.to) for mail in mails}) == 16
    assert len(written(lite_app, ends - 6 * DAY)) == 16


def test_customers_on_a_test_clock_get_none(lite_app: Flask) -> None:
    ends = START + 30 * DAY
    shop = world.shop(status="trialing", trial_start=START, trial_end=ends, billing_cycle_anchor=ends)
    with world.transaction() as session:
        session.get_one(Customer, shop.customer.id).test_clock_id = "clock_1"
    _from(lite_app, START)
    assert written(lite_app, ends - 3 * DAY) == []


def test_a_trial_of_a_week_is_reminded_of_once(lite_app: Flask) -> None:
    ends = START + 7 * DAY
    shop = world.shop(status="trialing", trial_start=START, trial_end=ends, billing_cycle_anchor=ends)
    _from(lite_app, START - 3600)
    with world.transaction() as session:
        document = {"id": shop.subscription.id, "customer": shop.customer.id, "status": "trialing", "trial_end": ends}
        emit(session, "customer.subscription.created", shop.subscription, START, document=document)
    assert _kinds(written(lite_app, START + 600)) == ["trial_ending"]


def test_late_reminders_do_not_say_what_is_past(lite_app: Flask) -> None:
    world.shop(card=None, collection_method="send_invoice", days_until_due=14)
    bill(lite_app, END)
    written(lite_app, END)
    mails = written(lite_app, END + 23 * DAY)
    assert [mail.subject.partition(" is ")[2] for mail in mails if mail.kind == "unpaid_reminder"] == ["overdue"]


def test_settings_of_another_version_stop_nothing(lite_app: Flask) -> None:
    shop = world.shop()
    with world.transaction() as session:
        session.get_one(Account, shop.customer.account_id).notices = {
            "new_kind": {"enabled": False}, "receipt": {"enabled": True, "days": [], "sound": "loud"}
        }  # fmt: skip
    bill(lite_app, END)
    assert _kinds(written(lite_app, END)) == ["receipt"]
