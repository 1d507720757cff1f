"""Refunds: money of a payment that goes back, once, whatever becomes of the provider's answer."""

import random
import re
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from portal_site.billing.errors import BillingError, NotFound
from portal_site.billing.gateways import Refund as Answer
from portal_site.billing.gateways import RefundRequest
from portal_site.billing.gateways.registry import Gateways
from portal_site.billing.gateways.sandbox.models import SandboxRefund
from portal_site.billing.loading import snapshots
from portal_site.billing.models import CreditNote, CreditNoteLineItem, Event, Invoice, InvoiceLineItem, Refund
from portal_site.billing.payments import refunds
from portal_site.billing.payments.refunds import RefundTerms
from portal_site.cli.invoices import refund as refund_command
from portal_site.db import db
from portal_site.db.transactions import transaction
from portal_site.ids import new_id
from portal_site.portal.reads import invoices
from portal_site.portal.wording import invoices as words
from tests import world
from tests.proofs import ledger
from tests.proofs.flaky import FlakyGateway
from tests.scenarios.history import History
from tests.world import reading

HOUR = 60 * 60


def _invoice(history: History) -> Any:
    """The newest invoice."""
    db.session.remove()
    with reading() as reader:
        mine = select(Invoice.__table__).where(Invoice.customer_id == history.shop.customer.id)
        return reader.execute(mine.order_by(Invoice.number.desc())).first()


def _gives_back(
    history: History, amount: int | None = None, key: str | None = None, gateway: Any = None, reason: str | None = None
) -> Refund:
    gateways = Gateways(gateway) if gateway else history.app.extensions["gateways"]
    customer_id, attempt_id, at = refunds.payment_of(_invoice(history).id, history.now)
    assert at == history.now
    return refunds.refund(gateways, customer_id, attempt_id, at, key or new_id("key"), RefundTerms(amount, reason))


def _given_back(history: History) -> int:
    """What the provider says that it gave back."""
    db.session.remove()
    with reading() as reader:
        rows = reader.scalars(select(SandboxRefund.amount).where(SandboxRefund.status == "succeeded"))
        return sum(rows)


def _events(history: History, *kinds: str) -> list[dict[str, Any]]:
    with reading() as reader:
        mine = Event.account_id == history.shop.customer.account_id, Event.type.in_(kinds)
        return [data["object"] for data in reader.scalars(select(Event.data).where(*mine).order_by(Event.sequence))]


@pytest.fixture
def payer(app: Flask) -> History:
    """A customer who paid €10.00 for May."""
    return History.start(app).advance_to("2026-05-02")


@pytest.mark.both_databases
def test_a_part_and_then_the_rest_of_a_payment_is_given_back(app: Flask) -> None:
    history = History.start(app).advance_to("2026-05-02")
    first = _gives_back(history, 300, reason="requested_by_customer")
    assert (first.status, first.amount, first.currency, first.reason) == (
        "succeeded",
        300,
        "eur",
        "requested_by_customer",
    )
    assert _gives_back(history).amount == 700
    invoice = _invoice(history)
    assert (invoice.status, invoice.amount_paid, invoice.amount_refunded, _given_back(history)) == (
        "paid",
        1000,
        1000,
        1000,
    )
    charges = _events(history, "charge.refunded")
    assert [(charge["amount_refunded"], charge["refunded"]) for charge in charges] == [(300, False), (1000, True)]
    created = _events(history, "refund.created")[0]
    assert created["charge"] == charges[0]["id"]
    assert (created["object"], created["status"], created["payment_intent"]) == (
        "refund", "pending", invoice.id.replace("in_", "pi_")
    )  # fmt: skip
    ledger.audit(history.shop.customer.account_id)


def test_more_than_is_left_is_refused_and_so_is_a_payment_that_is_given_back(payer: History) -> None:
    for amount, code in ((0, "amount_too_large"), (-5, "amount_too_large"), (1001, "amount_too_large")):
        with pytest.raises(BillingError) as refused:
            _gives_back(payer, amount)
        assert refused.value.code == code
    with pytest.raises(BillingError, match="No such reason"):
        _gives_back(payer, 5, reason="mood")
    _gives_back(payer)
    with pytest.raises(BillingError) as refused:
        _gives_back(payer, 1)
    assert refused.value.code == "charge_already_refunded"
    assert _given_back(payer) == 1000


def test_what_was_not_paid_here_is_not_given_back(app: Flask) -> None:
    history = History.start(app, card=world.FAILS).advance_to("2026-05-02")
    with pytest.raises(NotFound):
        _gives_back(history)


