"""Invariants of the ledger: assertions that must hold after any sequence of operations."""

from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from sqlalchemy import func, select

from portal_site.billing.gateways.sandbox.models import SandboxCharge, SandboxRefund
from portal_site.billing.models import (
    CreditNote,
    CreditNoteLineItem,
    Customer,
    CustomerBalanceTransaction,
    Discount,
    Event,
    Invoice,
    InvoiceLineItem,
    PaymentAttempt,
    PlanChange,
    PromotionCode,
    Refund,
    Subscription,
    SubscriptionItem,
)
from portal_site.db import db
from tests.world import reading

Rows = list[Any]
Books = Callable[[Rows, Rows], tuple[Rows, Rows]]


def of_the_sandbox(attempts: Rows, refunds: Rows) -> tuple[Rows, Rows]:
    """The provider's rows of these payment attempts and refunds."""
    keys = [attempt.idempotency_key for attempt in attempts]
    of_ours = SandboxRefund.idempotency_key.in_([refund.id for refund in refunds])
    with reading() as reader:
        charges = reader.execute(select(SandboxCharge.__table__).where(SandboxCharge.idempotency_key.in_(keys)))
        return list(charges), list(reader.execute(select(SandboxRefund.__table__).where(of_ours)))


def audit(account_id: str, first_balance: int = 0, books: Books = of_the_sandbox) -> None:
    """Assert that the whole ledger of an account is consistent. `books` are the provider's of its attempts and refunds."""
    db.session.remove()
    with reading() as reader:

        def rows(kind: Any) -> Rows:
            return list(reader.execute(select(kind.__table__).where(kind.account_id == account_id)))

        invoices, lines, attempts = rows(Invoice), rows(InvoiceLineItem), rows(PaymentAttempt)
        customers, transactions, events = rows(Customer), rows(CustomerBalanceTransaction), rows(Event)
        subscriptions, items = rows(Subscription), rows(SubscriptionItem)
        changes, codes, refunds = rows(PlanChange), rows(PromotionCode), rows(Refund)
        discounts = rows(Discount)
        notes, note_lines = rows(CreditNote), rows(CreditNoteLineItem)
    charges, given_back = books(attempts, refunds)
    drafts = [invoice for invoice in invoices if invoice.status == "draft"]
    for draft in drafts:  # a draft has no number and does not affect the balance
        assert (draft.number, draft.ending_balance, draft.amount_paid, draft.next_payment_attempt) == (
            None,
            None,
            0,
            None,
        )
        assert draft.total == sum(line.total for line in lines if line.invoice_id == draft.id)
    invoices = [invoice for invoice in invoices if invoice.status != "draft"]
    _invoices_add_up(invoices, lines)
    _balances_add_up(customers, invoices, transactions, first_balance)
    _charges_are_invoiced(invoices, attempts, charges)
    _refunds_add_up(invoices, attempts, refunds, given_back, events)
    _nothing_is_billed_twice(invoices, lines)
    _credits_are_covered(lines, invoices)
    _credit_notes_add_up(notes, note_lines, invoices, lines)
    _events_are_complete(invoices, attempts, events)
    _changes_are_paid_for(changes, invoices, subscriptions)
    for item in items:
        assert (item.quantity or 0) >= 0, item.id
        assert item.current_period_start <= item.current_period_end, item.id
    for code in codes:
        limit = code.max_redemptions
        assert code.times_redeemed >= 0
        assert limit is None or code.times_redeemed <= limit
        with_code = [discount for discount in discounts if discount.promotion_code_id == code.id]
        pending = [
            each for each in subscriptions if each.pending_update and each.pending_update.promotion_code_id == code.id
        ]
        assert code.times_redeemed == len(with_code) + len(pending), "a code is counted that brought no discount"


def _invoices_add_up(invoices: Rows, lines: Rows) -> None:
    """The amounts of each invoice are consistent with its lines, its balances and its status."""
    lines_of = defaultdict(list)
    for line in lines:
        lines_of[line.invoice_id].append(line)
    for invoice in invoices:
        name = f"{invoice.number} {invoice.status}"
        assert invoice.total == sum(line.total for line in lines_of[invoice.id]), name
        reduced = invoice.pre_payment_credit_notes_amount
        assert invoice.amount_due == invoice.total - (invoice.ending_balance - invoice.starting_balance) - reduced, name
        assert invoice.amount_due == invoice.amount_paid + invoice.amount_remaining, name
        assert min(invoice.amount_due, invoice.amount_paid, invoice.amount_remaining) >= 0, name
        assert (invoice.status == "paid") <= (invoice.amount_remaining == 0), name


