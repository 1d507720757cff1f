"""Retention offers: making at most one offer in an attempt to cancel, and accepting or declining it."""

from collections.abc import Callable, Mapping

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from portal_site.billing.cancellation import offer_previews
from portal_site.billing.cancellation.offer_previews import OfferContext, OfferPreview
from portal_site.billing.errors import NotFound, StateChanged
from portal_site.billing.loading import ownership, snapshots
from portal_site.billing.loading.confirmations import Confirmation
from portal_site.billing.loading.plans import Reader
from portal_site.billing.models import CancellationAttempt, Coupon, Customer, Discount, Subscription
from portal_site.billing.rules.amounts.discounts import discount_end
from portal_site.billing.rules.amounts.periods import months_after
from portal_site.billing.rules.portal.portal_features import Features, RetentionOffer
from portal_site.billing.rules.retention import experiment, offer_rules
from portal_site.billing.rules.retention.offer_rules import CancellingCustomer
from portal_site.billing.rules.subscriptions.pending_update import PendingDiscount
from portal_site.billing.subscriptions import applied_discounts, promotion_codes
from portal_site.billing.subscriptions.subscription_update import subscription_update
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
    """Store the first matching offer in an attempt to cancel, or none. For a customer in the hold-out group it is not shown.

    It runs inside the transaction that starts the attempt. The customer's row must be locked, so that only one of several
    concurrent attempts gets the offer.
    """
    settings = features.subscription_cancel.retention
    attempt.offer, attempt.offer_outcome, attempt.held_out = None, None, False
    if not settings.all_rules or _had_offer(session, subscription, attempt, months_after(at, -settings.months_between)):
        return
    case = _case(session, subscription, customer, features, attempt, at)
    leaver = CancellingCustomer(case.snapshot, subscription.start_date, attempt.feedback or attempt.feedback_option_id)
    for offer in offer_rules.fitting(settings, leaver, at):
        if offer_previews.preview(case, offer) is not None:
            attempt.offer = offer_previews.document(offer)
            attempt.held_out = experiment.is_held_out(customer.id, settings.holdout_percent)
            attempt.offer_outcome = None if attempt.held_out else "shown"
            return


def _had_offer(session: Session, subscription: Subscription, attempt: CancellationAttempt, since: int) -> bool:
    """Whether the customer got an offer after `since`, or has ever declined one for this subscription."""
    recent = CancellationAttempt.offer.is_not(None) & (CancellationAttempt.created > since)
    declined = (CancellationAttempt.subscription_id == subscription.id) & (
        CancellationAttempt.offer_outcome == "declined"
    )
    others = CancellationAttempt.customer_id == subscription.customer_id, CancellationAttempt.id != attempt.id
    return session.scalar(select(CancellationAttempt.id).where(*others, or_(recent, declined)).limit(1)) is not None


def find(customer_id: str, subscription_id: str, attempt_id: str, features: Features, at: int) -> OfferPreview | None:
    """The offer of an attempt to cancel with its effect, or None if it can no longer be accepted. Raises NotFound."""
    with reading() as reader:
        owned = CancellationAttempt.customer_id == customer_id, CancellationAttempt.subscription_id == subscription_id
        attempt = reader.execute(
            select(CancellationAttempt.__table__).where(*owned, CancellationAttempt.id == attempt_id)
        ).first()
        if attempt is None:
            raise NotFound(N_("We could not find this."), "resource_missing")
        row, customer = snapshots.load_owned_rows(reader, customer_id, subscription_id)
        return _preview(reader, row, customer, features, CancellationAttempt(**attempt._mapping), at)


def accept(
    customer_id: str, subscription_id: str, attempt_id: str, features: Features, confirmation: Confirmation, at: int
) -> None:
    """Accept an offer on the confirmed terms. A second call has no effect.

    A pause or a cheaper plan is not accepted here, but on the pages for these changes. Raises NotFound, and StateChanged if
    the offer or its terms have changed or can no longer be accepted.
    """
    with transaction() as session:
        customer = ownership.lock_customer(session, customer_id)
        subscription = ownership.get_owned(session, Subscription, customer_id, subscription_id, lock=True)
        attempt = _own(session, subscription, attempt_id)
        if attempt.offer_outcome == "accepted":
            return
        confirmation.check_time(at)
        # The offer must be valid now, too, but the customer confirmed the terms as of the quote.
        proposal, current = (
            _preview(session, subscription, customer, features, attempt, moment) for moment in (confirmation.at, at)
        )
        if proposal is None or current is None or proposal.offer.type not in _ACCEPT:
            raise StateChanged(OVER, "offer_over")
        confirmation.check(proposal.fingerprint)
        _ACCEPT[proposal.offer.type](session, subscription, proposal, at)
        attempt.accept(at)


def decline(customer_id: str, subscription_id: str, attempt_id: str) -> None:
    """Decline an offer. No further offer is made for this subscription. Raises NotFound."""
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
    reader: Reader, row: Subscription, customer: Customer, features: Features, attempt: CancellationAttempt, at: int
) -> OfferContext:
    return OfferContext(
        reader, row, customer, snapshots.load_for_quote(reader, row, customer, at), features, at, attempt.id
    )


def _preview(
    reader: Reader, row: Subscription, customer: Customer, features: Features, attempt: CancellationAttempt, at: int
) -> OfferPreview | None:
    """The attempt's offer with its effect, or None if it cannot be accepted at `at`."""
    if not attempt.is_made(at) or not features.subscription_cancel.retention.enabled:
        return None
    offer = RetentionOffer.of(attempt.offer or {})
    return offer_previews.preview(_case(reader, row, customer, features, attempt, at), offer)


# --- the effect of accepting; a pause and a cheaper plan are confirmed on their own pages -----------------------------


def _add_discount(session: Session, subscription: Subscription, proposal: OfferPreview, at: int) -> None:
    assert proposal.discount
    assert proposal.coupon
    if not promotion_codes.count_redemption(session, Coupon, subscription.account_id, proposal.coupon.id):
        raise StateChanged(OVER, "offer_over")
    owned = Discount.customer_id == subscription.customer_id, Discount.subscription_id == subscription.id
    before = list(session.scalars(select(Discount.id).where(*owned, Discount.end.is_(None) | (Discount.end > at))))
    end = discount_end(proposal.discount.duration, proposal.coupon.duration_in_months, at)
    discount = PendingDiscount(proposal.discount.id, proposal.coupon.id, at, end)
    with subscription_update(session, subscription, at) as update:
        update.note("discounts", before, [*before, proposal.discount.id])
        applied_discounts.add_discount(session, subscription, discount, at)


def _extend_trial(session: Session, subscription: Subscription, proposal: OfferPreview, at: int) -> None:
    """Move the end of the trial. The billing cycle anchor moves with it, so that the paid periods start there."""
    with subscription_update(session, subscription, at) as update:
        for item in update.items:
            if item.current_period_end == subscription.trial_end:
                item.current_period_end = proposal.trial_end or item.current_period_end
        subscription.trial_end = proposal.trial_end
        subscription.billing_cycle_anchor = proposal.trial_end or subscription.billing_cycle_anchor


def _change_nothing(_session: Session, _subscription: Subscription, _proposal: OfferPreview, _at: int) -> None:
    """Accepting a contact offer keeps the subscription as it is."""


_ACCEPT: Mapping[str, Callable[[Session, Subscription, OfferPreview, int], None]] = {
    "coupon": _add_discount, "trial": _extend_trial, "contact": _change_nothing
}  # fmt: skip
