"""What a confirmed change makes of a subscription: at once, or once its invoice is paid, or never."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy import update as update_rows
from sqlalchemy.orm import Session

from portal_site.billing.invoicing.invoice_writer import InvoiceWriter, add_open_invoice
from portal_site.billing.invoicing.voiding import void_invoice
from portal_site.billing.models import (
    Customer,
    Event,
    Invoice,
    PlanChange,
    Subscription,
    SubscriptionItem,
)
from portal_site.billing.rules.subscriptions.plan_change import PENDING_UPDATE_LIFETIME, Quote
from portal_site.billing.rules.subscriptions.statuses import ChangeOutcome, InvoiceStatus, SubscriptionStatus
from portal_site.billing.subscriptions import accepted_offers, promotion_codes
from portal_site.billing.subscriptions.applied_discounts import add_discount, end_discounts
from portal_site.billing.subscriptions.resumption import resume
from portal_site.billing.subscriptions.schedules import release_portal_schedules
from portal_site.billing.subscriptions.subscription_items import items_object
from portal_site.billing.subscriptions.subscription_update import subscription_update
from portal_site.db.json_columns import JsonObject


def to_pending_update(quote: Quote, discount: JsonObject | None, invoice_id: str | None, at: int) -> JsonObject:
    """A change as a subscription keeps it in `pending_update`: the field's members, and what else it takes to apply it."""
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
    """Make a change that takes effect now. One that costs something waits in `pending_update` until its invoice is paid."""
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
    """Write what a change costs into the ledger: an invoice of today, whose id it is, or lines that wait for the next."""
    writer = InvoiceWriter(session)
    invoice_id = None
    if quote.invoiced:
        start = min(item.period_start for item in quote.items)
        invoice_id = add_open_invoice(writer, customer, subscription, quote.invoice, at, period_start=start)
    writer.add_pending(subscription, quote.deferred_lines, at)
    writer.write()
    return invoice_id


def apply(session: Session, subscription: Subscription, change: JsonObject, at: int) -> None:
    """Make a change that waited for its payment."""
    with subscription_update(session, subscription, at) as update:
        make_change(session, subscription, update.items, change, at)


def make_change(
    session: Session, subscription: Subscription, items: Sequence[SubscriptionItem], change: JsonObject, at: int
) -> None:
    """Give a subscription and its items what a change says, inside a subscription_update."""
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
        session.add(Event.of("customer.subscription.resumed", subscription, at, items=items_object(list(items))))
    subscription.pending_update = None
    if change.get("replaces_plan"):
        release_portal_schedules(session, subscription, at)
    code = (discount := change["discount"]) and discount["promotion_code_id"]
    # A code can be redeemed once per customer. A payment that was made takes effect even if its code was redeemed meanwhile.
    if discount and not (code and promotion_codes.has_redeemed(session, subscription.customer_id, code)):
        add_discount(session, subscription, discount, at)
    end_discounts(session, subscription, change["spent"], at)
    accepted_offers.accept_price_offer(
        session, subscription, change.get("attempt") or "", [item.price_id for item in items], at
    )


def extend(session: Session, subscription: Subscription, expires_at: int, at: int) -> None:
    """Let a change wait until another instant, because its payment is processing. What else is due waits with it."""
    with subscription_update(session, subscription, at):
        subscription.pending_update = {**(subscription.pending_update or {}), "expires_at": expires_at}


def discard(
    session: Session, customer: Customer, subscription: Subscription, at: int, *, expired: bool = False
) -> None:
    """Forget the change that waits: its invoice is void, and credit, pending lines and the code are as they were.

    `expired` tells that its time was over from the customer's own wish.
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
        items = items_object(update.items)
        session.add(Event.of("customer.subscription.pending_update_expired", subscription, at, items=items))
