"""Credit notes of what was given back: with tax, to the balance, in parts, and void when the refund fails."""

from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, update

from portal_site.billing.errors import BillingError, NotFound
from portal_site.billing.gateways import Refund as Answer
from portal_site.billing.gateways import RefundRequest
from portal_site.billing.gateways.registry import Gateways
from portal_site.billing.models import CreditNote, CreditNoteLineItem, Customer, Event, Invoice, Refund
from portal_site.billing.payments import refunds
from portal_site.billing.payments.refunds import RefundTerms
from portal_site.cli.invoices import refund as refund_command
from portal_site.db import db
from portal_site.db.transactions import transaction
from portal_site.ids import new_id
from tests.proofs import ledger
from tests.scenarios.history import History
from tests.world import reading

VAT = {"id": "txr_1", "display_name": "VAT", "percentage": "20", "inclusive": False}


@pytest.fixture
def payer(app: Flask) -> History:
    """A customer who paid €12.00 for May, of which €2.00 are tax."""
    return History.start(app, tax=[VAT]).advance_to("2026-05-02")


def _newest(history: History) -> Any:
    db.session.remove()
    with reading() as reader:
        mine = select(Invoice.__table__).where(Invoice.customer_id == history.shop.customer.id)
        return reader.execute(mine.order_by(Invoice.number.desc())).first()


def _notes(history: History) -> list[Any]:
    db.session.remove()
    with reading() as reader:
        mine = select(CreditNote.__table__).where(CreditNote.customer_id == history.shop.customer.id)
        return list(reader.execute(mine.order_by(CreditNote.number)))


def _lines(history: History, note: Any) -> list[tuple[int, int, int]]:
    """Net amount, tax and total of each line of a credit note."""
    with reading() as reader:
        mine = CreditNoteLineItem.account_id == note.account_id, CreditNoteLineItem.credit_note_id == note.id
        rows = reader.execute(select(CreditNoteLineItem.__table__).where(*mine)).all()
    return [(row.amount, sum(tax["amount"] for tax in row.taxes), row.total) for row in rows]


def _refund(history: History, terms: RefundTerms, gateway: Any = None) -> Refund:
    gateways = Gateways(gateway) if gateway else history.app.extensions["gateways"]
    customer_id, attempt_id, at = refunds.payment_of(_newest(history).id, history.now)
    return refunds.refund(gateways, customer_id, attempt_id, at, new_id("key"), terms)


def _to_balance(history: History, terms: RefundTerms, key: str | None = None) -> CreditNote:
    return refunds.credit_balance(
        history.shop.customer.id, _newest(history).id, history.now, key or new_id("key"), terms
    )  # fmt: skip


@pytest.mark.both_databases
def test_a_refund_has_a_credit_note_with_its_part_of_the_tax(app: Flask) -> None:
    history = History.start(app, tax=[VAT]).advance_to("2026-05-02")
    row = _refund(history, RefundTerms(301, "requested_by_customer", "Sorry for the outage."))
    (note,) = _notes(history)
    invoice = _newest(history)
    assert (note.refund_id, note.amount, note.post_payment_amount, note.number) == (
        row.id, 301, 301, f"{invoice.number}-CN-01"
    )  # fmt: skip
    assert (note.memo, note.reason, note.voided_at) == ("Sorry for the outage.", None, None)
    assert _lines(history, note) == [(251, 50, 301)]
    assert (invoice.amount_refunded, invoice.refunds_credited, invoice.post_payment_credit_notes_amount) == (301,) * 3
    _refund(history, RefundTerms(reason="duplicate"))
    last = _notes(history)[1]
    assert (last.reason, _lines(history, last)) == ("duplicate", [(749, 150, 899)])
    ledger.audit(history.shop.customer.account_id)


def test_credit_goes_to_the_balance_once_for_a_key_and_pays_the_next_invoice(payer: History) -> None:
    first = _to_balance(payer, RefundTerms(500), "once")
    assert _to_balance(payer, RefundTerms(500), "once").id == first.id
    assert (payer.balance, _newest(payer).amount_refunded, len(_notes(payer))) == (-500, 0, 1)
    payer.advance_to("2026-06-02")
    assert (payer.balance, _newest(payer).amount_paid) == (0, 700)
    ledger.audit(payer.shop.customer.account_id)


def test_what_went_to_the_balance_is_not_refunded_besides(payer: History) -> None:
    _to_balance(payer, RefundTerms(1000))
    with pytest.raises(BillingError) as refused:
        _refund(payer, RefundTerms(201))
    assert refused.value.code == "amount_too_large"
    assert _refund(payer, RefundTerms()).amount == 200
    with pytest.raises(BillingError) as refused:
        _to_balance(payer, RefundTerms(1))
    assert refused.value.code == "charge_already_refunded"
    ledger.audit(payer.shop.customer.account_id)


