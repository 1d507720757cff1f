"""Applies a confirmed change: at once, or as a pending update once its invoice is paid; or discards it."""

from dataclasses import replace

from sqlalchemy import select
from sqlalchemy import update as update_rows
from sqlalchemy.orm import Session

from portal_site.billing.events.emission import emit
from portal_site.billing.invoicing.invoice_writer import InvoiceWriter, add_open_invoice, check_place_for_credit
from portal_site.billing.invoicing.voiding import void_invoice
from portal_site.billing.models import (
    Customer,
    Invoice,
    PlanChange,
    Subscription,
)
from portal_site.billing.resources.subscriptions import subscription_items as items_object
from portal_site.billing.rules.subscriptions.pending_update import PendingDiscount, PendingItem, PendingUpdate
from portal_site.billing.rules.subscriptions.plan_change import PENDING_UPDATE_LIFETIME, Quote
from portal_site.billing.rules.subscriptions.snapshot import SubscriptionSnapshot
from portal_site.billing.rules.subscriptions.statuses import ChangeOutcome, InvoiceStatus, SubscriptionStatus
from portal_site.billing.subscriptions import accepted_offers, promotion_codes, subscription_items
from portal_site.billing.subscriptions.applied_discounts import add_discount, end_discounts
from portal_site.billing.subscriptions.resumption import resume
from portal_site.billing.subscriptions.schedules import release_portal_schedules
from portal_site.billing.subscriptions.subscription_update import subscription_update


def pending_update(
    snapshot: SubscriptionSnapshot, quote: Quote, discount: PendingDiscount | None, at: int
) -> PendingUpdate:
    """The change of a quote for this subscription, confirmed at `at`, with the discount of its promotion code."""
    current = {item.id for item in snapshot.items}
    return PendingUpdate(
        expires_at=at + PENDING_UPDATE_LIFETIME,
        items=tuple(
            PendingItem(
                item.id, item.offer.price_id, item.quantity, item.period_start, item.period_end, item.anchor,
                None if item.id in current else item.created,
            )
            for item in quote.items
        ),
        removed_items=tuple(sorted(current - {item.id for item in quote.items})),
        billing_cycle_anchor=quote.anchor,
        trial_end=quote.trial_end,
        discount=discount,
        ended_discounts=quote.consumed_discounts | (quote.code.replaces if quote.code else frozenset()),
    )  # fmt: skip


def apply_or_await_payment(
    session: Session,
    customer: Customer,
    subscription: Subscription,
    quote: Quote,
    update: PendingUpdate,
    key: str,
    at: int,
) -> PlanChange:
    """Apply a change that takes effect now, or store it in `pending_update` until its invoice is paid, if an amount is due.

    `update` is the quote's `pending_update`, and `key` the confirmation's.
    """
    change = PlanChange.of(subscription, key, at)
    with subscription_update(session, subscription, at):
        change.invoice_id = bill_change(session, customer, subscription, quote, at)
        update = replace(update, invoice_id=change.invoice_id)
        if quote.invoice.amount_due:
            change.outcome = ChangeOutcome.PENDING
            subscription.pending_update = update
        else:
            change.outcome = ChangeOutcome.APPLIED
            apply(session, subscription, update, at)
    session.add(change)
    return change


def bill_change(session: Session, customer: Customer, subscription: Subscription, quote: Quote, at: int) -> str | None:
    """Write the invoice of a change, or its deferred lines as pending ones. Returns the id of the invoice, if any."""
    writer = InvoiceWriter(session)
    invoice_id = None
    if quote.invoiced:
        check_place_for_credit(customer, quote.invoice)
        start = min(item.period_start for item in quote.items)
        invoice_id = add_open_invoice(writer, customer, subscription, quote.invoice, at, period_start=start)
    writer.add_pending(subscription, quote.deferred_lines, at)
    writer.write()
    return invoice_id