def test_the_same_key_gives_back_once(payer: History) -> None:
    assert _gives_back(payer, 400, "once").id == _gives_back(payer, 400, "once").id
    assert (_given_back(payer), _invoice(payer).amount_refunded) == (400, 400)


@pytest.mark.both_databases
def test_a_refund_whose_answer_is_lost_is_asked_for_again_by_the_worker(app: Flask) -> None:
    history = History.start(app).advance_to("2026-05-02")
    flaky = FlakyGateway(app.extensions["gateways"].shared("sandbox"), random.Random(4), losses=1.0)
    assert _gives_back(history, 400, gateway=flaky).status == "pending"
    assert _invoice(history).amount_refunded == 400  # nobody can give it back a second time meanwhile
    history.advance_to_instant(history.now + HOUR + 1)
    history.advance_to_instant(history.now + 3 * HOUR)
    assert (_given_back(history), [row["status"] for row in _events(history, "refund.updated")]) == (400, ["succeeded"])
    ledger.audit(history.shop.customer.account_id)


class _SlowBank:
    """A provider whose refunds take days, and may fail in the end."""

    name = "sandbox"

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)

    def refund(self, request: RefundRequest, _at: int) -> Answer:
        """See Gateway."""
        return Answer(self.answers.pop(0), f"slow_{request.idempotency_key}")


def test_the_command_gives_back_what_is_left_and_names_the_refund(
    app: Flask, payer: History, capsys: pytest.CaptureFixture[str]
) -> None:
    command: Any = refund_command.callback
    for amount in (400, None):
        command.__wrapped__(app, _invoice(payer).id, amount, "payment-method", "duplicate", None, None)
        assert re.fullmatch(r"re_\w+ succeeded\n", capsys.readouterr().out)
    assert (_given_back(payer), _invoice(payer).amount_refunded) == (1000, 1000)


def test_a_refund_that_fails_in_the_end_was_none(payer: History) -> None:
    bank = _SlowBank("pending", "failed")
    row = _gives_back(payer, 400, gateway=bank)
    assert (row.status, _invoice(payer).amount_refunded) == ("pending", 400)
    refunds.ask(Gateways(bank), payer.shop.customer.id, row.id, payer.now + HOUR)  # type: ignore[arg-type]
    assert _invoice(payer).amount_refunded == 0
    assert [row["status"] for row in _events(payer, "refund.failed")] == ["failed"]
    assert _events(payer, "charge.refunded") == []
    assert _gives_back(payer).amount == 1000


def test_a_provider_that_refuses_makes_it_fail(payer: History) -> None:
    class Refuses(_SlowBank):
        def refund(self, request: RefundRequest, _at: int) -> Answer:
            raise BillingError("No such charge", "resource_missing")

    assert _gives_back(payer, 400, gateway=Refuses()).status == "failed"
    assert _invoice(payer).amount_refunded == 0


def test_what_was_given_back_is_not_credited_again(payer: History) -> None:
    _gives_back(payer, 600)
    payer.advance_to("2026-05-16 12:00:00")
    payer.cancel(mode="immediately", proration_behavior="always_invoice")
    assert payer.balance == -200  # half of what is left of €10.00
    ledger.audit(payer.shop.customer.account_id)


def test_the_invoice_says_what_was_given_back(app: Flask, payer: History) -> None:
    scope = {"account_id": payer.shop.customer.account_id, "customer_id": payer.shop.customer.id, "on_behalf_of": None}
    with app.test_request_context():
        view = invoices.find(scope, _invoice(payer).id)
        assert view
        assert words.refunded(view) == ""
        assert words.refunded(replace(view, amount_refunded=250)) == "We refunded €2.50 of your payment."


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.tuples(st.integers(1, 700), st.sampled_from((0.0, 0.5, 1.0)), st.booleans()), max_size=6),
    st.integers(3, 30),
)
def test_paid_less_refunded_and_credit_is_what_the_ledger_says(
    app: Flask, tries: list[tuple[int, float, bool]], day: int
) -> None:
    """Over lost answers and repeated requests; in the end the customer cancels, and the credit is part of what is left."""
    history = History.start(app).advance_to("2026-05-02")
    for number, (amount, losses, again) in enumerate(tries):
        gateway = FlakyGateway(app.extensions["gateways"].shared("sandbox"), random.Random(amount), losses)
        for _ in range(1 + again):
            try:
                _gives_back(history, amount, f"key{number}", gateway)
            except BillingError:
                break
        ledger.audit(history.shop.customer.account_id)
    history.advance_to(f"2026-05-{day:02}")
    history.cancel(mode="immediately", proration_behavior="always_invoice")
    history.advance_to_instant(history.now + 2 * HOUR)
    paid, refunded = _invoice_sums(history)
    used_seconds = (day - 1) / 31
    assert 0 <= refunded <= 1000
    assert abs((paid - refunded + history.balance) - (1000 - refunded) * used_seconds) <= 1
    ledger.audit(history.shop.customer.account_id)


