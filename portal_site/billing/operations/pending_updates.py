"""What a confirmed change makes of a subscription: at once, or once its invoice is paid, or never.

Not verbs: the operations that change plans and settle payments share these moves, inside their own transactions.
"""

from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from portal_site.billing.models import (
    Customer,
    Discount,
    Event,
    Invoice,
    InvoiceLineItem,
    PlanChange,
    SchedulePhase,
    Subscription,
    SubscriptionItem,
    SubscriptionSchedule,
)
from portal_site.billing.models.subscription import object_list, told_pending_update
from portal_site.billing.operations import attempts, lookups, payment_events, promotion_codes
from portal_site.billing.operations.books import Books, bill_now, move_balance
from portal_site.billing.rules import pauses
from portal_site.billing.rules.lifecycle import ChangeOutcome, InvoiceStatus, SubscriptionStatus, next_due
from portal_site.billing.rules.plan_change import PENDING_LIFE, Quote

Document = dict[str, Any]


def document(quote: Quote, discount: Document | None, invoice_id: str | None, at: int) -> Document:
    """A change as a subscription keeps it in `pending_update`: the field's members, and what else it takes to apply it."""
    return {
        "expires_at": at + PENDING_LIFE,
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
        "spent": sorted(quote.spent),
        "invoice": invoice_id,
    }


def carry_out(
    session: Session,
    customer: Customer,
    subscription: Subscription,
    quote: Quote,
    discount: Document | None,
    key: str,
    at: int,
) -> PlanChange:
    """Make a change that takes effect now. One that costs something waits in `pending_update` until its invoice is paid."""
    change = PlanChange.of(subscription, key, at)
    previous: Document = {"latest_invoice": subscription.latest_invoice_id}
    change.invoice_id = bill(session, customer, subscription, quote, at)
    update = document(quote, discount, change.invoice_id, at)
    if quote.bill.amount_due:
        change.outcome = ChangeOutcome.PENDING
        subscription.pending_update = update
        items = items_of(session, subscription)
        reschedule(session, subscription, items, at)
        session.flush()
        previous |= {"pending_update": None}
        session.add(Event.of("customer.subscription.updated", subscription, at, previous, items=item_list(items)))
    else:
        change.outcome = ChangeOutcome.APPLIED
        apply(session, subscription, update, at, previous)
    session.add(change)
    return change


def bill(session: Session, customer: Customer, subscription: Subscription, quote: Quote, at: int) -> str | None:
    """Write what a change costs into the books: an invoice of today, whose id it is, or lines that wait for the next."""
    books = Books(session)
    invoice_id = None
    if quote.invoiced:
        start = min(item.period_start for item in quote.items)
        invoice_id = bill_now(books, customer, subscription, quote.bill, at, period_start=start)
    books.pending(subscription, quote.waiting, at)
    books.write()
    return invoice_id


def items_of(session: Session, subscription: Subscription) -> list[SubscriptionItem]:
    """The subscription's items."""
    mine = SubscriptionItem.subscription_id == subscription.id, SubscriptionItem.account_id == subscription.account_id
    # populate_existing: a billing run changes rows without this session's knowledge.
    query = select(SubscriptionItem).where(*mine).order_by(SubscriptionItem.created, SubscriptionItem.id)
    return list(session.scalars(query, execution_options={"populate_existing": True}))