def note_applied(session: Session, subscription: Subscription, invoice_id: str, at: int) -> None:
    """Record that the pending update with this invoice was applied, because it was paid."""
    owned = PlanChange.customer_id == subscription.customer_id, PlanChange.invoice_id == invoice_id
    session.execute(update_rows(PlanChange).where(*owned).values(outcome=ChangeOutcome.APPLIED))
    emit(session, "customer.subscription.pending_update_applied", subscription, at)


def apply(session: Session, subscription: Subscription, update: PendingUpdate, at: int) -> None:
    """Apply a change to the subscription and its items. Call it inside a `subscription_update`."""
    items = subscription_items.apply_items(session, subscription, update, at)
    subscription.billing_cycle_anchor, subscription.trial_end = update.billing_cycle_anchor, update.trial_end
    if subscription.status == SubscriptionStatus.TRIALING and (subscription.trial_end or 0) <= at:
        subscription.status = SubscriptionStatus.ACTIVE
    if subscription.status == SubscriptionStatus.PAUSED:
        resume(session, subscription, update.billing_cycle_anchor, min(item.current_period_end for item in items), at)
        session.flush()
        emit(session, "customer.subscription.resumed", subscription, at, items=items_object(items))
    subscription.pending_update = None
    if update.replaces_planned_change:
        release_portal_schedules(session, subscription, at)
    code, customer_id = update.promotion_code_id, subscription.customer_id
    # A customer can redeem a code once. If it was redeemed meanwhile, the paid change still applies, without the discount.
    if update.discount and not (code and promotion_codes.has_redeemed(session, customer_id, code)):
        add_discount(session, subscription, update.discount, at)
    # They were used, or replaced, by the invoice of the change: what is billed late has them no more, if that was paid later.
    end_discounts(session, subscription, update.ended_discounts, _billed_at(session, subscription, update, at))
    price_ids = [item.price_id for item in update.items]
    accepted_offers.accept_price_offer(session, subscription, update.attempt_id, price_ids, at)


def _billed_at(session: Session, subscription: Subscription, update: PendingUpdate, at: int) -> int:
    """When the invoice of a change was written; `at`, if it has none."""
    if not update.ended_discounts or update.invoice_id is None:
        return at
    owned = Invoice.customer_id == subscription.customer_id, Invoice.id == update.invoice_id
    return session.scalar(select(Invoice.created).where(*owned)) or at


def extend(session: Session, subscription: Subscription, expires_at: int, at: int) -> None:
    """Extend a pending update until `expires_at`, because its payment is processing. Other due steps wait with it."""
    assert subscription.pending_update is not None
    with subscription_update(session, subscription, at):
        subscription.pending_update = replace(subscription.pending_update, expires_at=expires_at)


def discard(
    session: Session, customer: Customer, subscription: Subscription, at: int, *, expired: bool = False
) -> None:
    """Discard the pending update: void its invoice, and return balance, pending lines and the redemption of its code.

    `expired` is true if it was not the customer who discarded it; then `pending_update_expired` is emitted.
    """
    change = subscription.pending_update
    assert change is not None
    with subscription_update(session, subscription, at) as update:
        subscription.pending_update = None
        _void_open_invoice(session, customer, change.invoice_id, at)
        if change.discount:
            promotion_codes.give_back(
                session, customer.account_id, change.discount.promotion_code_id, change.discount.coupon_id
            )
        owned = PlanChange.customer_id == customer.id, PlanChange.invoice_id == change.invoice_id
        session.execute(update_rows(PlanChange).where(*owned).values(outcome=ChangeOutcome.EXPIRED))
    if expired:
        items = items_object(update.items)
        emit(session, "customer.subscription.pending_update_expired", subscription, at, items=items)


def _void_open_invoice(session: Session, customer: Customer, invoice_id: str | None, at: int) -> None:
    invoice = session.scalar(select(Invoice).where(Invoice.customer_id == customer.id, Invoice.id == invoice_id))
    if invoice is not None and invoice.status == InvoiceStatus.OPEN:
        void_invoice(session, customer, invoice, at)