def _invoice_sums(history: History) -> tuple[int, int]:
    """What was paid, and given back, of the invoices since the first month's."""
    db.session.remove()
    with reading() as reader:
        mine = select(Invoice.amount_paid, Invoice.amount_refunded).where(
            Invoice.customer_id == history.shop.customer.id
        )
        rows = reader.execute(mine.order_by(Invoice.number)).all()[1:]
    return sum(row[0] for row in rows), sum(row[1] for row in rows)


# --- what was given back of several lines -----------------------------------------------------------------------------


def _note(history: History, amount: int, line_id: str | None) -> None:
    """A credit note of the newest invoice, of one line or of none in particular."""
    invoice = _invoice(history)
    with transaction() as session:
        note = CreditNote(
            id=new_id("cn"), account_id=invoice.account_id, customer_id=invoice.customer_id, invoice_id=invoice.id,
            created=history.now, number=new_id("n"), currency="eur", amount=amount, pre_payment_amount=0,
            post_payment_amount=amount, livemode=False,
        )  # fmt: skip
        session.add(note)
        session.flush()
        if line_id is not None:
            session.add(
                CreditNoteLineItem(
                    id=new_id("cnli"),
                    account_id=note.account_id,
                    credit_note_id=note.id,
                    invoice_line_item_id=line_id,
                    description="",
                    amount=amount,
                    total=amount,
                    taxes=[],
                )
            )
        owned = Invoice.customer_id == invoice.customer_id, Invoice.id == invoice.id
        session.scalars(select(Invoice).where(*owned)).one().post_payment_credit_notes_amount += amount


def _creditable(history: History) -> dict[str, tuple[int, int]]:
    """Total and what was given back of each line that can be credited, by the line's id."""
    db.session.remove()
    with reading() as reader:
        rows = snapshots.load_owned_rows(reader, history.shop.customer.id, history.shop.subscription.id)
        lines = snapshots.load_for_quote(reader, *rows, history.now).creditable_lines
        return {str(line.id): (line.total, line.given_back) for line in lines}


def test_what_names_no_line_is_no_more_lost_where_a_line_was_given_back_in_full(app: Flask) -> None:
    """€10.00 and €5.00: the second is given back, and €5.00 more. So €5.00 are left, of the first."""
    history = History.start(app)
    history.add_item(500)
    history.advance_to("2026-05-02")
    (extra,) = (name for name, (total, _) in _creditable(history).items() if total == 500)
    _note(history, 500, extra)
    _gives_back(history, 500)
    assert list(_creditable(history).values()) == [(1000, 500)]


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.integers(1, 3000), min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(1, 900), st.integers(0, 5)), max_size=4),
    st.integers(0, 2000),
)
def test_the_parts_that_were_given_back_add_up_to_what_was(
    app: Flask, prices: list[int], notes: list[tuple[int, int]], refunded: int
) -> None:
    """So a credit is never more than what was paid less what was given back, nor less by what another line was given."""
    history = History.start(app)
    for price in prices:
        history.add_item(price)
    history.advance_to("2026-05-02")
    paid = sum(total for total, _ in _creditable(history).values())
    left = {name: total for name, (total, _) in _creditable(history).items()}
    named = unnamed = 0
    for amount, chosen in notes:
        name = sorted(left)[chosen] if chosen < len(left) else None
        if name is not None and amount <= left[name] and named + unnamed + amount <= paid:
            left[name] -= amount
            named += amount
            _note(history, amount, name)
        elif name is None and named + unnamed + amount <= paid:
            unnamed += amount
            _note(history, amount, None)
    if 0 < refunded <= paid - named - unnamed:
        unnamed += refunded
        _gives_back(history, refunded)
    creditable = _creditable(history)
    gone = sum(paid_for for name, paid_for in _totals(history).items() if name not in creditable)
    assert sum(given for _, given in creditable.values()) + gone == named + unnamed
    assert all(given <= total for total, given in creditable.values())
    assert all(given >= total - left[name] for name, (total, given) in creditable.items())


def _totals(history: History) -> dict[str, int]:
    invoice_id = _invoice(history).id
    with reading() as reader:
        query = select(InvoiceLineItem.id, InvoiceLineItem.total).where(
            InvoiceLineItem.customer_id == history.shop.customer.id, InvoiceLineItem.invoice_id == invoice_id
        )
        return {row[0]: row[1] for row in reader.execute(query)}