def apply(
    session: Session, subscription: Subscription, change: Document, at: int, earlier: Document | None = None
) -> None:
    """Make the change; `earlier` are members that were different before it began, for those who watch."""
    items = items_of(session, subscription)
    previous = {**_changeable(subscription), "items": item_list(items), **(earlier or {})}
    wanted = {item["id"]: item for item in change["subscription_items"]}
    for item in items:
        new = wanted[item.id]
        item.price_id, item.quantity = new["price"], new["quantity"]
        item.current_period_start, item.current_period_end = new["current_period_start"], new["current_period_end"]
        item.billing_cycle_anchor = change.get("item_anchors", {}).get(item.id)
    subscription.billing_cycle_anchor = change["billing_cycle_anchor"]
    subscription.trial_end = change["trial_end"]
    if subscription.status == SubscriptionStatus.TRIALING and (subscription.trial_end or 0) <= at:
        subscription.status = SubscriptionStatus.ACTIVE
    if subscription.status == SubscriptionStatus.PAUSED:
        go_on(session, subscription, min(item.current_period_end for item in items), at)
    subscription.pending_update = None
    if change.get("replaces_plan"):
        release(session, subscription, at)
    code = (discount := change["discount"]) and discount["promotion_code_id"]
    # A code works once for a customer; whatever stands in its way, a payment is never lost over it.
    if discount and not (code and promotion_codes.has_redeemed(session, subscription.customer_id, code)):
        add_discount(session, subscription, discount, at)
    use_up(session, subscription, change["spent"], at)
    attempts.took_price(session, subscription, change.get("attempt") or "", [item.price_id for item in items], at)
    reschedule(session, subscription, items, at)
    session.flush()
    now = {**_changeable(subscription), "items": item_list(items)}
    before = {name: value for name, value in previous.items() if now[name] != value}
    session.add(Event.of("customer.subscription.updated", subscription, at, before, items=now["items"]))


def go_on(
    session: Session, subscription: Subscription, period_end: int, at: int, previous: Document | None = None
) -> None:
    """End a pause. What the customer planned for the end of the old period comes at the end of the new one."""
    subscription.status = SubscriptionStatus(subscription.status).become(SubscriptionStatus.ACTIVE)
    subscription.status_details = None
    mine = (
        SubscriptionSchedule.customer_id == subscription.customer_id,
        SubscriptionSchedule.subscription_id == subscription.id,
        SubscriptionSchedule.status == "active",
        SubscriptionSchedule.origin == "portal",
    )
    for schedule_id in session.scalars(select(SubscriptionSchedule.id).where(*mine)).all():
        of_it = SchedulePhase.schedule_id == schedule_id, SchedulePhase.account_id == subscription.account_id
        now, *later = session.scalars(select(SchedulePhase).where(*of_it).order_by(SchedulePhase.start_date)).all()
        if later:
            now.end_date = later[0].start_date = period_end
    session.flush()
    told = item_list(items_of(session, subscription))
    session.add(Event.of("customer.subscription.resumed", subscription, at, previous, items=told))


def reschedule(session: Session, subscription: Subscription, items: list[SubscriptionItem], at: int) -> None:
    """Note when something has to be done about the subscription next."""
    # A step that is overdue was not taken yet: neither was a phase that began since.
    taken = at if subscription.due_at is None else min(at, subscription.due_at - 1)
    mine = (
        SubscriptionSchedule.customer_id == subscription.customer_id,
        SubscriptionSchedule.subscription_id == subscription.id,
    )
    planned = session.execute(lookups.planned(taken).where(*mine)).first()
    first_payment = subscription.created + PENDING_LIFE
    subscription.due_at = next_due(
        subscription.status,
        [item.current_period_end for item in items],
        subscription.cancel_at,
        (subscription.pending_update or {}).get("expires_at"),
        first_payment if subscription.status == SubscriptionStatus.INCOMPLETE else None,
        pauses.resumes_at(subscription.status_details, subscription.pause_collection),
        planned[1] if planned else None,
    )


def _changeable(subscription: Subscription) -> Document:
    names = ("status", "billing_cycle_anchor", "trial_end")
    told = {"pending_update": told_pending_update(subscription), "latest_invoice": subscription.latest_invoice_id}
    return {**{name: getattr(subscription, name) for name in names}, **told}


def item_list(items: list[SubscriptionItem]) -> Document:
    """Items as an event's subscription carries them."""
    return object_list([item.as_object() for item in items])


def add_discount(session: Session, subscription: Subscription, discount: Document, at: int) -> None:
    """Put a coupon to work on the subscription, by a redeemed code or for staying."""
    row = Discount(
        account_id=subscription.account_id,
        customer_id=subscription.customer_id,
        subscription_id=subscription.id,
        **discount,
    )
    session.add(row)
    session.flush()
    books = Books(session)
    books.event("customer.discount.created", subscription, at, row.as_object())
    books.write()


