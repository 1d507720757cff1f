"""Coming back: a new subscription with what an ended one had. It waits for its first payment, for 23 hours at most."""

from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal_site.billing.errors import BillingError, StateChanged
from portal_site.billing.models import (
    Customer,
    Event,
    Invoice,
    PaymentMethod,
    PlanChange,
    Price,
    Subscription,
    SubscriptionItem,
)
from portal_site.billing.operations import agreements, lookups, pending_updates
from portal_site.billing.operations.agreed import Agreed, terms_of
from portal_site.billing.operations.agreements import Reader
from portal_site.billing.operations.books import Books, bill_now
from portal_site.billing.rules import restarts
from portal_site.billing.rules.agreements import Agreement
from portal_site.billing.rules.lifecycle import ChangeOutcome, SubscriptionStatus
from portal_site.billing.rules.plan_change import Quote
from portal_site.db import new_id, reading, transaction

KEPT = (
    "currency",
    "description",
    "collection_method",
    "days_until_due",
    "billing_mode",
    "on_behalf_of",
    "default_tax_rates",
)
ENDED = tuple(status.value for status in SubscriptionStatus if status.ended)


@dataclass(frozen=True)
class Situation:
    """An ended subscription, and what beginning again costs; `quote` is None where `refusal` says why that cannot be."""

    agreement: Agreement
    refusal: BillingError | None
    quote: Quote | None


def situation(customer_id: str, subscription_id: str, at: int) -> Situation:
    """What coming back would cost now. Raises NotFound."""
    with reading() as reader:
        row, customer = agreements.rows(reader, customer_id, subscription_id)
        return _situation(reader, row, customer, at)


def _situation(reader: Reader, row: Any, customer: Any, at: int) -> Situation:
    agreement = agreements.whole(reader, row, customer, at)
    prices = [item.offer.price_id for item in agreement.items]
    sold = select(Price.id).where(Price.account_id == row.account_id, Price.id.in_(prices), Price.active)
    living = (
        select(Price.product_id)
        .join(SubscriptionItem, SubscriptionItem.price_id == Price.id)
        .join(Subscription, Subscription.id == SubscriptionItem.subscription_id)
        .where(Subscription.customer_id == row.customer_id, Subscription.status.not_in(ENDED))
    )
    offered, has = (frozenset(found for (found,) in reader.execute(query)) for query in (sold, living))
    refusal = restarts.refusal(agreement, offered, has)
    return Situation(agreement, refusal, None if refusal else restarts.quote(agreement, at))


def restart(customer_id: str, subscription_id: str, agreed: Agreed, at: int) -> PlanChange:
    """Begin again as it was shown, or raise StateChanged; a second call finds the first.

    The change's `subscription_id` is that of the new subscription, its `invoice_id` that of what has to be paid first.
    """
    with transaction() as session:
        customer = lookups.locked_customer(session, customer_id)
        made = lookups.change_made(session, customer_id, agreed.key)
        if made is not None:
            return made
        old = lookups.own(session, Subscription, customer_id, subscription_id, lock=True)
        agreed.check_time(at)
        found = _situation(session, old, customer, agreed.at)
        if found.quote is None:
            assert found.refusal
            raise StateChanged(found.refusal.message, found.refusal.code)
        agreed.check(terms_of(found.quote))
        return _begin(session, customer, old, found.quote, agreed.key, at)


def first_invoice(customer_id: str, subscription_id: str) -> str | None:
    """The id of the open invoice that a subscription waits for to begin."""
    with reading() as reader:
        mine = Invoice.customer_id == customer_id, Invoice.subscription_id == subscription_id
        query = select(Invoice.id).where(
            *mine, Invoice.status == "open", Invoice.billing_reason == "subscription_create"
        )
        return reader.scalar(query.limit(1))


def _begin(session: Session, customer: Customer, old: Subscription, quote: Quote, key: str, at: int) -> PlanChange:
    due = bool(quote.bill.amount_due)
    new = Subscription(
        id=new_id("sub"), account_id=old.account_id, customer_id=customer.id, livemode=old.livemode, created=at,
        start_date=at, billing_cycle_anchor=at, default_payment_method_id=_method(session, old),
        status=SubscriptionStatus.INCOMPLETE if due else SubscriptionStatus.ACTIVE,
        **{name: getattr(old, name) for name in KEPT},
    )  # fmt: skip
    session.add(new)
    session.flush()
    names = {item.id: new_id("si") for item in quote.items}
    rates = {item.id: item.tax_rates for item in pending_updates.items_of(session, old)}
    for item in quote.items:
        row = SubscriptionItem(
            id=names[item.id], account_id=old.account_id, subscription_id=new.id, price_id=item.offer.price_id,
            created=at, quantity=item.quantity, current_period_start=item.period_start,
            current_period_end=item.period_end, tax_rates=rates[item.id],
        )  # fmt: skip
        session.add(row)
    session.flush()
    books = Books(session)
    bill = replace(quote.bill, lines=tuple(replace(line, item_id=names[line.item_id]) for line in quote.bill.lines))
    change = PlanChange.of(new, key, at)
    change.outcome = ChangeOutcome.PENDING if due else ChangeOutcome.APPLIED
    change.invoice_id = bill_now(books, customer, new, bill, at, billing_reason="subscription_create")
    books.write()
    pending_updates.use_up(session, new, sorted(quote.spent), at)
    items = pending_updates.items_of(session, new)
    pending_updates.reschedule(session, new, items, at)
    session.add(change)
    session.flush()
    session.add(Event.of("customer.subscription.created", new, at, items=pending_updates.item_list(items)))
    return change


def _method(session: Session, old: Subscription) -> str | None:
    """The old subscription's own payment method, if the customer still has it."""
    attached = PaymentMethod.customer_id == old.customer_id, PaymentMethod.detached_at.is_(None)
    return session.scalar(select(PaymentMethod.id).where(PaymentMethod.id == old.default_payment_method_id, *attached))
