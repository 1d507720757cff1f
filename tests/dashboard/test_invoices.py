"""An invoice in the dashboard: what became of its money, and giving back what was paid."""

import re
from dataclasses import replace
from typing import Any

import pytest
import time_machine
from sqlalchemy import select, update

from portal_site import clock
from portal_site.billing.billing_run import runner
from portal_site.billing.gateways import DisputeDetails, RefundRequest
from portal_site.billing.gateways import Refund as Answer
from portal_site.billing.gateways.registry import Gateways
from portal_site.billing.models import CreditNote, Customer, Event, Invoice, PaymentAttempt, PaymentMethod, Refund
from portal_site.billing.payments import disputes, refunds
from portal_site.billing.payments.refunds import RefundTerms
from portal_site.dashboard.invoices import emails
from portal_site.dashboard.reads import invoice_money
from portal_site.db import db
from portal_site.mail import outbox
from portal_site.mail.models import Email
from portal_site.staff.roles import Role
from tests import plans, world
from tests.client import text
from tests.dashboard.desk import Desk
from tests.dashboard.staff import employ, sign_in
from tests.world import reading

DAY = 24 * 60 * 60
NOW = world.END + DAY


@pytest.fixture
def invoice(desk: Desk, time: Any) -> Any:
    """The customer's second invoice, of €10.00, which was paid with its card."""
    with desk.app.test_request_context(base_url="http://127.0.0.1:8000"):
        runner.run(desk.app.extensions["gateways"], world.END + 60, lambda _invoice: "http://127.0.0.1:8000/back")
    return _row(desk, Invoice)


@pytest.fixture
def time(desk: Desk) -> Any:
    with time_machine.travel(NOW, tick=False):
        desk.client = sign_in(desk.app, employ(desk.account_id, Role.ADMIN, "later@lumen.example", "Ada"))
        yield


def _row(desk: Desk, model: Any) -> Any:
    db.session.remove()
    with reading() as reader:
        mine = select(model.__table__).where(model.account_id == desk.account_id)
        return reader.execute(mine.order_by(model.created.desc(), model.id.desc())).first()


def _address(desk: Desk, invoice: Any, rest: str = "", mode: str = "test") -> str:
    return f"/dashboard/{desk.account_id}/{mode}/customers/{invoice.customer_id}/invoices/{invoice.id}{rest}"


def _refund(desk: Desk, invoice: Any, **typed: str) -> Any:
    page = desk.client.get(_address(desk, invoice)).text
    key = re.search(r'name="key"[^>]*value="([^"]+)"', page) or re.search(r'value="([^"]+)"[^>]*name="key"', page)
    assert key
    return desk.client.send(
        _address(desk, invoice, "/refunds"), {"key": key[1], "where": "payment_method", "reason": "", **typed}
    )


def test_the_page_says_what_was_paid_and_what_can_be_given_back(desk: Desk, invoice: Any) -> None:
    page = desk.client.get(_address(desk, invoice))
    words = text(page.text)
    assert page.status_code == 200
    for said in (
        f"Invoice {invoice.number}",
        "€10.00",
        "Paid",
        "Visa",
        "The original payment method, up to €10.00",
    ):
        assert said in words, said
    assert 'value="10.00"' in page.text
    assert desk.client.get(_address(desk, invoice, mode="live")).status_code == 404
    customer = desk.client.get(f"/dashboard/{desk.account_id}/test/customers/{invoice.customer_id}")
    assert _address(desk, invoice) in customer.text


def test_a_part_is_refunded_with_its_credit_note_and_the_log_says_by_whom(desk: Desk, invoice: Any) -> None:
    done = _refund(desk, invoice, amount="2.50", reason="requested_by_customer", memo="Sorry!")
    assert done.status_code == 303
    page = text(desk.client.get(done.location).text)
    for said in (
        "€2.50 refunded.",
        f"Credit note {invoice.number}-CN-01",
        "Requested by customer",
        "Sorry!",
        "up to €7.50",
    ):
        assert said in page, said
    row = _row(desk, Refund)
    assert (row.amount, row.status) == (250, "succeeded")
    with reading() as reader:
        mine = Event.account_id == desk.account_id, Event.type == "refund.created"
        assert reader.execute(select(Event.actor_type).where(*mine)).scalar_one() == "user"


def test_credit_is_given_to_the_balance(desk: Desk, invoice: Any) -> None:
    done = _refund(desk, invoice, amount="4", where="balance")
    assert "€4.00 credited to the balance" in text(desk.client.get(done.location).text)
    assert _row(desk, Customer).balance == -400
    assert _row(desk, CreditNote).refund_id is None


