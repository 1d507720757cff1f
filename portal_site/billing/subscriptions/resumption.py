"""Ending a pause."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal_site.billing.models import SchedulePhase, Subscription, SubscriptionSchedule
from portal_site.billing.rules.subscriptions.statuses import SubscriptionStatus
from portal_site.billing.subscriptions import applied_discounts


def resume(session: Session, subscription: Subscription, moment: int, period_end: int, at: int) -> None:
    """End a pause at `moment`. A change that the customer planned moves to the end of the new period, `period_end`."""
    applied_discounts.resume_discounts(session, subscription, moment, at)
    applied_discounts.resume_shared_discounts(session, subscription, moment, at)
    subscription.status = SubscriptionStatus(subscription.status).become(SubscriptionStatus.ACTIVE)
    subscription.status_details = None
    planned = (
        SubscriptionSchedule.customer_id == subscription.customer_id,
        SubscriptionSchedule.subscription_id == subscription.id,
        SubscriptionSchedule.status == "active",
        SubscriptionSchedule.origin == "portal",
    )
    for schedule_id in session.scalars(select(SubscriptionSchedule.id).where(*planned)).all():
        of_schedule = SchedulePhase.schedule_id == schedule_id, SchedulePhase.account_id == subscription.account_id
        current, *later = session.scalars(
            select(SchedulePhase).where(*of_schedule).order_by(SchedulePhase.start_date)
        ).all()
        if later:
            current.end_date = later[0].start_date = period_end
