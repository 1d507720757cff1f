"""Which imported subscriptions are billed here from now on, and which are left to the other system, by name."""

from collections.abc import Callable, Sequence

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from portal_site.billing.importing.known import Known
from portal_site.billing.importing.objects import ImportedObject, Row
from portal_site.billing.importing.report import ImportReport, Result
from portal_site.billing.models import Customer, InvoiceLineItem, PaymentMethod, Price, Subscription, SubscriptionItem
from portal_site.billing.models import ImportedObject as Imported
from portal_site.billing.rules.subscriptions.statuses import ENDED, SubscriptionStatus
from portal_site.billing.subscriptions import due_dates, subscription_items

NOT_RENEWED = "{reason}: left to the other system"
LIVE = "it is of live mode, and no payment provider here can charge its payment method"
NO_CREDIT = "no invoice of their present period is here: a change of plan gives no credit for it"
USAGE = "it bills usage, which is not known here"

CanCharge = Callable[[ImportedObject], bool]


def check(one: ImportedObject, known: Known, live_gateways: frozenset[str]) -> list[str]:
    """The reasons why a subscription cannot be billed right here, or not charged; none if it can."""
    reasons = _of_amounts(one, known)
    if one.rows[0].livemode and not _is_charged_live(one.rows[0], known, live_gateways):
        reasons.append(LIVE)
    return reasons


def _of_amounts(one: ImportedObject, known: Known) -> list[str]:
    prices = (known.get(Price, row.price_id) for row in one.parts(SubscriptionItem))
    metered = any(price is not None and price.terms["usage_type"] == "metered" for price in prices)
    return [*one.unbillable, *([USAGE] if metered else [])]


def remember(session: Session, objects: Sequence[ImportedObject], known: Known, account_id: str) -> None:
    """Store why subscriptions cannot be billed right here, for who asks later."""
    reasons = {
        one.id: "\n".join(dict.fromkeys(_of_amounts(one, known)))
        for one in objects
        if one.kind == "subscription" and not one.embedded
    }
    if not reasons:
        return
    mine = Imported.account_id == account_id, Imported.kind == "subscription"
    stored = session.execute(select(Imported.id, Imported.unbillable).where(*mine, Imported.id.in_(reasons)))
    changed: dict[str, list[str]] = {}
    for name, before in stored.all():
        if before != reasons[name]:
            changed.setdefault(reasons[name], []).append(name)
    for words, names in changed.items():
        session.execute(update(Imported).where(*mine, Imported.id.in_(names)).values(unbillable=words))


def _is_charged_live(subscription: Row, known: Known, live_gateways: frozenset[str]) -> bool:
    """Whether what its invoices would be charged to is held by such a provider; an imported payment method is not."""
    if subscription.collection_method == "send_invoice":
        return bool(live_gateways)
    customer = known.get(Customer, subscription.customer_id)
    default = customer.terms["default_payment_method_id"] if customer else None
    method = known.get(PaymentMethod, subscription.default_payment_method_id or default or "")
    return method is not None and method.terms["gateway"] in live_gateways


def renew(session: Session, billable: Sequence[ImportedObject], account_id: str, at: int, report: ImportReport) -> None:
    """Make subscriptions due for renewal, except those whose period ended before `at`: the other system had to bill it."""
    ids = [one.id for one in billable]
    owned = Subscription.account_id == account_id, Subscription.id.in_(ids)
    for subscription in session.scalars(select(Subscription).where(*owned, Subscription.due_at.is_(None))):
        subscription.billed_elsewhere = False
        due_dates.recompute_due_at(session, subscription, subscription_items.load_items(session, subscription), at)
        if subscription.due_at is not None and subscription.due_at <= at:
            subscription.due_at, subscription.billed_elsewhere = None, True
            report.stale += 1
        report.renewed += subscription.due_at is not None
    session.flush()


def note_uncreditable(new: Sequence[ImportedObject], at: int, report: ImportReport) -> None:
    """Report the new subscriptions whose present period is on no invoice of this import: what was paid for it is not known."""
    lines = (row for one in new if one.kind == "invoice" for row in one.parts(InvoiceLineItem))
    covered = {row.subscription_id for row in lines if row.period_end > at}
    here = {None, *(one.id for one in new if one.kind == "invoice")}  # a very large customer's come in several batches
    for one in new:
        running = one.kind == "subscription" and one.rows[0].status == SubscriptionStatus.ACTIVE
        ends = [item.current_period_end for item in one.parts(SubscriptionItem)]
        if running and one.id not in covered and one.rows[0].latest_invoice_id in here and max(ends) > at:
            sentence = f"{one.name}: no invoice of its present period is here, so that a change of plan gives no credit for it."
            report.find(Result.NOTE, one.kind, one.id, NO_CREDIT, sentence, one.customer)


def foresee(billable: Sequence[ImportedObject], at: int, report: ImportReport) -> None:
    """Count what `renew` would make due, for a report of what has not been stored."""
    for one in billable:
        ends = [row.current_period_end for row in one.parts(SubscriptionItem)]
        if SubscriptionStatus(one.rows[0].status).renews and ends:
            report.renewed += min(ends) > at
            report.stale += min(ends) <= at


def leave(one: ImportedObject, reasons: Sequence[str], report: ImportReport) -> None:
    """Report why a subscription is not billed here."""
    if one.rows[0].status in ENDED:
        return
    for reason in dict.fromkeys(reasons):
        sentence = f"{one.name} is not billed here: {reason}."
        report.find(Result.NOT_RENEWED, one.kind, one.id, NOT_RENEWED.format(reason=reason), sentence, one.customer)
