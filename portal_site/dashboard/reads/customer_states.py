"""Customers in different states, real or made-up ones, for previews; and how many customers a configuration touches.

Both look at a bounded number of rows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, func, select

from portal_site.billing.models import Customer, Subscription, SubscriptionItem, SubscriptionSchedule
from portal_site.db.transactions import reading

LOOKED_AT = 300  # customers, the newest
MOST_COUNTED = 10_000


@dataclass(frozen=True)
class CustomerState:
    """A state, and a customer who is in it. `subscription_id` is the one that the state is of; a made-up customer has no ids."""

    name: str
    customer_id: str
    customer_name: str
    subscription_id: str = ""
    is_sample: bool = False


NOBODY = CustomerState("Nothing", "", "somebody new")
SAMPLE = "made up"


def find(account_id: str, livemode: bool, *, visible: bool) -> list[CustomerState]:
    """A customer for each state: one of the newest who is in it, else a made-up one; and somebody who has nothing.

    Who may not see customers gets only made-up ones.
    """
    if not visible:
        return [*(CustomerState(name, "", SAMPLE, is_sample=True) for name in NAMES), NOBODY]
    with reading() as reader:
        newest = select(Customer.id, Customer.name, Customer.email).where(
            Customer.account_id == account_id, Customer.livemode == livemode, Customer.deleted_at.is_(None)
        )
        rows = reader.execute(newest.order_by(Customer.created.desc(), Customer.id.desc()).limit(LOOKED_AT)).all()
        names = {row.id: row.name or row.email or row.id for row in rows}
        mine = Subscription.account_id == account_id, Subscription.customer_id.in_(names)
        items = (
            select(func.count())
            .where(SubscriptionItem.subscription_id == Subscription.id)
            .correlate(Subscription)
            .scalar_subquery()
        )
        planned = (
            select(SubscriptionSchedule.id)
            .where(SubscriptionSchedule.subscription_id == Subscription.id, SubscriptionSchedule.status == "active")
            .exists()
        )
        query = select(
            Subscription.id, Subscription.customer_id, Subscription.status, Subscription.cancel_at_period_end,
            Subscription.pause_collection, items.label("items"), planned.label("planned"),
        )  # fmt: skip
        found = reader.execute(query.where(*mine).order_by(Subscription.id)).all()
    states: dict[str, CustomerState] = {}
    for row in found:
        for state in _states(row):
            states.setdefault(state, CustomerState(state, row.customer_id, names[row.customer_id], row.id))
    idle = next((customer for customer in names if all(row.customer_id != customer for row in found)), None)
    order = [states.get(name) or CustomerState(name, "", SAMPLE, is_sample=True) for name in NAMES]
    nobody = CustomerState("Nothing", idle or "", names[idle] if idle else "somebody new")
    return [*order, nobody]


NAMES = (
    "Active", "In a trial", "Several items", "Change planned", "Ends with the period", "Paused", "Payment overdue",
    "On hold", "Ended",
)  # fmt: skip


OF_STATUS = {
    "active": "Active", "trialing": "In a trial", "past_due": "Payment overdue", "unpaid": "On hold", "paused": "Paused",
    "canceled": "Ended",
}  # fmt: skip


def _states(row: Row[Any]) -> Iterator[str]:
    status = row.status
    yield OF_STATUS.get(status, "")
    if status not in ("active", "trialing", "past_due"):
        return
    if row.items > 1:
        yield "Several items"
    if row.planned:
        yield "Change planned"
    if row.cancel_at_period_end:
        yield "Ends with the period"
    if row.pause_collection:
        yield "Paused"


def has_any(account_id: str, livemode: bool) -> bool:
    """Whether a mode has customers."""
    query = select(Customer.id).where(Customer.account_id == account_id, Customer.livemode == livemode).limit(1)
    with reading() as reader:
        return reader.scalar(query) is not None


def count_touched(account_id: str, livemode: bool) -> str:
    """How many customers a mode has, in words: so many does its default configuration touch."""
    query = select(Customer.id).where(Customer.account_id == account_id, Customer.livemode == livemode)
    some = query.where(Customer.deleted_at.is_(None)).limit(MOST_COUNTED + 1).subquery()
    with reading() as reader:
        count = reader.scalar(select(func.count()).select_from(some)) or 0
    if count > MOST_COUNTED:
        return f"more than {MOST_COUNTED:,} customers"
    return f"{count} customer" if count == 1 else f"{count} customers"


def subscription_of(states: Sequence[CustomerState], customer_id: str) -> str:
    """The subscription that a customer's state is of; empty if there is none."""
    return next((state.subscription_id for state in states if state.customer_id == customer_id), "")
