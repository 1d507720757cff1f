"""Offers to customers who want to leave: which one is made and when, what taking it brings about, and that it is made once."""

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from portal_site.billing.cancellation import offer_previews
from portal_site.billing.cancellation.offer_previews import OfferContext, OfferPreview
from portal_site.billing.errors import NotFound, StateChanged
from portal_site.billing.loading import ownership, snapshots
from portal_site.billing.loading.confirmations import Confirmation
from portal_site.billing.loading.snapshots import Reader
from portal_site.billing.models import CancellationAttempt, Coupon, Customer, Discount, Event, Subscription
from portal_site.billing.rules.amounts.discounts import discount_end
from portal_site.billing.rules.amounts.periods import months_after
from portal_site.billing.rules.portal.portal_features import Features, RetentionOffer
from portal_site.billing.rules.retention import experiment, offer_rules
from portal_site.billing.rules.retention.offer_rules import CancellingCustomer
from portal_site.billing.subscriptions import applied_discounts, due_dates, promotion_codes, subscription_items
from portal_site.billing.translation_marks import N_
from portal_site.db.transactions import reading, transaction

OVER = N_("This offer has ended. You can continue with your cancellation.")


def make_offer(
    session: Session,
    customer: Customer,
    subscription: Subscription,
    attempt: CancellationAttempt,
    features: Features,
    at: int,
) -> None:
    """Add the offer that fits to an attempt to cancel, or note the one that a held-out customer would have been made.

    Not a verb: an attempt begins with it. The customer is locked, so of many attempts at once one gets the offer.
    """
    wanted = features.subscription_cancel.retention
    if not wanted.all_rules or _had_one(session, subscription, attempt, months_after(at, -wanted.months_between)):
        return
    case = _case(session, subscription, customer, features, attempt, at)
    leaver = CancellingCustomer(case.snapshot, subscription.start_date, attempt.feedback or attempt.feedback_option_id)
    for offer in offer_rules.fitting(wanted, leaver, at):
        if offer_previews.preview(case, offer) is not None:
            attempt.offer = offer_previews.document(offer)
            attempt.held_out = experiment.is_held_out(customer.id, wanted.holdout_percent)
            attempt.offer_outcome = None if attempt.held_out else "shown"
            return


def _had_one(session: Session, subscription: Subscription, attempt: CancellationAttempt, since: int) -> bool:
    """Whether the customer was made an offer since then, or said no to one for this subscription ever."""
    lately = CancellationAttempt.offer.is_not(None) & (CancellationAttempt.created > since)
    declined = (CancellationAttempt.subscription_id == subscription.id) & (
        CancellationAttempt.offer_outcome == "declined"
    )
    others = CancellationAttempt.customer_id == subscription.customer_id, CancellationAttempt.id != attempt.id
    return session.scalar(select(CancellationAttempt.id).where(*others, or_(lately, declined)).limit(1)) is not None


def find(customer_id: str, subscription_id: str, attempt_id: str, features: Features, at: int) -> OfferPreview | None:
    """The offer that was made in an attempt to cancel, or None when it does not stand any more. Raises NotFound."""
    with reading() as reader:
        mine = CancellationAttempt.customer_id == customer_id, CancellationAttempt.subscription_id == subscription_id
        attempt = reader.execute(
            select(CancellationAttempt.__table__).where(*mine, CancellationAttempt.id == attempt_id)
        ).first()
        if attempt is None:
            raise NotFound(N_("We could not find this."), "resource_missing")
        row, customer = snapshots.load_owned_rows(reader, customer_id, subscription_id)
        return _standing(reader, row, customer, features, CancellationAttempt(**attempt._mapping), at)


def accept(
    customer_id: str, subscription_id: str, attempt_id: str, features: Features, confirmation: Confirmation, at: int
) -> None:
    """Take an offer as it was shown, or raise StateChanged. A second call finds the first."""
    with transaction() as session:
        customer = ownership.lock_customer(session, customer_id)
        subscription = ownership.get_owned(session, Subscription, customer_id, subscription_id, lock=True)
        attempt = _own(session, subscription, attempt_id)
        if attempt.offer_outcome == "accepted":
            return
        confirmation.check_time(at)
        proposal, now = (
            _standing(session, subscription, customer, features, attempt, then) for then in (confirmation.at, at)
        )
        if proposal is None or now is None or proposal.offer.type not in _TAKING:
            raise StateChanged(OVER, "offer_over")
        confirmation.check(proposal.fingerprint)
        _TAKING[proposal.offer.type](session, subscription, proposal, at)
        attempt.accept(at)


