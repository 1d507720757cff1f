"""Attempts to cancel whose offer was taken on another page. Not a verb: pausing and changing a plan end with it."""

from collections.abc import Collection

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal_site.billing.models import CancellationAttempt, Subscription


def accept_pause_offer(session: Session, subscription: Subscription, attempt_id: str, at: int) -> None:
    """The subscription is paused; if that is what this attempt offered, it was taken."""
    attempt = _offered(session, subscription, attempt_id, "pause", at)
    if attempt is not None:
        attempt.accept(at)


def accept_price_offer(
    session: Session, subscription: Subscription, attempt_id: str, price_ids: Collection[str], at: int
) -> None:
    """The subscription has, or will have, these prices; if the one that this attempt offered is among them, it was taken."""
    attempt = _offered(session, subscription, attempt_id, "price", at)
    if attempt is not None and (attempt.offer or {}).get("price") in price_ids:
        attempt.accept(at)


def _offered(
    session: Session, subscription: Subscription, attempt_id: str, kind: str, at: int
) -> CancellationAttempt | None:
    mine = CancellationAttempt.customer_id == subscription.customer_id, CancellationAttempt.id == attempt_id
    query = select(CancellationAttempt).where(*mine, CancellationAttempt.subscription_id == subscription.id)
    attempt = session.scalar(query) if attempt_id else None
    made = attempt is not None and attempt.is_made(at) and (attempt.offer or {}).get("type") == kind
    return attempt if made else None
