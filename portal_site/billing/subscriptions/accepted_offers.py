"""Accepting a retention offer that is fulfilled by another operation: a pause, or a change to a cheaper plan."""

from collections.abc import Collection

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal_site.billing.models import CancellationAttempt, Subscription


def accept_pause_offer(session: Session, subscription: Subscription, attempt_id: str, at: int) -> None:
    """Mark the cancellation attempt's offer as accepted if it was a pause. Call it after the subscription was paused."""
    attempt = _attempt_with_offer(session, subscription, attempt_id, "pause", at)
    if attempt is not None:
        attempt.accept(at)


def accept_price_offer(
    session: Session, subscription: Subscription, attempt_id: str, price_ids: Collection[str], at: int
) -> None:
    """Mark the cancellation attempt's offer as accepted if its price is among `price_ids`, those after a plan change."""
    attempt = _attempt_with_offer(session, subscription, attempt_id, "price", at)
    if attempt is not None and (attempt.offer or {}).get("price") in price_ids:
        attempt.accept(at)


def _attempt_with_offer(
    session: Session, subscription: Subscription, attempt_id: str, kind: str, at: int
) -> CancellationAttempt | None:
    owned = CancellationAttempt.customer_id == subscription.customer_id, CancellationAttempt.id == attempt_id
    query = select(CancellationAttempt).where(*owned, CancellationAttempt.subscription_id == subscription.id)
    attempt = session.scalar(query) if attempt_id else None
    is_open = attempt is not None and attempt.is_made(at) and (attempt.offer or {}).get("type") == kind
    return attempt if is_open else None
