"""Finding a row that belongs to whoever asks, or refusing as if it did not exist; not a verb, but every verb begins so."""

from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select, case, func, select
from sqlalchemy.orm import Session

from portal_site.billing.errors import BillingError, NotFound
from portal_site.billing.models import (
    Account,
    Customer,
    Invoice,
    PaymentAttempt,
    PlanChange,
    SchedulePhase,
    Subscription,
    SubscriptionSchedule,
)
from portal_site.billing.rules.lifecycle import AttemptStatus, SubscriptionStatus
from portal_site.billing.words import N_

Row = TypeVar("Row", bound=Any)


def account(session: Session, account_id: str | None) -> Account:
    """The account with this id or, where there is only one, that one. Raises NotFound, and BillingError for several."""
    query = select(Account).where(Account.id == account_id) if account_id else select(Account)
    found = session.scalars(query.execution_options(unscoped="an operator names an account").limit(2)).all()
    if not found:
        raise NotFound("No such account: '%(id)s'", "resource_missing", "account", id=account_id or "")
    if len(found) > 1:
        raise BillingError("There are several accounts: name one with --account.", param="account")
    return found[0]


def customer(session: Session, account_id: str | None, id_or_email: str) -> Customer:
    """A customer by id or, where only one has it, by e-mail address; of one account, or (None) of any."""
    column = Customer.email if "@" in id_or_email else Customer.id
    query = select(Customer).where(column == id_or_email, Customer.deleted_at.is_(None)).limit(2)
    if account_id is not None:
        query = query.where(Customer.account_id == account_id)
    else:
        query = query.execution_options(unscoped="an operator names a customer, whoever's it is")
    found = session.scalars(query).all()
    if not found:
        raise NotFound("No such customer: '%(id)s'", "resource_missing", "customer", id=id_or_email)
    if len(found) > 1:
        raise BillingError("Several customers have this e-mail address: name one by its id.", param="customer")
    return found[0]


def own(session: Session, kind: type[Row], customer_id: str, row_id: str, *, lock: bool = False) -> Row:
    """A customer's own row. Raises NotFound for a stranger's as for one that does not exist."""
    # No id holds a NUL, and PostgreSQL would not even look for it.
    query = select(kind).where(kind.id == row_id.replace("\0", ""), kind.customer_id == customer_id)
    # populate_existing: what the session remembers may be older than the lock.
    found: Row | None = session.scalar(
        query.with_for_update().execution_options(populate_existing=True) if lock else query
    )
    if found is None:
        raise NotFound(N_("There is no such thing here."), "resource_missing")
    return found


def locked_customer(session: Session, customer_id: str) -> Customer:
    """The customer, locked until the transaction ends: whatever changes what it owes goes one after the other."""
    query = select(Customer).where(Customer.id == customer_id, Customer.deleted_at.is_(None)).with_for_update()
    found = session.scalar(query.execution_options(populate_existing=True))
    if found is None:
        raise NotFound(N_("There is no such thing here."), "resource_missing")
    return found


def payment_under_way(session: Session, customer_id: str, invoice_id: str | None) -> PaymentAttempt | None:
    """The try to collect an invoice whose outcome is not settled yet, if there is one."""
    query = select(PaymentAttempt).where(
        PaymentAttempt.customer_id == customer_id,
        PaymentAttempt.invoice_id == invoice_id,
        PaymentAttempt.settled_at.is_(None),
    )
    return session.scalar(query)


def is_about_to_be_paid(session: Session, subscription: Subscription, at: int) -> bool:
    """Whether an invoice of it is to be collected at `at`, and nobody has tried yet."""
    tried = select(PaymentAttempt.id).where(
        PaymentAttempt.customer_id == subscription.customer_id, PaymentAttempt.invoice_id == Invoice.id
    )
    fresh = select(Invoice.id).where(
        *_still_open(subscription), Invoice.attempt_count == 0, Invoice.next_payment_attempt <= at, ~tried.exists()
    )
    return session.scalar(fresh.limit(1)) is not None


def is_being_paid(session: Session, subscription: Subscription) -> bool:
    """Whether of an invoice of it nobody knows yet if it is paid. What waits for the customer at the bank is not."""
    unsettled = (
        select(PaymentAttempt.id)
        .join(Invoice, Invoice.id == PaymentAttempt.invoice_id)
        .where(
            *_still_open(subscription),
            PaymentAttempt.settled_at.is_(None),
            PaymentAttempt.status != AttemptStatus.REQUIRES_ACTION,
        )
    )
    return session.scalar(unsettled.limit(1)) is not None


def _still_open(subscription: Subscription) -> tuple[ColumnElement[bool], ...]:
    return (
        Invoice.customer_id == subscription.customer_id,
        Invoice.subscription_id == subscription.id,
        Invoice.status == "open",
    )


def awaited_invoice(subscription: Subscription) -> str | None:
    """The invoice for whose payment a change of the subscription waits, or its beginning."""
    if subscription.status == SubscriptionStatus.INCOMPLETE:
        return subscription.latest_invoice_id
    return (subscription.pending_update or {}).get("invoice")


def change_made(session: Session, customer_id: str, key: str) -> PlanChange | None:
    """The change that this yes of the customer's made already, if it did: each counts once."""
    mine = PlanChange.customer_id == customer_id, PlanChange.quote_key == key
    return session.scalar(select(PlanChange).where(*mine))


def planned(after: ColumnElement[int] | int) -> Select[str | None, int | None]:
    """By subscription, the next instant after `after` at which a phase of its schedule begins or ends.

    What a customer planned waits for the end of a pause; what the merchant planned does not.
    """
    begins = func.min(case((SchedulePhase.start_date > after, SchedulePhase.start_date)))
    ends = func.min(case((SchedulePhase.end_date > after, SchedulePhase.end_date)))
    return (
        select(SubscriptionSchedule.subscription_id, case((begins.is_(None) | (ends < begins), ends), else_=begins))
        .join(SchedulePhase, SchedulePhase.schedule_id == SubscriptionSchedule.id)
        .join(Subscription, Subscription.id == SubscriptionSchedule.subscription_id)
        .where(
            # Said once more for the index that finds them.
            SubscriptionSchedule.customer_id == Subscription.customer_id,
            SubscriptionSchedule.status == "active",
            (Subscription.status != SubscriptionStatus.PAUSED) | (SubscriptionSchedule.origin == "merchant"),
        )
        .group_by(SubscriptionSchedule.subscription_id)
    )
