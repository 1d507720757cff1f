"""Writing a subscription that starts: the rows of its quote. With an amount to be charged it is incomplete until that is paid."""

from collections.abc import Collection, Mapping
from dataclasses import replace

from sqlalchemy.orm import Session

from portal_site.billing import resources
from portal_site.billing.events.emission import emit
from portal_site.billing.invoicing.invoice_writer import InvoiceWriter, add_open_invoice, add_to_balance
from portal_site.billing.models import Customer, PlanChange, Subscription, SubscriptionItem
from portal_site.billing.rules.invoicing.invoices import InvoiceTotals
from portal_site.billing.rules.subscriptions.pending_update import PendingDiscount
from portal_site.billing.rules.subscriptions.plan_change import Quote
from portal_site.billing.rules.subscriptions.statuses import ChangeOutcome, SubscriptionStatus
from portal_site.billing.subscriptions import applied_discounts, due_dates, subscription_items
from portal_site.db.json_columns import JsonObject

Rates = Mapping[str, list[JsonObject]]  # an item's own tax rates, by the id that the item has in the quote


def write(
    session: Session,
    customer: Customer,
    new: Subscription,
    quote: Quote,
    key: str,
    at: int,
    *,
    ids: Mapping[str, str] | None = None,
    rates: Rates | None = None,
    discount: PendingDiscount | None = None,
) -> PlanChange:
    """Write a subscription on the terms of a quote, with its first invoice. The caller has locked the customer.

    `new` has everything but what the quote decides. `ids` are those of the items by the ids that they have in the quote, where
    they are others. The change has the invoice's id; it is pending while the invoice is to be charged.
    """
    awaits = bool(quote.invoice.amount_due) and new.collection_method == "charge_automatically"
    _add_subscription(session, new, quote, awaits)
    _add_items(session, new, quote, ids or {}, rates or {}, at)
    change = PlanChange.of(new, key, at)
    change.outcome = ChangeOutcome.PENDING if awaits else ChangeOutcome.APPLIED
    if quote.invoiced:
        change.invoice_id = _write_first_invoice(session, customer, new, quote.invoice, ids or {}, at)
    else:
        add_to_balance(session, customer, 0, new.currency, at)  # the customer's currency, if it had none
    if not awaits:  # otherwise the time of the customer's coupons runs again once it is paid
        applied_discounts.resume_shared_discounts(session, new, at, at)
    if discount is not None:
        applied_discounts.add_discount(session, new, discount, at)
    _end_consumed(session, new, quote.consumed_discounts, at)
    items = subscription_items.load_items(session, new)
    due_dates.recompute_due_at(session, new, items, at)
    session.add(change)
    session.flush()
    emit(session, "customer.subscription.created", new, at, items=resources.subscriptions.subscription_items(items))
    return change


def _add_subscription(session: Session, new: Subscription, quote: Quote, awaits: bool) -> None:
    new.billing_cycle_anchor, new.trial_end = quote.anchor, quote.trial_end
    if quote.trial_end is not None:
        new.trial_start, new.status = quote.at, SubscriptionStatus.TRIALING
    else:
        new.status = SubscriptionStatus.INCOMPLETE if awaits else SubscriptionStatus.ACTIVE
    session.add(new)
    session.flush()


def _add_items(
    session: Session, new: Subscription, quote: Quote, ids: Mapping[str, str], rates: Rates, at: int
) -> None:
    for item in quote.items:
        row = SubscriptionItem(
            id=ids.get(item.id, item.id), account_id=new.account_id, subscription_id=new.id,
            price_id=item.offer.price_id, created=at, quantity=item.quantity, current_period_start=item.period_start,
            current_period_end=item.period_end, tax_rates=rates.get(item.id, []),
        )  # fmt: skip
        session.add(row)
    session.flush()


def _write_first_invoice(
    session: Session, customer: Customer, new: Subscription, bill: InvoiceTotals, ids: Mapping[str, str], at: int
) -> str:
    """The invoice of the quote, with the ids that the items have in the end."""
    lines = tuple(replace(line, item_id=ids.get(line.item_id, line.item_id)) for line in bill.lines)
    writer = InvoiceWriter(session)
    invoice_id = add_open_invoice(
        writer, customer, new, replace(bill, lines=lines), at, billing_reason="subscription_create"
    )
    writer.write()
    return invoice_id


def _end_consumed(session: Session, new: Subscription, consumed: Collection[str], at: int) -> None:
    applied_discounts.end_discounts(session, new, sorted(consumed), at)
