"""When something has to be done about a subscription next."""

from sqlalchemy import ColumnElement, Select, case, func, select
from sqlalchemy.orm import Session

from portal_site.billing.loading import payment_state
from portal_site.billing.models import (
    SchedulePhase,
    Subscription,
    SubscriptionItem,
    SubscriptionSchedule,
)
from portal_site.billing.rules.subscriptions import pauses
from portal_site.billing.rules.subscriptions.statuses import SubscriptionStatus, next_due


def next_phase_boundary(after: ColumnElement[int] | int) -> Select[str | None, int | None]:
    """By subscription, the next instant after `after` at which a phase of its schedule begins or ends.

    What a customer planned waits for the end of a pause; what the merchant planned does not.
    """
    begins = func.min(case((SchedulePhase.start_date > after, SchedulePhase.start_date)))
    ends = func.min(case((SchedulePhase.end_date > after, SchedulePhase.end_date)))
    return (
        select(SubscriptionSchedule.subscription_id, case((begins.is_(None) | (ends < begins), ends), else_=begins))
        .join(SchedulePhase, SchedulePhase.schedule_id == SubscriptionSchedule.id)
        .join(Subscription, Subscription.id == SubscriptionSchedule.subscription_id)
        .where(
            # Said once more for the index that finds them.
            SubscriptionSchedule.customer_id == Subscription.customer_id,
            SubscriptionSchedule.status == "active",
            (Subscription.status != SubscriptionStatus.PAUSED) | (SubscriptionSchedule.origin == "merchant"),
        )
        .group_by(SubscriptionSchedule.subscription_id)
    )


def recompute_due_at(session: Session, subscription: Subscription, items: list[SubscriptionItem], at: int) -> None:
    """Note when something has to be done about the subscription next."""
    # A step that is overdue was not taken yet: neither was a phase that began since.
    taken = at if subscription.due_at is None else min(at, subscription.due_at - 1)
    mine = (
        SubscriptionSchedule.customer_id == subscription.customer_id,
        SubscriptionSchedule.subscription_id == subscription.id,
    )
    planned = session.execute(next_phase_boundary(taken).where(*mine)).first()
    incomplete = subscription.status == SubscriptionStatus.INCOMPLETE
    subscription.due_at = next_due(
        subscription.status,
        [item.current_period_end for item in items],
        subscription.cancel_at,
        (subscription.pending_update or {}).get("expires_at"),
        payment_state.first_payment_deadline(session, subscription) if incomplete else None,
        pauses.resumes_at(subscription.status_details, subscription.pause_collection),
        planned[1] if planned else None,
    )
