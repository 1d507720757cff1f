"""Due dates: when a billing run looks at a subscription next (`due_at`), and the instant of what is due (`step_at`)."""

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
    """A query for (subscription id, the first time after `after` at which a phase of its schedule starts or ends).

    While a subscription is paused, phases that the customer planned are left out, because they are postponed to the end of the
    pause. The merchant's are not.
    """
    next_start = func.min(case((SchedulePhase.start_date > after, SchedulePhase.start_date)))
    next_end = func.min(case((SchedulePhase.end_date > after, SchedulePhase.end_date)))
    return (
        select(
            SubscriptionSchedule.subscription_id,
            case((next_start.is_(None) | (next_end < next_start), next_end), else_=next_start),
        )
        .join(SchedulePhase, SchedulePhase.schedule_id == SubscriptionSchedule.id)
        .join(Subscription, Subscription.id == SubscriptionSchedule.subscription_id)
        .where(
            # Redundant, but lets the query use the index (customer_id, status).
            SubscriptionSchedule.customer_id == Subscription.customer_id,
            SubscriptionSchedule.status == "active",
            (Subscription.status != SubscriptionStatus.PAUSED) | (SubscriptionSchedule.origin == "merchant"),
        )
        .group_by(SubscriptionSchedule.subscription_id)
    )


def recompute_due_at(session: Session, subscription: Subscription, items: list[SubscriptionItem], at: int) -> None:
    """Set the subscription's `due_at` to the time of its next renewal or transition. What was put off is put off no more.

    One that another system bills is never due, whatever becomes of it here.
    """
    if subscription.billed_elsewhere:
        return
    # An overdue step has not been processed yet, and neither have phases that started since, so look from there on.
    processed_until = at if subscription.step_at is None else min(at, subscription.step_at - 1)
    of_subscription = (
        SubscriptionSchedule.customer_id == subscription.customer_id,
        SubscriptionSchedule.subscription_id == subscription.id,
    )
    boundary = session.execute(next_phase_boundary(processed_until).where(*of_subscription)).first()
    incomplete = subscription.status == SubscriptionStatus.INCOMPLETE
    subscription.overdue_since = None
    subscription.due_at = next_due(
        subscription.status,
        [item.current_period_end for item in items],
        subscription.cancel_at,
        subscription.pending_update.expires_at if subscription.pending_update else None,
        payment_state.first_payment_deadline(session, subscription) if incomplete else None,
        pauses.resumes_at(subscription.status_details, subscription.pause_collection),
        boundary[1] if boundary else None,
    )


def put_off(subscription: Subscription, until: int | None) -> None:
    """Let the next billing run after `until` look at the subscription (None: none does), and keep the instant of what is due."""
    subscription.overdue_since = subscription.step_at
    subscription.due_at = until