class _Bank:
    """A provider that answers what it is told to."""

    name = "sandbox"

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)

    def refund(self, request: RefundRequest, _at: int) -> Answer:
        """See Gateway."""
        return Answer(self.answers.pop(0), f"slow_{request.idempotency_key}")


def test_the_credit_note_of_a_refund_that_fails_is_void(payer: History) -> None:
    bank = _Bank("pending", "failed")
    row = _refund(payer, RefundTerms(400), bank)
    assert _newest(payer).post_payment_credit_notes_amount == 400
    refunds.ask(Gateways(bank), payer.shop.customer.id, row.id, payer.now + 3600)  # type: ignore[arg-type]
    (note,) = _notes(payer)
    invoice = _newest(payer)
    assert (invoice.amount_refunded, invoice.refunds_credited, invoice.post_payment_credit_notes_amount) == (0,) * 3
    assert note.voided_at == payer.now + 3600
    with reading() as reader:
        mine = Event.account_id == note.account_id, Event.type == "credit_note.voided"
        (document,) = reader.scalars(select(Event.data).where(*mine))
    assert (document["object"]["status"], document["object"]["refunds"][0]["refund"]) == ("void", row.id)
    assert _refund(payer, RefundTerms()).amount == 1200
    assert [each.number[-5:] for each in _notes(payer)] == ["CN-01", "CN-02"]


def test_a_refund_that_comes_back_days_later_has_failed(payer: History) -> None:
    """Stripe's refunds to cards succeed at once, and can fail when the bank sends the money back."""
    bank = _Bank("succeeded", "succeeded", "failed", "succeeded")
    row = _refund(payer, RefundTerms(400), bank)
    assert row.status == "succeeded"
    whose = payer.shop.customer.id, row.id
    for status, refunded in (("succeeded", 400), ("failed", 0), ("failed", 0)):
        refunds.ask(Gateways(bank), *whose, payer.now + 9 * 24 * 3600)  # type: ignore[arg-type]
        assert _newest(payer).amount_refunded == refunded
        with reading() as reader:
            assert reader.scalar(select(Refund.status).where(Refund.id == row.id)) == status
    assert _notes(payer)[0].voided_at == payer.now + 9 * 24 * 3600
    with reading() as reader:
        mine = Event.account_id == payer.shop.customer.account_id, Event.type.in_(("refund.failed", "refund.updated"))
        kinds = list(reader.scalars(select(Event.type).where(*mine).order_by(Event.sequence)))
    assert kinds == ["refund.updated", "refund.failed", "refund.updated"]
    assert _refund(payer, RefundTerms()).amount == 1200


def test_a_provider_that_refuses_says_nothing_of_a_refund_that_it_has_made(payer: History) -> None:
    class Refuses(_Bank):
        def refund(self, request: RefundRequest, _at: int) -> Answer:
            raise BillingError("No such charge", "resource_missing")

    row = _refund(payer, RefundTerms(400), _Bank("succeeded"))
    assert refunds.ask(Gateways(Refuses()), payer.shop.customer.id, row.id, payer.now).status == "succeeded"  # type: ignore[arg-type]
    assert _newest(payer).amount_refunded == 400


def test_unused_time_is_credited_only_as_far_as_it_was_not_given_back(payer: History) -> None:
    _to_balance(payer, RefundTerms(600))
    payer.advance_to("2026-05-16 12:00:00")
    payer.cancel(mode="immediately", proration_behavior="always_invoice")
    assert payer.balance == -600 - 300  # half of what is left of €12.00
    ledger.audit(payer.shop.customer.account_id)


def test_a_payment_of_an_earlier_debt_too_is_refunded_whole_with_a_note_for_its_own_invoice(
    app: Flask,
) -> None:
    history = History.start(app)
    with transaction() as session:
        mine = Customer.id == history.shop.customer.id, Customer.account_id == history.shop.customer.account_id
        session.execute(update(Customer).where(*mine).values(balance=200, currency="eur"))
    history.advance_to("2026-05-02")
    assert _newest(history).amount_paid == 1200
    assert _refund(history, RefundTerms()).amount == 1200
    (note,) = _notes(history)
    invoice = _newest(history)
    assert (note.amount, invoice.amount_refunded, invoice.refunds_credited) == (1000, 1200, 1000)


def test_the_command_gives_credit_to_the_balance(
    app: Flask, payer: History, capsys: pytest.CaptureFixture[str]
) -> None:
    command: Any = refund_command.callback
    command.__wrapped__(app, _newest(payer).id, 250, "balance", None, "With our thanks", None)
    assert capsys.readouterr().out == f"{_notes(payer)[0].number} to the balance\n"
    assert payer.balance == -250
    with pytest.raises(NotFound):
        command.__wrapped__(app, "in_none", 250, "balance", None, None, None)
