"""Cancelling without logging in: an account's page, and what is asked for there.

As on login pages, a request is stored whoever has the address, and the worker answers it by e-mail, so that neither the page nor
the time that it takes tells whether there is such a customer.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import Session

from portal_site.billing.errors import BillingError
from portal_site.billing.events.emission import OfAccount, emit
from portal_site.billing.loading import ownership
from portal_site.billing.models import (
    Account,
    CancellationRequest,
    Customer,
    Invoice,
    PortalConfiguration,
    Subscription,
)
from portal_site.billing.resources import accounts
from portal_site.billing.rules.portal import portal_features
from portal_site.db.transactions import reading, transaction
from portal_site.ids import new_id

HOUR, DAY = 60 * 60, 24 * 60 * 60  # seconds
# The most requests for one address that are answered by an e-mail within these times; further ones get none.
# Those with another number count apart, so that who types any keeps nobody from cancelling.
MOST_OF_ADDRESS: Mapping[int, int] = {HOUR: 3, DAY: 10}
LONGEST, LONGEST_NUMBER = 254, 64
_ALL = {"unscoped": "the worker answers for all merchants"}


def find_page(page_id: str) -> str | None:
    """The account whose page has this random id; None if it was closed, or has got another one."""
    with reading() as reader:
        return reader.scalar(select(Account.id).where(Account.cancellation_page_id == page_id.replace("\0", "")))


def set_page(account_id: str | None, *, enabled: bool, new_url: bool, at: int) -> str | None:
    """Open or close an account's page; its random id, if it is open. `new_url` gives it another one.

    Raises BillingError if the default configuration lets nobody cancel.
    """
    with transaction() as session:
        account = ownership.get_account(session, account_id)
        before = account.cancellation_page_id
        if not enabled:
            account.cancellation_page_id = None
        elif new_url or account.cancellation_page_id is None:
            _check_feature(session, account)
            account.cancellation_page_id = secrets.token_urlsafe(12)
        if account.cancellation_page_id != before:
            shown = accounts.account(account)
            previous = {"cancellation_page": {"enabled": before is not None}}
            emit(session, "account.updated", OfAccount(account.id), at, document=shown, previous=previous)
        return account.cancellation_page_id


def _check_feature(session: Session, account: Account) -> None:
    documents = session.scalars(
        select(PortalConfiguration.features).where(
            PortalConfiguration.account_id == account.id, PortalConfiguration.is_default, PortalConfiguration.active
        )
    ).all()
    if not any(portal_features.read(document).subscription_cancel.enabled for document in documents):
        raise BillingError("The default configuration must have the feature subscription_cancel for this page.")


def request(account_id: str, email: str, number: str, at: int) -> None:
    """Store that somebody wants to cancel."""
    with transaction() as session:
        row = CancellationRequest(
            id=new_id("cxr"), account_id=account_id, created=at, email=email.strip().lower()[:LONGEST],
            number=number.strip()[:LONGEST],
        )  # fmt: skip
        session.add(row)


def unanswered(session: Session, limit: int) -> Sequence[CancellationRequest]:
    """The requests that the worker has not answered yet, oldest first, locked."""
    query = select(CancellationRequest).where(CancellationRequest.answered_at.is_(None))
    query = query.order_by(CancellationRequest.created, CancellationRequest.id).limit(limit)
    return session.scalars(query.with_for_update(skip_locked=True).execution_options(**_ALL)).all()


def is_any_unanswered() -> bool:
    """Whether there are any; without a lock."""
    query = select(CancellationRequest.id).where(CancellationRequest.answered_at.is_(None)).limit(1)
    with reading() as reader:
        return reader.execute(query.execution_options(**_ALL)).first() is not None


@dataclass(frozen=True)
class Match:
    """Whom a request is about: a customer with the address and, if the number is right, its subscription."""

    customer: Customer
    subscription_id: str | None


def find_match(session: Session, request: CancellationRequest) -> Match | None:
    """What a request is about; None if no customer has the address, or too many requests for it were answered."""
    for time, most in MOST_OF_ADDRESS.items():
        recent = select(func.count()).select_from(CancellationRequest).where(
            CancellationRequest.account_id == request.account_id,
            CancellationRequest.email == request.email,
            func.lower(CancellationRequest.number) == request.number.lower(),
            CancellationRequest.created > request.created - time,
            CancellationRequest.answered_at.is_not(None),
            CancellationRequest.id != request.id,
        )  # fmt: skip
        if (session.scalar(recent) or 0) >= most:
            return None
    customers = select(Customer).where(
        Customer.account_id == request.account_id,
        Customer.deleted_at.is_(None),
        func.lower(Customer.email) == request.email,
    )
    found = session.scalars(customers.order_by(Customer.livemode.desc(), Customer.created.desc()).limit(20)).all()
    for customer in found:
        if (subscription_id := _find_subscription(session, customer, request.number)) is not None:
            return Match(customer, subscription_id)
    return Match(found[0], None) if found and not _was_told(session, request) else None


def _was_told(session: Session, request: CancellationRequest) -> bool:
    """Whether the address was told often enough within the hour that a number is none, whatever numbers were typed."""
    recent = select(CancellationRequest.id).where(
        CancellationRequest.account_id == request.account_id,
        CancellationRequest.email == request.email,
        CancellationRequest.created > request.created - HOUR,
        CancellationRequest.answered_at.is_not(None),
        CancellationRequest.subscription_id.is_(None),
        CancellationRequest.id != request.id,
    )
    return len(session.scalars(recent.limit(MOST_OF_ADDRESS[HOUR])).all()) >= MOST_OF_ADDRESS[HOUR]


def _find_subscription(session: Session, customer: Customer, number: str) -> str | None:
    """The customer's subscription with this id, or of the invoice with this number."""
    mine: tuple[ColumnElement[bool], ...] = (Subscription.customer_id == customer.id,)
    by_invoice = select(Invoice.subscription_id).where(
        Invoice.customer_id == customer.id, func.lower(Invoice.number) == number.replace("\0", "").lower()
    )
    named = or_(Subscription.id == number.replace("\0", ""), Subscription.id.in_(by_invoice))
    return session.scalar(select(Subscription.id).where(*mine, named).limit(1))
