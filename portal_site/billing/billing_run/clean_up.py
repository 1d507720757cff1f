"""Removes rows that are over: links, visits, wrong codes and set-ups after 90 days, deliveries after 30, others after one."""

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
    WebhookDelivery,
    WebhookEndpoint,
)
from portal_site.db.deletion import delete_in_batches

KEPT = 90 * 24 * 60 * 60  # seconds; none of these lasts for more than a day
DAY = 24 * 60 * 60
DELIVERIES = 30 * DAY  # for which it is known what became of an event's delivery, as long as events are listed


def remove_old_rows(at: int) -> int:
    """Remove rows that nobody needs any more, in short transactions. Returns how many."""
    before = at - KEPT
    has_deliveries = select(WebhookDelivery.id).where(WebhookDelivery.endpoint_id == WebhookEndpoint.id).exists()
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
        + delete_in_batches(WebhookDelivery, WebhookDelivery.created < at - DELIVERIES)
        + delete_in_batches(WebhookEndpoint, WebhookEndpoint.deleted_at.is_not(None), ~has_deliveries)
        + delete_in_batches(IdempotentRequest, IdempotentRequest.created < at - IdempotentRequest.KEPT)
    )
