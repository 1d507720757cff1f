"""The results of retention offers, compared with the hold-out group."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

from sqlalchemy import ColumnElement, ScalarSelect, and_, func, select

from portal_site.billing.loading import ownership
from portal_site.billing.models import CancellationAttempt, Invoice, Subscription
from portal_site.billing.rules.amounts.periods import DAY
from portal_site.billing.rules.retention.experiment import Comparison, Group
from portal_site.db.json_columns import JsonObject
from portal_site.db.transactions import reading, transaction


@dataclass(frozen=True)
class Result:
    """The result of one type of offer in one currency. `accepted` is the number of customers who accepted it."""

    type: str
    currency: str
    comparison: Comparison
    accepted: int


class Measured(Protocol):
    """An attempt with an offer: whether the subscription still existed some days later, and what it had paid by then."""

    customer_id: str
    offer: JsonObject
    held_out: bool
    offer_outcome: str | None
    currency: str
    stayed: bool
    paid: int


def results(account_id: str | None, livemode: bool, days: int, at: int) -> list[Result]:
    """The results of all offers made at least `days` days ago, measured `days` days after each offer.

    Every customer with an offer counts once, even if they ignored it: counting only those who accepted would compare a
    self-selected group with everybody. The payments are the amounts collected for the subscription in that time, so the cost
    of an offer is deducted. Raises NotFound, and BillingError if there are several accounts and none is named.
    """
    with transaction() as session:
        account = ownership.get_account(session, account_id)
    groups: dict[tuple[str, str], list[Measured]] = defaultdict(list)
    counted: set[str] = set()
    for row in _attempts(account.id, livemode, days, at):
        if row.customer_id not in counted:  # only the first attempt counts, so that all customers have the same weight
            counted.add(row.customer_id)
            groups[row.offer["type"], row.currency].append(row)
    return [
        Result(
            kind, currency,
            Comparison(_group(row for row in rows if not row.held_out), _group(row for row in rows if row.held_out)),
            sum(row.offer_outcome == "accepted" for row in rows),
        )
        for (kind, currency), rows in sorted(groups.items())
    ]  # fmt: skip


def _attempts(account_id: str, livemode: bool, days: int, at: int) -> Sequence[Measured]:
    """One row for each attempt with an offer: whether the subscription still existed `days` later, and what it paid."""
    end = CancellationAttempt.created + days * DAY
    stayed = Subscription.ended_at.is_(None) | (Subscription.ended_at > end)
    query = (
        select(
            CancellationAttempt.customer_id,
            CancellationAttempt.offer,
            CancellationAttempt.held_out,
            CancellationAttempt.offer_outcome,
            Subscription.currency,
            stayed.label("stayed"),
            _paid_until(end).label("paid"),
        )
        .join(Subscription, Subscription.id == CancellationAttempt.subscription_id)
        .where(
            CancellationAttempt.account_id == account_id,
            CancellationAttempt.livemode == livemode,
            CancellationAttempt.offer.is_not(None),
            CancellationAttempt.created <= at - days * DAY,
        )
        .order_by(CancellationAttempt.created, CancellationAttempt.id)
    )
    with reading() as reader:
        return cast(Sequence[Measured], reader.execute(query).all())


def _paid_until(end: ColumnElement[int]) -> ScalarSelect[int]:
    """What the subscription of an attempt paid since the attempt, in minor units."""
    paid = and_(
        Invoice.subscription_id == CancellationAttempt.subscription_id,
        Invoice.account_id == CancellationAttempt.account_id,
        Invoice.paid_at > CancellationAttempt.created,
        Invoice.paid_at <= end,
    )
    return select(func.coalesce(func.sum(Invoice.amount_paid), 0)).where(paid).scalar_subquery()


def _group(rows: Iterable[Measured]) -> Group:
    rows = list(rows)
    paid = [int(row.paid) for row in rows]
    return Group(len(rows), sum(bool(row.stayed) for row in rows), sum(paid), sum(amount * amount for amount in paid))
