"""Removes rows that are over: links, visits, wrong promotion codes and set-ups of payment methods, after 90 days."""

from sqlalchemy import ColumnElement, delete, select

from portal_site.billing.models import PortalSession, PortalVisit, PromotionCodeTry, SetupIntent
from portal_site.db.transactions import reading, transaction

KEPT = 90 * 24 * 60 * 60  # seconds; none of these lasts for more than a day
BATCH = 500
MOST_BATCHES = 20  # of each kind in one run; the next one goes on
Removable = type[PortalVisit | PortalSession | PromotionCodeTry | SetupIntent]
UNSCOPED = {"unscoped": "what is over is removed for all merchants"}


def remove_old_rows(at: int) -> int:
    """Remove rows that have been over for 90 days, in short transactions. Returns how many."""
    before = at - KEPT
    has_visits = select(PortalVisit.id).where(PortalVisit.session_id == PortalSession.id).exists()
    return (
        _remove(PortalVisit, PortalVisit.opened_at < before)
        + _remove(PortalSession, PortalSession.expires_at < before, ~has_visits)
        + _remove(PromotionCodeTry, PromotionCodeTry.created < before)
        + _remove(SetupIntent, SetupIntent.created < before)
    )


def _remove(kind: Removable, *is_over: ColumnElement[bool]) -> int:
    removed = 0
    for _ in range(MOST_BATCHES):
        with reading() as reader:
            ids = list(reader.scalars(select(kind.id).where(*is_over).limit(BATCH).execution_options(**UNSCOPED)))
        if ids:
            with transaction() as session:
                session.execute(delete(kind).where(kind.id.in_(ids)).execution_options(**UNSCOPED))
            removed += len(ids)
        if len(ids) < BATCH:
            break
    return removed
