"""What a schedule means for its subscription: discounts that its coming phases replace, and terms that are not read."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import select

from portal_site.billing.importing.objects import ImportedObject
from portal_site.billing.importing.reading.documents import id_of
from portal_site.billing.importing.report import ImportReport, Result
from portal_site.billing.importing.schemas.billing_schemas import PhaseShape, ScheduleShape
from portal_site.billing.loading.plans import Reader
from portal_site.billing.models import Coupon, Discount, SubscriptionSchedule
from portal_site.billing.rules.subscriptions.statuses import ENDED

MISSING = "its schedule is neither in the files nor here"
UNREAD_PHASE = "a coming phase of its schedule has a promotion code whose coupon is unknown"
OTHER_COUPON = "a discount of its own is in another currency"


def apply(
    reader: Reader, objects: Sequence[ImportedObject], account_id: str, known_coupon: Any, report: ImportReport
) -> None:
    """Let subscriptions know what their schedules and coupons mean for them."""
    schedules = {one.id: one for one in objects if one.kind == "subscription_schedule"}
    for one in objects:
        if one.kind != "subscription" or one.rows[0].status in ENDED:
            continue
        for row in one.parts(Discount):
            coupon = known_coupon(Coupon, row.coupon_id)
            if coupon is not None and coupon.terms["amount_off"] and coupon.terms["currency"] != one.rows[0].currency:
                one.unbillable.append(OTHER_COUPON)
        name = id_of(one.document.get("schedule"))
        if name is None:
            continue
        schedule = schedules.get(name)
        if schedule is not None:
            one.unbillable += schedule.unbillable
            _replace_discounts(one, schedule)
        elif not _is_stored(reader, name, account_id):
            one.unbillable.append(MISSING)
            sentence = f"{one.name} refers to subscription schedule {name}, which is neither in the file nor here."
            report.find(Result.MISSING, one.kind, one.id, MISSING, sentence, one.customer)


def _is_stored(reader: Reader, name: str, account_id: str) -> bool:
    query = select(SubscriptionSchedule.id).where(
        SubscriptionSchedule.id == name, SubscriptionSchedule.account_id == account_id
    )
    return reader.execute(query).first() is not None


def _replace_discounts(subscription: ImportedObject, schedule: ImportedObject) -> None:
    """End the subscription's own discounts where a coming phase has others; each phase has its own."""
    shape = schedule.shape
    assert isinstance(shape, ScheduleShape)
    current = [phase for phase in shape.phases if phase.start_date <= shape.current_phase.start_date]
    coming = [phase for phase in shape.phases if phase.start_date > shape.current_phase.start_date]
    if any(one.coupon is None and one.promotion_code is not None for phase in coming for one in phase.discounts):
        subscription.unbillable.append(UNREAD_PHASE)
    replacing = [phase.start_date for phase in coming if phase.discounts or _coupons(current[-1:])]
    for row in subscription.parts(Discount):
        kept = any(one.discount == row.id for phase in coming for one in phase.discounts)
        if replacing and not kept and row.subscription_item_id is None:
            row.values["end"] = min(replacing[0], row.end or replacing[0])


def _coupons(phases: Iterable[PhaseShape]) -> set[str | None]:
    return {discount.coupon for phase in phases for discount in phase.discounts}
