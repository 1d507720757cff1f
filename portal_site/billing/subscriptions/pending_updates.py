"""Applies a confirmed change: at once, or as a pending update once its invoice is paid; or discards it."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy import update as update_rows
from sqlalchemy.orm import Session

from portal_site.billing.events.emission import emit
from portal_site.billing.invoicing.invoice_writer import InvoiceWriter, add_open_invoice
from portal_site.billing.invoicing.voiding import void_invoice
from portal_site.billing.models import (
    Customer,
    Invoice,
    PlanChange,
    Subscription,
    SubscriptionItem,
)
from portal_site.billing.resources.subscriptions import subscription_items
from portal_site.billing.rules.subscriptions.plan_change import PENDING_UPDATE_LIFETIME, Quote
from portal_site.billing.rules.subscriptions.statuses import ChangeOutcome, InvoiceStatus, SubscriptionStatus
from portal_site.billing.subscriptions import accepted_offers, promotion_codes
from portal_site.billing.subscriptions.applied_discounts import add_discount, end_discounts
from portal_site.billing.subscriptions.resumption import resume
from portal_site.billing.subscriptions.schedules import release_portal_schedules
from portal_site.billing.subscriptions.subscription_update import subscription_update
from portal_site.db.json_columns import JsonObject


def to_pending_update(quote: Quote, discount: JsonObject | None, invoice_id: str | None, at: int) -> JsonObject:
    """The change as stored in `pending_update`: Stripe's members, and what else is needed to apply it.

    `spent` are the ids of the single-use discounts that it consumes, `item_anchors` the billing cycle anchors by item id.
    """
    return {
        "expires_at": at + PENDING_UPDATE_LIFETIME,
        "subscription_items": [
            {
                "id": item.id,
                "price": item.offer.price_id,
                "quantity": item.quantity,
                "current_period_start": item.period_start,
                "current_period_end": item.period_end,
            }
            for item in quote.items
        ],
        "item_anchors": {item.id: item.anchor for item in quote.items if item.anchor is not None},
        "billing_cycle_anchor": quote.anchor,
        "trial_end": quote.trial_end,
        "discount": discount,
        "spent": sorted(quote.consumed_discounts),
        "invoice": invoice_id,
    }


def apply_or_await_payment(
    session: Session,
    customer: Customer,
    subscription: Subscription,
    quote: Quote,
    discount: JsonObject | None,
    key: str,
    at: int,
) -> PlanChange:
    """Apply a change that takes effect now, or store it in `pending_update` until its invoice is paid, if an amount is due.

    `key` is the confirmation's.
    """
    change = PlanChange.of(subscription, key, at)
    with subscription_update(session, subscription, at) as update:
        change.invoice_id = bill_change(session, customer, subscription, quote, at)
        pending_update = to_pending_update(quote, discount, change.invoice_id, at)
        if quote.invoice.amount_due:
            change.outcome = ChangeOutcome.PENDING
            subscription.pending_update = pending_update
        else:
            change.outcome = ChangeOutcome.APPLIED
            make_change(session, subscription, update.items, pending_update, at)
    session.add(change)
    return change


def bill_change(session: Session, customer: Customer, subscription: Subscription, quote: Quote, at: int) -> str | None:
    """Write the invoice of a change, or its deferred lines as pending ones. Returns the id of the invoice, if any."""
    writer = InvoiceWriter(session)
    invoice_id = None
    if quote.invoiced:
        start = min(item.period_start for item in quote.items)
        invoice_id = add_open_invoice(writer, customer, subscription, quote.invoice, at, period_start=start)
    writer.add_pending(subscription, quote.deferred_lines, at)
    writer.write()
    return invoice_id


def apply(session: Session, subscription: Subscription, change: JsonObject, at: int) -> None:
    """Apply a pending update whose invoice was paid."""
    with subscription_update(session, subscription, at) as update:
        make_change(session, subscription, update.items, change, at)


def make_change(
    session: Session, subscription: Subscription, items: Sequence[SubscriptionItem], change: JsonObject, at: int
) -> None:
    """Apply a change, in the form of `to_pending_update`, to the subscription and its items.

    Call it inside a `subscription_update`.
    """
    targets = {item["id"]: item for item in change["subscription_items"]}
    for item in items:
        target = targets[item.id]
        item.price_id, item.quantity = target["price"], target["quantity"]
        item.current_period_start, item.current_period_end = (
            target["current_period_start"],
            target["current_period_end"],
        )
        item.billing_cycle_anchor = change.get("item_anchors", {}).get(item.id)
    subscription.billing_cycle_anchor = change["billing_cycle_anchor"]
    subscription.trial_end = change["trial_end"]
    if subscription.status == SubscriptionStatus.TRIALING and (subscription.trial_end or 0) <= at:
        subscription.status = SubscriptionStatus.ACTIVE
    if subscription.status == SubscriptionStatus.PAUSED:
        resume(session, subscription, min(item.current_period_end for item in items))
        session.flush()
        emit(session, "customer.subscription.resumed", subscription, at, items=subscription_items(items))
    subscription.pending_update = None
    if change.get("replaces_plan"):
        release_portal_schedules(session, subscription, at)
    code = (discount := change["discount"]) and discount["promotion_code_id"]
    # A customer can redeem a code once. If it was redeemed meanwhile, the paid change still applies, without the discount.
    if discount and not (code and promotion_codes.has_redeemed(session, subscription.customer_id, code)):
        add_discount(session, subscription, discount, at)
    end_discounts(session, subscription, change["spent"], at)
    accepted_offers.accept_price_offer(
        session, subscription, change.get("attempt") or "", [item.price_id for item in items], at
    )


def extend(session: Session, subscription: Subscription, expires_at: int, at: int) -> None:
    """Extend a pending update until `expires_at`, because its payment is processing. Other due steps wait with it."""
    with subscription_update(session, subscription, at):
        subscription.pending_update = {**(subscription.pending_update or {}), "expires_at": expires_at}


def discard(
    session: Session, customer: Customer, subscription: Subscription, at: int, *, expired: bool = False
) -> None:
    """Discard the pending update: void its invoice, and return balance, pending lines and the redemption of its code.

    `expired` is true if it was not the customer who discarded it; then `pending_update_expired` is emitted.
    """
    change = subscription.pending_update or {}
    with subscription_update(session, subscription, at) as update:
        subscription.pending_update = None
        invoice = session.scalar(
            select(Invoice).where(Invoice.customer_id == customer.id, Invoice.id == change.get("invoice"))
        )
        if invoice is not None and invoice.status == InvoiceStatus.OPEN:
            void_invoice(session, customer, invoice, at)
        if (discount := change.get("discount")) and discount["promotion_code_id"]:
            coupon, code = discount["coupon_id"], discount["promotion_code_id"]
            promotion_codes.give_back(session, customer.account_id, code, coupon)
        owned = PlanChange.customer_id == customer.id, PlanChange.invoice_id == change.get("invoice")
        session.execute(update_rows(PlanChange).where(*owned).values(outcome=ChangeOutcome.EXPIRED))
    if expired:
        items = subscription_items(update.items)
        emit(session, "customer.subscription.pending_update_expired", subscription, at, items=items)