def decline(customer_id: str, subscription_id: str, attempt_id: str) -> None:
    """Say no to an offer; none is made for this subscription again. Raises NotFound."""
    with transaction() as session:
        ownership.lock_customer(session, customer_id)
        subscription = ownership.get_owned(session, Subscription, customer_id, subscription_id)
        attempt = _own(session, subscription, attempt_id)
        if attempt.offer_outcome == "shown":
            attempt.offer_outcome = "declined"


def _own(session: Session, subscription: Subscription, attempt_id: str) -> CancellationAttempt:
    attempt = ownership.get_owned(session, CancellationAttempt, subscription.customer_id, attempt_id)
    if attempt.subscription_id != subscription.id:
        raise NotFound(N_("We could not find this."), "resource_missing")
    return attempt


def _case(
    reader: Reader, row: Any, customer: Any, features: Features, attempt: CancellationAttempt, at: int
) -> OfferContext:
    return OfferContext(
        reader, row, customer, snapshots.load_for_quote(reader, row, customer, at), features, at, attempt.id
    )


def _standing(
    reader: Reader, row: Any, customer: Any, features: Features, attempt: CancellationAttempt, at: int
) -> OfferPreview | None:
    if not attempt.is_made(at) or not features.subscription_cancel.retention.enabled:
        return None
    offer = RetentionOffer.of(attempt.offer or {})
    return offer_previews.preview(_case(reader, row, customer, features, attempt, at), offer)


# --- what taking it does; a pause and a cheaper plan are taken on pages of their own ----------------------------------


def _put_discount_on(session: Session, subscription: Subscription, proposal: OfferPreview, at: int) -> None:
    assert proposal.discount
    assert proposal.coupon
    if not promotion_codes.count_redemption(session, Coupon, subscription.account_id, proposal.coupon["id"]):
        raise StateChanged(OVER, "offer_over")
    of_it = Discount.customer_id == subscription.customer_id, Discount.subscription_id == subscription.id
    before = list(session.scalars(select(Discount.id).where(*of_it, Discount.end.is_(None) | (Discount.end > at))))
    end = discount_end(proposal.discount.duration, proposal.coupon["duration_in_months"], at)
    discount = {"id": proposal.discount.id, "coupon_id": proposal.coupon["id"], "start": at, "end": end}
    applied_discounts.add_discount(session, subscription, discount, at)
    session.flush()
    items = subscription_items.items_object(subscription_items.load_items(session, subscription))
    told = {"discounts": [*before, proposal.discount.id], "items": items}
    session.add(Event.of("customer.subscription.updated", subscription, at, {"discounts": before}, **told))


def _make_trial_longer(session: Session, subscription: Subscription, proposal: OfferPreview, at: int) -> None:
    """The first payment comes later, and the periods after it count from then."""
    items = subscription_items.load_items(session, subscription)
    previous = {
        "trial_end": subscription.trial_end,
        "billing_cycle_anchor": subscription.billing_cycle_anchor,
        "items": subscription_items.items_object(items),
    }
    for item in items:
        if item.current_period_end == subscription.trial_end:
            item.current_period_end = proposal.trial_end or item.current_period_end
    subscription.trial_end = proposal.trial_end
    subscription.billing_cycle_anchor = proposal.trial_end or subscription.billing_cycle_anchor
    due_dates.recompute_due_at(session, subscription, items, at)
    session.flush()
    told = subscription_items.items_object(items)
    session.add(Event.of("customer.subscription.updated", subscription, at, previous, items=told))


def _leave_as_it_is(_session: Session, _subscription: Subscription, _proposal: OfferPreview, _at: int) -> None:
    """Whoever wants to talk first stays, with nothing changed."""


_TAKING: Mapping[str, Callable[[Session, Subscription, OfferPreview, int], None]] = {
    "coupon": _put_discount_on, "trial": _make_trial_longer, "contact": _leave_as_it_is
}  # fmt: skip
