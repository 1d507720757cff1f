"""Removes rows that are over: links, visits, wrong promotion codes and set-ups after 90 days, others after one."""

from sqlalchemy import select

from portal_site.billing.models import (
    CancellationRequest,
    IdempotentRequest,
    LoginRequest,
    PortalSession,
    PortalVisit,
    PromotionCodeTry,
    ProviderEvent,
    RememberedDevice,
    SetupIntent,
)
from portal_site.db.deletion import delete_in_batches

KEPT = 90 * 24 * 60 * 60  # seconds; none of these lasts for more than a day
DAY = 24 * 60 * 60


def remove_old_rows(at: int) -> int:
    """Remove rows that nobody needs any more, in short transactions. Returns how many."""
    before = at - KEPT
    has_visits = select(PortalVisit.id).where(PortalVisit.session_id == PortalSession.id).exists()
    return (
        delete_in_batches(PortalVisit, PortalVisit.opened_at < before)
        + delete_in_batches(PortalSession, PortalSession.expires_at < before, ~has_visits)
        + delete_in_batches(PromotionCodeTry, PromotionCodeTry.created < before)
        + delete_in_batches(LoginRequest, LoginRequest.created < at - DAY)
        + delete_in_batches(CancellationRequest, CancellationRequest.created < before)
        + delete_in_batches(RememberedDevice, RememberedDevice.expires_at <= at)
        + delete_in_batches(
            ProviderEvent,
            ProviderEvent.received_at < before,
            ProviderEvent.due_at.is_(None),
            ProviderEvent.fault.is_(None),
        )
        # Programs look at theirs as long as they like.
        + delete_in_batches(SetupIntent, SetupIntent.created < before, SetupIntent.client_secret.is_(None))
        + delete_in_batches(IdempotentRequest, IdempotentRequest.created < at - IdempotentRequest.KEPT)
    )