def use_up(session: Session, subscription: Subscription, discount_ids: list[str], at: int) -> None:
    """End the discounts that were for one invoice."""
    if not discount_ids:
        return
    running = Discount.end.is_(None) | (Discount.end > at)
    mine = Discount.customer_id == subscription.customer_id, Discount.id.in_(discount_ids), running
    books = Books(session)
    for discount in session.scalars(select(Discount).where(*mine)).all():
        discount.end = at
        books.event("customer.discount.deleted", subscription, at, discount.as_object())
    session.flush()
    books.write()


def release(session: Session, subscription: Subscription, at: int) -> bool:
    """Let go of the schedules that the portal made for it; whether there was one."""
    mine = (
        SubscriptionSchedule.customer_id == subscription.customer_id,
        SubscriptionSchedule.subscription_id == subscription.id,
        SubscriptionSchedule.status == "active",
        SubscriptionSchedule.origin == "portal",
    )
    schedules = session.scalars(select(SubscriptionSchedule).where(*mine)).all()
    for schedule in schedules:
        schedule.status, schedule.released_at = "released", at
        session.flush()
        session.add(Event.of("subscription_schedule.released", schedule, at))
    if schedules:
        items = items_of(session, subscription)
        reschedule(session, subscription, items, at)
        previous, told = {"schedule": schedules[0].id}, item_list(items)
        session.add(Event.of("customer.subscription.updated", subscription, at, previous, schedule=None, items=told))
    return bool(schedules)


def drop(session: Session, customer: Customer, subscription: Subscription, at: int, *, expired: bool = False) -> None:
    """Forget the change that waits: its invoice is void, and credit, pending lines and the code are as they were.

    `expired` tells that its time was over from the customer's own wish.
    """
    change = subscription.pending_update or {}
    previous = {"pending_update": told_pending_update(subscription)}
    subscription.pending_update = None
    invoice = session.scalar(
        select(Invoice).where(Invoice.customer_id == customer.id, Invoice.id == change.get("invoice"))
    )
    if invoice is not None and invoice.status == InvoiceStatus.OPEN:
        void(session, customer, invoice, at)
    if (discount := change.get("discount")) and discount["promotion_code_id"]:
        coupon, code = discount["coupon_id"], discount["promotion_code_id"]
        promotion_codes.give_back(session, customer.account_id, code, coupon)
    mine = PlanChange.customer_id == customer.id, PlanChange.invoice_id == change.get("invoice")
    session.execute(update(PlanChange).where(*mine).values(outcome=ChangeOutcome.EXPIRED))
    items = items_of(session, subscription)
    reschedule(session, subscription, items, at)
    session.flush()
    told = item_list(items)
    session.add(Event.of("customer.subscription.updated", subscription, at, previous, items=told))
    if expired:
        session.add(Event.of("customer.subscription.pending_update_expired", subscription, at, items=told))


def void(session: Session, customer: Customer, invoice: Invoice, at: int) -> None:
    """Take an open invoice back: the balance that it used returns, and so do the lines that had waited for it."""
    invoice.status, invoice.voided_at, invoice.next_payment_attempt = InvoiceStatus.VOID, at, None
    used = (invoice.ending_balance or 0) - invoice.starting_balance
    move_balance(session, customer, invoice, -used, "unapplied_from_invoice", at)
    release_lines(session, invoice)
    session.add(Event.of("invoice.voided", invoice, at))
    payment_events.given_up(session, invoice, at)


def release_lines(session: Session, invoice: Invoice) -> list[InvoiceLineItem]:
    """Let the lines that had waited for this invoice wait again, as new ones; those that it has, which credit nothing now."""
    mine = InvoiceLineItem.customer_id == invoice.customer_id, InvoiceLineItem.invoice_id == invoice.id
    lines = session.scalars(select(InvoiceLineItem).where(*mine)).all()
    credited = {line.id: line.credited_line_id for line in lines}
    for line in lines:
        line.credited_line_id = None
    session.flush()
    again = {line.id: line.waiting_again() for line in lines if line.pending_since is not None}
    for name, line in again.items():
        of = credited[name]  # which may be one of these itself, and now is another line
        line.credited_line_id = again[of].id if of in again else of
    session.add_all(again.values())
    session.flush()
    return list(lines)
