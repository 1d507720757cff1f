"""Removes rows that are over: links, visits, wrong promotion codes and set-ups after 90 days, others after one."""

from typing import Any

from sqlalchemy import ColumnElement, delete, select, tuple_

from portal_site.billing.models import (
    IdempotentRequest,
    LoginRequest,
    PortalSession,
    PortalVisit,
    PromotionCodeTry,
    SetupIntent,
)
from portal_site.db import Base
from portal_site.db.transactions import reading, transaction

KEPT = 90 * 24 * 60 * 60  # seconds; none of these lasts for more than a day
DAY = 24 * 60 * 60
BATCH = 500
MOST_BATCHES = 20  # of each kind in one run; the next one goes on
UNSCOPED = {"unscoped": "what is over is removed for all merchants"}


def remove_old_rows(at: int) -> int:
    """Remove rows that nobody needs any more, in short transactions. Returns how many."""
    before = at - KEPT
    has_visits = select(PortalVisit.id).where(PortalVisit.session_id == PortalSession.id).exists()
    return (
        remove(PortalVisit, PortalVisit.opened_at < before)
        + remove(PortalSession, PortalSession.expires_at < before, ~has_visits)
        + remove(PromotionCodeTry, PromotionCodeTry.created < before)
        + remove(LoginRequest, LoginRequest.created < at - DAY)
        + remove(SetupIntent, SetupIntent.created < before)
        + remove(IdempotentRequest, IdempotentRequest.created < at - IdempotentRequest.KEPT)
    )


def remove(kind: type[Base], *is_over: ColumnElement[bool]) -> int:
    """Remove the rows of a table that are over, in short transactions, a limited number in one call. Returns how many."""
    removed = 0
    table: Any = kind.__table__
    key = table.primary_key.columns
    for _ in range(MOST_BATCHES):
        with reading() as reader:
            ids = reader.execute(select(*key).where(*is_over).limit(BATCH).execution_options(**UNSCOPED)).all()
        if ids:
            with transaction() as session:
                gone = tuple_(*key).in_([tuple(found) for found in ids])
                session.execute(delete(kind).where(gone).execution_options(**UNSCOPED, synchronize_session=False))
            removed += len(ids)
        if len(ids) < BATCH:
            break
    return removed