def _balances_add_up(customers: Rows, invoices: Rows, transactions: Rows, first_balance: int) -> None:
    """Each customer's billed amounts are paid, remain to be paid, or are in the balance; invoice numbers have no gaps."""
    for customer in customers:
        own_invoices = [invoice for invoice in invoices if invoice.customer_id == customer.id]
        change = sum(transaction.amount for transaction in transactions if transaction.customer_id == customer.id)
        own = customer.balance + sum((customer.other_balances or {}).values())
        assert own == first_balance + change
        valid = [invoice for invoice in own_invoices if invoice.status != "void"]
        billed = sum(invoice.total for invoice in valid)
        settled = sum(invoice.amount_paid + invoice.amount_remaining for invoice in valid)
        # What was refunded with a credit note is in neither: it was paid, and went back.
        reduced = sum(
            invoice.pre_payment_credit_notes_amount
            + invoice.post_payment_credit_notes_amount
            - invoice.refunds_credited
            for invoice in valid
        )
        assert billed - reduced == settled + own - first_balance
        assert sorted(int(invoice.number[-4:]) for invoice in own_invoices) == list(range(1, len(own_invoices) + 1))
        assert customer.next_invoice_sequence == len(own_invoices) + 1


def _charges_are_invoiced(invoices: Rows, attempts: Rows, charges: Rows) -> None:
    """The gateway's successful charges are the paid amounts of the invoices, except for unsettled payment attempts."""
    attempt_of = {attempt.idempotency_key: attempt for attempt in attempts}
    status = {invoice.id: invoice.status for invoice in invoices}
    charged: dict[str, int] = defaultdict(int)
    unsettled = {attempt.invoice_id for attempt in attempts if attempt.settled_at is None}
    for charge in charges:
        if charge.status == "succeeded":
            attempt = attempt_of[charge.idempotency_key]
            assert charge.amount == attempt.amount
            assert attempt.status == "succeeded" or attempt.settled_at is None, "money taken, called declined"
            charged[attempt.invoice_id] += charge.amount
        if charge.status == "processing":
            assert attempt_of[charge.idempotency_key].settled_at is None, "given up while the bank is at work"
    for invoice in invoices:
        amount = charged[invoice.id]
        # What is reduced while a payment is in progress brings the surplus to the balance once that is known.
        most = invoice.amount_due + (invoice.pre_payment_credit_notes_amount if invoice.id in unsettled else 0)
        assert amount <= most or not amount, f"{invoice.number} was charged twice"
        if invoice.id not in unsettled and invoice.cycle_at != invoice.created:
            assert amount in (invoice.amount_paid, 0), invoice.number
        if amount:
            assert invoice.status != "void", f"{invoice.number} is void and was charged"
    counts: dict[str, int] = defaultdict(int)
    for attempt in attempts:
        if attempt.status == "processing":
            assert attempt.settled_at is None
            assert status[attempt.invoice_id] in ("open", "uncollectible"), "the bank pays what is not to be paid"
        counts[attempt.invoice_id] += attempt.settled_at is None
    assert max(counts.values(), default=0) <= 1


def _refunds_add_up(invoices: Rows, attempts: Rows, refunds: Rows, given_back: Rows, events: Rows) -> None:
    """What was given back is at the gateway what it is here, of no payment more than it brought, and each has its events."""
    paid = {attempt.id: attempt.amount for attempt in attempts if attempt.status == "succeeded"}
    of_attempt: dict[str, int] = defaultdict(int)
    of_invoice: dict[str, int] = defaultdict(int)
    answers = {row.idempotency_key: row for row in given_back}
    for refund in refunds:
        if refund.status != "failed":
            of_attempt[refund.payment_attempt_id] += refund.amount
            of_invoice[refund.invoice_id] += refund.amount
        answer = answers.get(refund.id)
        assert refund.status == "pending" or (answer and answer.status == refund.status), "the gateway knows otherwise"
        assert answer is None or answer.amount == refund.amount
        kinds = [event.type for event in events if event.data["object"]["id"] == refund.id]
        assert sorted(kinds) == sorted(
            {
                "pending": ["refund.created"],
                "succeeded": ["refund.created", "refund.updated"],
                "failed": ["refund.created", "refund.failed", "refund.updated"],
            }[refund.status]
        )
    for attempt_id, amount in of_attempt.items():
        assert 0 < amount <= paid[attempt_id]
    for invoice in invoices:
        assert invoice.amount_refunded == of_invoice[invoice.id], invoice.number
        assert 0 <= invoice.amount_refunded <= invoice.amount_paid, invoice.number
    charged = sum(event.type == "charge.refunded" for event in events)
    assert charged == sum(refund.status == "succeeded" for refund in refunds)


