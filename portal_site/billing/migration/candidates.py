"""Which subscriptions Stripe still bills as far as is known here, customer by customer."""

from collections.abc import Collection, Iterator
from itertools import groupby

from sqlalchemy import ColumnElement, Select, func, select

from portal_site.billing.models import ImportedObject, Subscription, TakeOver
from portal_site.billing.models.imported import IN_FORCE
from portal_site.billing.rules.subscriptions.statuses import SubscriptionStatus
from portal_site.db.transactions import reading

PAGE = 100  # customers
RENEWING = tuple(str(status) for status in SubscriptionStatus if status.renews)


def of_customers(
    account_id: str, livemode: bool, only: Collection[str] = (), after: str = ""
) -> Iterator[tuple[str, list[str]]]:
    """The customers after this one with the ids of their imported subscriptions that are not billed here; of `only` these."""
    while True:
        query = _wanted(account_id, livemode, only).with_only_columns(Subscription.customer_id).distinct()
        query = query.where(Subscription.customer_id > after).order_by(Subscription.customer_id).limit(PAGE)
        with reading() as reader:
            customers = [row[0] for row in reader.execute(query)]
            if not customers:
                return
            mine = _wanted(account_id, livemode, only).where(Subscription.customer_id.in_(customers))
            rows = reader.execute(mine.order_by(Subscription.customer_id, Subscription.id)).all()
        for customer, found in groupby(rows, key=lambda row: row.customer_id):
            yield customer, [row.id for row in found]
        after = customers[-1]


def count(account_id: str, livemode: bool, only: Collection[str] = ()) -> int:
    """How many subscriptions these are."""
    query = _wanted(account_id, livemode, only).with_only_columns(func.count())
    with reading() as reader:
        return reader.execute(query).scalar() or 0


def count_billed(account_id: str, livemode: bool) -> int:
    """How many imported subscriptions are billed here without a take-over, so that nobody here has stopped Stripe."""
    query = select(func.count()).where(
        Subscription.account_id == account_id,
        Subscription.livemode.is_(livemode),
        Subscription.due_at.is_not(None),
        *_are_imported(account_id),
    )
    with reading() as reader:
        return reader.execute(query).scalar() or 0


def _wanted(account_id: str, livemode: bool, only: Collection[str]) -> Select[str, str]:
    query = select(Subscription.customer_id, Subscription.id).where(
        Subscription.account_id == account_id,
        Subscription.livemode.is_(livemode),
        Subscription.status.in_(RENEWING),
        Subscription.due_at.is_(None),
        *_are_imported(account_id),
    )
    return query.where(Subscription.id.in_(list(only))) if only else query


def _are_imported(account_id: str) -> tuple[ColumnElement[bool], ...]:
    """What is imported and not taken over."""
    imported = select(ImportedObject.id).where(
        ImportedObject.account_id == account_id,
        ImportedObject.kind == "subscription",
        ImportedObject.id == Subscription.id,
    )
    taken = select(TakeOver.subscription_id).where(
        TakeOver.account_id == account_id, TakeOver.subscription_id == Subscription.id, TakeOver.state.in_(IN_FORCE)
    )
    return imported.exists(), ~taken.exists()
