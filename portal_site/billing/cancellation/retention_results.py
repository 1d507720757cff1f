"""What offers brought, beside customers who would have been made the same offer but were left alone."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, func, select

from portal_site.billing.loading import ownership
from portal_site.billing.models import CancellationAttempt, Invoice, Subscription
from portal_site.billing.rules.amounts.periods import DAY
from portal_site.billing.rules.retention.experiment import Comparison, Group
from portal_site.db.transactions import reading, transaction


@dataclass(frozen=True)
class Result:
    """One type of offer in one currency. `accepted` of those who were made it took it."""

    type: str
    currency: str
    comparison: Comparison
    accepted: int


def results(account_id: str | None, livemode: bool, days: int, at: int) -> list[Result]:
    """What came of all offers that are at least so many days old, `days` after each of them.

    Whoever went through the pages counts once, also who ignored the offer: to count only takers would compare the willing with
    everybody. What a customer paid is what was collected for the subscription in those days, so what an offer cost is in it.
    """
    with transaction() as session:
        account = ownership.get_account(session, account_id)
    found: dict[tuple[str, str], list[Any]] = defaultdict(list)
    counted: set[str] = set()
    for row in _attempts(account.id, livemode, days, at):
        if row.customer_id not in counted:  # the first time: who comes again and again would weigh more
            counted.add(row.customer_id)
            found[row.offer["type"], row.currency].append(row)
    return [
        Result(
            kind, currency,
            Comparison(_group(row for row in rows if not row.held_out), _group(row for row in rows if row.held_out)),
            sum(row.offer_outcome == "accepted" for row in rows),
        )
        for (kind, currency), rows in sorted(found.items())
    ]  # fmt: skip


def _attempts(account_id: str, livemode: bool, days: int, at: int) -> list[Any]:
    """One row for each attempt with an offer: whether the subscription was still there in the end, and what it brought."""
    end = CancellationAttempt.created + days * DAY
    paid = and_(
        Invoice.subscription_id == CancellationAttempt.subscription_id,
        Invoice.account_id == CancellationAttempt.account_id,
        Invoice.paid_at > CancellationAttempt.created,
        Invoice.paid_at <= end,
    )
    stayed = Subscription.ended_at.is_(None) | (Subscription.ended_at > end)
    query = (
        select(
            CancellationAttempt.customer_id,
            CancellationAttempt.offer,
            CancellationAttempt.held_out,
            CancellationAttempt.offer_outcome,
            Subscription.currency,
            stayed.label("stayed"),
            select(func.coalesce(func.sum(Invoice.amount_paid), 0)).where(paid).scalar_subquery().label("paid"),
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
        return list(reader.execute(query).all())


def _group(rows: Iterable[Any]) -> Group:
    rows = list(rows)
    paid = [int(row.paid) for row in rows]
    return Group(len(rows), sum(bool(row.stayed) for row in rows), sum(paid), sum(amount * amount for amount in paid))