def _nothing_is_billed_twice(invoices: Rows, lines: Rows) -> None:
    """No full period of an item, and no renewal, is billed twice."""
    by_id = {invoice.id: invoice for invoice in invoices if invoice.status != "void"}
    credited = {line.credited_line_id for line in lines}
    periods = defaultdict(list)
    for line in lines:
        if line.invoice_id in by_id and not line.proration and line.id not in credited:
            periods[line.subscription_item_id, line.period_start].append(by_id[line.invoice_id])
    for period, billed in periods.items():
        # Without proration, each change that resets the billing cycle bills a full period from now on. So a period can be on
        # several invoices of changes, in the second of a renewal after the renewal's, but no renewal bills it after them.
        later = sorted(billed, key=lambda invoice: int(invoice.number[-4:]))[1:]
        assert all(invoice.cycle_at is None for invoice in later), f"{period} is billed twice"
    renewed = [(i.subscription_id, i.cycle_at) for i in invoices if i.cycle_at is not None]
    assert len(renewed) == len(set(renewed))


def no_time_is_billed_twice(account_id: str) -> None:
    """Assert that every second of an item is billed at most once. A credited line counts up to the start of the credit.

    What was given back in full was not paid for, and may be billed again; what its invoice credited stays credited. This does
    not hold for merchants whose plan changes reset the billing cycle without proration.
    """
    db.session.remove()
    returned = Invoice.post_payment_credit_notes_amount + Invoice.amount_refunded - Invoice.refunds_credited
    kept = (func.coalesce(returned, 0) == 0) | (returned + Invoice.pre_payment_credit_notes_amount < Invoice.total)
    with reading() as reader:
        query = (
            select(InvoiceLineItem.__table__, kept.label("is_kept"))
            .outerjoin(Invoice, Invoice.id == InvoiceLineItem.invoice_id)
            .where(InvoiceLineItem.account_id == account_id, func.coalesce(Invoice.status, "") != "void")
        )
        lines = list(reader.execute(query))
        reduced = select(CreditNoteLineItem.__table__).where(CreditNoteLineItem.account_id == account_id)
        reductions = list(reader.execute(reduced))
    credited_from = {line.credited_line_id: line.period_start for line in lines if line.credited_line_id}
    of_unused_time = [line for line in reductions if line.period_start is not None]
    credited_from |= {line.invoice_line_item_id: line.period_start for line in of_unused_time}
    billed = defaultdict(list)
    for line in lines:
        end = min(line.period_end, credited_from.get(line.id, line.period_end))
        if line.is_kept and line.amount > 0 and line.period_start < end:
            billed[line.subscription_item_id].append((line.period_start, end, line.description))
    for item_id, spans in billed.items():
        for (_, end, before), (start, _, after) in pairwise(sorted(spans)):
            assert end <= start, f"{item_id}: {before} and {after} share {end - start} seconds"


def _credits_are_covered(lines: Rows, invoices: Rows) -> None:
    """No credit exceeds the total of the line that it credits."""
    by_id = {line.id: line for line in lines}
    for line in lines:
        if line.credited_line_id:
            assert line.total <= 0
            assert -line.total <= by_id[line.credited_line_id].total, line.description