def test_two_clicks_are_one_refund(desk: Desk, invoice: Any) -> None:
    data = {"key": "same", "where": "payment_method", "reason": "", "amount": "1"}
    for _ in range(2):
        assert desk.client.send(_address(desk, invoice, "/refunds"), data).status_code == 303
    assert _row(desk, Invoice).amount_refunded == 100


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"amount": "10.01"}, "You can refund up to €10.00."),
        ({"amount": "0"}, "You can refund up to €10.00."),
        ({"amount": "-1"}, "Enter an amount such as 12.50."),
        ({"amount": "1,2,3"}, "Enter an amount such as 12.50."),
        ({"amount": "1.0055"}, "Enter EUR with at most 2 decimals."),
        ({"amount": ""}, "Amount is required."),
        ({"amount": "1", "reason": "mood"}, "Not a valid choice"),
        ({"amount": "1", "where": "elsewhere"}, "Not a valid choice"),
        ({"amount": "1", "key": ""}, ""),
        ({"amount": "1", "memo": "x" * 501}, "Use at most 500 characters."),
    ],
)
def test_what_cannot_be_is_said_at_its_field(desk: Desk, invoice: Any, typed: dict[str, str], said: str) -> None:
    refused = _refund(desk, invoice, **typed)
    assert refused.status_code == 422
    assert said in text(refused.text)
    assert _row(desk, Refund) is None


