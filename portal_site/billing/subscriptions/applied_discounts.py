"""Adding a discount to a subscription, ending it, and keeping it over a pause."""

from collections.abc import Collection, Sequence
from dataclasses import asdict

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal_site.billing.events.emission import emit
from portal_site.billing.models import Discount, Subscription
from portal_site.billing.resources.subscriptions import discount as discount_object
from portal_site.billing.rules.subscriptions import pauses
from portal_site.billing.rules.subscriptions.pending_update import PendingDiscount
from portal_site.billing.rules.subscriptions.statuses import ENDED, SubscriptionStatus


def add_discount(session: Session, subscription: Subscription, discount: PendingDiscount, at: int) -> None:
    """Add a discount to the subscription, for a redeemed promotion code or an accepted retention offer."""
    row = Discount(
        account_id=subscription.account_id,
        customer_id=subscription.customer_id,
        subscription_id=subscription.id,
        **asdict(discount),
    )
    session.add(row)
    session.flush()
    emit(session, "customer.discount.created", subscription, at, document=discount_object(row))


def end_discounts(session: Session, subscription: Subscription, discount_ids: Collection[str], at: int) -> None:
    """End those of the customer's discounts that are still in force, and emit their events."""
    if not discount_ids:
        return
    running = Discount.end.is_(None) | (Discount.end > at)
    in_force = Discount.customer_id == subscription.customer_id, Discount.id.in_(sorted(discount_ids)), running
    for discount in session.scalars(select(Discount).where(*in_force)).all():
        discount.end = at
        emit(session, "customer.discount.deleted", subscription, at, document=discount_object(discount))
    session.flush()


def suspend_discounts(session: Session, subscription: Subscription, at: int) -> dict[str, int]:
    """Let the discounts that run for some months not run out in a pause from `at` on: they have no end until it is over.

    Those are the subscription's, those of its items, and the customer's if no other subscription uses them, because the others
    are paused too. Returns their ends by id, for `resume_discounts`.
    """
    others = (other for other in _others(session, subscription) if other.status != SubscriptionStatus.PAUSED)
    owner = Discount.subscription_id == subscription.id
    if next(others, None) is None:
        owner |= Discount.subscription_id.is_(None)
    running = select(Discount).where(Discount.customer_id == subscription.customer_id, owner, Discount.end > at)
    ends = {}
    for discount in session.scalars(running).all():
        if discount.end is not None:
            ends[discount.id] = discount.end
            _set_end(session, subscription, discount, None, at)
    return ends


def resume_discounts(session: Session, subscription: Subscription, moment: int, at: int) -> None:
    """Give the discounts that a pause suspended their ends back, later by the pause until `moment`."""
    ends = pauses.suspended_ends(subscription.status_details, moment)
    if not ends:
        return
    owned = Discount.customer_id == subscription.customer_id, Discount.id.in_(sorted(ends)), Discount.end.is_(None)
    for discount in session.scalars(select(Discount).where(*owned)).all():
        _set_end(session, subscription, discount, ends[discount.id], at)


def resume_shared_discounts(session: Session, subscription: Subscription, moment: int, at: int) -> None:
    """Give the customer's discounts their ends back that the pauses of other subscriptions suspended.

    This subscription begins, or goes on, at `moment` and uses them, so their time runs again.
    """
    shared = Discount.customer_id == subscription.customer_id, Discount.subscription_id.is_(None)
    for other in _others(session, subscription):
        ends = pauses.suspended_ends(other.status_details, moment)
        if other.status != SubscriptionStatus.PAUSED or not ends:
            continue
        resumed = session.scalars(select(Discount).where(*shared, Discount.id.in_(sorted(ends)))).all()
        for discount in resumed:
            if discount.end is None:
                _set_end(session, subscription, discount, ends[discount.id], at)
        paused = (other.status_details or {})["paused"]
        kept = {name: end for name, end in paused["discount_ends"].items() if name not in {row.id for row in resumed}}
        other.status_details = {**(other.status_details or {}), "paused": {**paused, "discount_ends": kept}}
    session.flush()


def _others(session: Session, subscription: Subscription) -> Sequence[Subscription]:
    """The customer's other subscriptions that have not ended."""
    others = select(Subscription).where(
        Subscription.customer_id == subscription.customer_id,
        Subscription.id != subscription.id,
        Subscription.status.not_in(ENDED),
    )
    return session.scalars(others.order_by(Subscription.id)).all()


def _set_end(session: Session, subscription: Subscription, discount: Discount, end: int | None, at: int) -> None:
    previous = {"end": discount.end}
    discount.end = end
    session.flush()
    emit(session, "customer.discount.updated", subscription, at, previous=previous, document=discount_object(discount))