def _credit_notes_add_up(notes: Rows, note_lines: Rows, invoices: Rows, lines: Rows) -> None:
    """A credit note is its lines; an invoice is reduced by its notes, and no line by more than it is.

    A line whose unused time was credited is not reduced to its used time besides.
    """
    by_id = {line.id: line for line in lines}
    credited = {line.credited_line_id for line in lines}
    void = {note.id for note in notes if note.voided_at is not None}
    for note in notes:
        own = [line for line in note_lines if line.credit_note_id == note.id]
        assert note.amount == sum(line.total for line in own) == note.pre_payment_amount + note.post_payment_amount
        assert min(note.amount, note.pre_payment_amount, note.post_payment_amount) >= 0
    taken: dict[str, int] = defaultdict(int)
    for line in note_lines:
        assert line.total >= line.amount >= 0
        assert line.total == line.amount + sum(t["amount"] for t in line.taxes if t["tax_behavior"] == "exclusive")
        if line.credit_note_id not in void:
            taken[line.invoice_line_item_id] += line.total
        assert line.period_start is None or line.invoice_line_item_id not in credited
    for line_id, amount in taken.items():
        assert amount <= by_id[line_id].total
    valid = [note for note in notes if note.id not in void]
    for invoice in invoices:
        own = [note for note in valid if note.invoice_id == invoice.id]
        assert invoice.pre_payment_credit_notes_amount == sum(note.pre_payment_amount for note in own)
        assert invoice.post_payment_credit_notes_amount == sum(note.post_payment_amount for note in own)
        assert invoice.refunds_credited == sum(note.amount for note in own if note.refund_id)
        assert invoice.refunds_credited <= invoice.amount_refunded
        given_back = invoice.pre_payment_credit_notes_amount + invoice.post_payment_credit_notes_amount
        assert invoice.status != "paid" or given_back <= max(0, invoice.total), "more is given back than it was"
        assert (invoice.voided_at is None) or (invoice.status == "void" and not own), "a void invoice was reduced"


def _events_are_complete(invoices: Rows, attempts: Rows, events: Rows) -> None:
    """Each state of an invoice, payment intent and charge was emitted exactly once."""
    types_of: dict[str, list[str]] = defaultdict(list)
    for event in events:
        types_of[event.data["object"]["id"]].append(event.type)
    for invoice in invoices:
        if invoice.id not in types_of:  # the first month's invoice, which the test itself created without events
            assert invoice.cycle_at == invoice.period_start
            continue
        for kind, fact in (
            ("invoice.created", True),
            ("invoice.finalized", True),
            ("invoice.paid", invoice.status == "paid"),
            ("invoice.voided", invoice.status == "void"),
        ):
            assert types_of[invoice.id].count(kind) == fact, (invoice.number, invoice.status, kind)
    invoice_ids = {attempt.invoice_id for attempt in attempts}
    for invoice_id in invoice_ids:
        assert types_of[invoice_id.replace("in_", "pi_")].count("payment_intent.created") == 1
    for attempt in attempts:
        took = types_of[attempt.id.replace("payatt_", "ch_")].count("charge.succeeded")
        assert took == (attempt.status == "succeeded"), (attempt.status, took)
        failed = types_of[attempt.id.replace("payatt_", "ch_")].count("charge.failed")
        assert failed <= (attempt.status == "declined"), (attempt.status, failed)
        processing = types_of[attempt.invoice_id.replace("in_", "pi_")].count("payment_intent.processing")
        assert processing <= sum(other.invoice_id == attempt.invoice_id for other in attempts)
        assert processing >= (attempt.status == "processing")


def _changes_are_paid_for(changes: Rows, invoices: Rows, subscriptions: Rows) -> None:
    """The outcome of each change agrees with its invoice: applied = paid, or sent; pending = open, expired = void."""
    status = {invoice.id: invoice.status for invoice in invoices}
    sent = {invoice.id for invoice in invoices if invoice.collection_method == "send_invoice"}
    awaiting_payment = {
        subscription.pending_update and subscription.pending_update.invoice_id for subscription in subscriptions
    } | {subscription.latest_invoice_id for subscription in subscriptions if subscription.status == "incomplete"}
    for change in changes:
        if change.outcome == "applied" and change.invoice_id:
            assert status[change.invoice_id] == "paid" or change.invoice_id in sent
        if change.outcome == "pending":
            assert change.invoice_id in awaiting_payment
            assert status[change.invoice_id] == "open"
        if change.outcome == "expired":
            assert status[change.invoice_id] == "void"


def settled(account_id: str, at: int) -> None:
    """Assert that nothing is left to do at `at`: no payment in doubt, nothing overdue, nothing parked.

    What waits for the customer, or for a bank that takes days, is not ours to do.
    """
    db.session.remove()
    with reading() as reader:
        unsettled = select(PaymentAttempt.status).where(
            PaymentAttempt.account_id == account_id, PaymentAttempt.settled_at.is_(None)
        )
        assert set(reader.scalars(unsettled)) <= {"requires_action", "processing"}
        mine = select(Subscription.__table__).where(Subscription.account_id == account_id)
        for subscription in reader.execute(mine):
            assert subscription.billing_error is None, subscription.billing_error
            assert subscription.due_at is None or subscription.due_at > at
            if subscription.status in ("active", "trialing", "past_due"):
                assert subscription.due_at is not None, f"a {subscription.status} subscription will never renew"