def test_a_refund_that_fails_is_shown_where_somebody_looks(
    desk: Desk, invoice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Refuses:
        name = "sandbox"

        def refund(self, request: RefundRequest, _at: int) -> Answer:
            return Answer("failed", request.idempotency_key)

    monkeypatch.setitem(desk.app.extensions, "gateways", Gateways(Refuses()))  # type: ignore[arg-type]
    done = _refund(desk, invoice, amount="10")
    said = f"The refund of €10.00 for invoice {invoice.number}"
    for address in (done.location, f"/dashboard/{desk.account_id}/test/customers/{invoice.customer_id}"):
        assert "failed" in text(desk.client.get(address).text)
    assert f"{said} of Hedda Berg failed." in text(desk.client.get(f"/dashboard/{desk.account_id}").text)
    page = text(desk.client.get(_address(desk, invoice)).text)
    assert "The money did not arrive." in page
    assert "up to €10.00" in page
    assert "Void" in page
    assert "For a refund" in page


def test_a_dispute_is_shown_until_it_is_over(desk: Desk, invoice: Any) -> None:
    attempt = _row(desk, PaymentAttempt)
    opened = DisputeDetails(
        "du_1", "needs_response", "product_not_received", 1000, "eur", attempt.id, True, NOW + 7 * DAY
    )
    disputes.record(desk.account_id, opened, NOW)
    home = desk.client.get(f"/dashboard/{desk.account_id}")
    assert f"A dispute is open about the payment of €10.00 for invoice {invoice.number} of Hedda Berg." in text(
        home.text
    )
    assert "Respond by" in text(home.text)
    page = text(desk.client.get(_address(desk, invoice)).text)
    for said in ("Needs a response", "Product not received", "The bank has the money."):
        assert said in page, said
    assert "up to" not in page  # nothing is left to give back
    disputes.record(desk.account_id, DisputeDetails("du_1", "won", "general", 1000, "eur", attempt.id, False), NOW)
    assert "A dispute is open" not in text(desk.client.get(f"/dashboard/{desk.account_id}").text)
    assert "Won" in text(desk.client.get(_address(desk, invoice)).text)
    portal = text(desk.portal().get(f"/portal/invoices/{invoice.id}").text)
    assert "taken back" not in portal


def test_a_dispute_leads_to_stripe_and_says_whether_a_response_is_due(desk: Desk, invoice: Any) -> None:
    with world.transaction() as session:
        mine = PaymentMethod.account_id == desk.account_id
        session.execute(update(PaymentMethod).where(mine).values(gateway="stripe"))
    for status, action in (("needs_response", "Respond"), ("under_review", "See it"), ("lost", "See it")):
        disputes.record(desk.account_id, _dispute(desk, status), NOW)
        page = desk.client.get(_address(desk, invoice)).text
        assert f"{action} at Stripe" in text(page)
        assert 'href="https://dashboard.stripe.com/test/disputes/du_1"' in page


@pytest.mark.both_databases
@pytest.mark.parametrize("name", ["payments", "refunds", "notes", "disputes"])
def test_what_an_invoice_shows_is_found_by_indexes(app: Any, name: str) -> None:
    shop = world.shop()
    bound = {"account_id": shop.customer.account_id, "invoice_id": "in_1"}
    query = invoice_money.MONEY.selects[name].params(bound)
    table = {"payments": "payment_attempts", "notes": "credit_notes"}.get(name, name)
    assert "invoice_id" in plans.plan(query, table, unused=True)


@pytest.mark.both_databases
def test_what_needs_attention_is_found_by_indexes(app: Any) -> None:
    account_id = world.shop().customer.account_id
    open_ones, failed = invoice_money.queries(account_id, NOW, None)
    assert "ix_disputes_open" in plans.plan(open_ones, "disputes", unused=True)
    assert "ix_refunds_failed" in plans.plan(failed, "refunds", unused=True)
    assert invoice_money.alerts(account_id, NOW) == []


def _make_live(desk: Desk) -> None:
    with world.transaction() as session:
        for model in (Customer, Invoice, PaymentAttempt):
            session.execute(update(model).where(model.account_id == desk.account_id).values(livemode=True))


def _told(desk: Desk) -> dict[str, tuple[str, str]]:
    """The e-mails that were written to the team since the last time: subject and text by address."""
    with desk.app.test_request_context(base_url="http://127.0.0.1:8000"):
        while emails.TEAM.follow(clock.now(), stays_local=True):
            pass
    with world.transaction() as session:
        mine = Email.account_id == desk.account_id, Email.kind.startswith("team_"), Email.status == "waiting"
        found = {}
        for email in session.scalars(select(Email).where(*mine)):
            content = outbox.content_of(email)
            assert content is not None
            found[email.recipients["to"][0]] = content.subject, content.text
            email.status = "sent"
    return found


def _dispute(desk: Desk, status: str) -> DisputeDetails:
    due_by = NOW + 7 * DAY if status.endswith("needs_response") else None
    attempt = _row(desk, PaymentAttempt)
    return DisputeDetails("du_1", status, "general", 1000, "eur", attempt.id, status == "needs_response", due_by)


def test_the_team_is_told_of_a_dispute_at_each_turn(desk: Desk, invoice: Any) -> None:
    """Once each: those who may do something about it, and with what is to be done until when."""
    employ(desk.account_id, Role.SUPPORT, "support@lumen.example", "Sue")
    _make_live(desk)
    everybody = {"ada@lumen.example", "later@lumen.example"}
    turns = [
        ("warning_needs_response", "A bank asks about a payment by Hedda Berg", "No money was taken."),
        ("warning_under_review", None, ""),
        ("needs_response", "Hedda Berg disputes a payment of €10.00", "Respond by "),
        ("under_review", None, ""),
        ("lost", "The dispute of €10.00 by Hedda Berg is closed", "has decided for the customer"),
    ]
    for status, subject, said in turns:
        disputes.record(desk.account_id, _dispute(desk, status), NOW)
        told = _told(desk)
        assert set(told) == (everybody if subject else set()), status
        for found, words in told.values():
            assert found == subject
            assert said in words
            assert invoice.number in words
            assert f"/dashboard/{desk.account_id}/live/customers/{invoice.customer_id}/invoices/{invoice.id}" in words
        disputes.record(desk.account_id, _dispute(desk, status), NOW)
        assert _told(desk) == {}


def test_the_team_is_told_of_a_refund_that_failed(desk: Desk, invoice: Any) -> None:
    attempt = _row(desk, PaymentAttempt)
    row = refunds.refund(
        desk.app.extensions["gateways"], invoice.customer_id, attempt.id, NOW, "key", RefundTerms(1000)
    )
    _make_live(desk)
    with world.transaction() as session:
        session.execute(update(Refund).where(Refund.account_id == desk.account_id).values(livemode=True))
    assert row.status == "succeeded"
    assert _told(desk) == {}
    refunds._record(invoice.customer_id, row.id, Answer("failed", "re_1"), NOW)
    told = _told(desk)
    assert set(told) == {"ada@lumen.example", "later@lumen.example"}
    for subject, words in told.values():
        assert subject == "The refund of €10.00 to Hedda Berg failed"
        assert "Refund it again" in words


def test_the_team_is_told_neither_of_test_mode_nor_of_what_is_long_ago(desk: Desk, invoice: Any) -> None:
    disputes.record(desk.account_id, _dispute(desk, "needs_response"), NOW)
    assert _told(desk) == {}
    _make_live(desk)
    disputes.record(desk.account_id, replace(_dispute(desk, "needs_response"), reference="du_2"), NOW)
    with time_machine.travel(NOW + 4 * DAY, tick=False):
        assert _told(desk) == {}
