"""Starting a subscription for a customer, by the merchant's people: the preview and the start load the same snapshot and use
the same rule, which reactivations use too."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal_site.billing.changes import new_subscriptions
from portal_site.billing.changes.plan_changes import NO_SAVING
from portal_site.billing.errors import BillingError, NotFound
from portal_site.billing.loading import confirmations, ownership, plans, snapshots
from portal_site.billing.loading.confirmations import Confirmation, hash_terms, quote_fingerprint
from portal_site.billing.loading.plans import Reader
from portal_site.billing.models import CatalogTaxRate, Coupon, Customer, PaymentMethod, PlanChange, Subscription
from portal_site.billing.rules.amounts import promotion_codes as code_rules
from portal_site.billing.rules.amounts.discounts import DiscountTerms
from portal_site.billing.rules.amounts.promotion_codes import CodeTerms
from portal_site.billing.rules.subscriptions import cancellation, starts
from portal_site.billing.rules.subscriptions.pending_update import PendingDiscount
from portal_site.billing.rules.subscriptions.plan_change import NewDiscount, Quote
from portal_site.billing.rules.subscriptions.snapshot import SubscriptionSnapshot
from portal_site.billing.rules.subscriptions.starts import WantedPrice, WantedTrial
from portal_site.billing.rules.subscriptions.statuses import SubscriptionStatus
from portal_site.billing.subscriptions import promotion_codes
from portal_site.billing.translation_marks import N_
from portal_site.db.json_columns import JsonObject
from portal_site.db.transactions import reading, transaction

MOST_TAX_RATES = 5  # of a subscription, as at Stripe


@dataclass(frozen=True)
class StartRequest:
    """What a subscription is to be like. `code` is a promotion code as it was entered, `coupon_id` a coupon without a code.

    `days_until_due` is needed with `send_invoice`, and means nothing otherwise.
    """

    prices: Sequence[WantedPrice]
    trial: WantedTrial = field(default_factory=WantedTrial)
    code: str = ""
    coupon_id: str = ""
    collection_method: str = starts.COLLECTION_METHODS[0]
    days_until_due: int | None = None
    tax_rate_ids: Sequence[str] = ()


@dataclass(frozen=True)
class StartPreview:
    """A subscription as it would start. `refusal` says why it cannot start on these terms, if so.

    `fingerprint` is of all terms that are confirmed with the quote. `lacks_method` is true if there is no payment method, which
    ends a trial at `ends_without_method`, if that is set.
    """

    snapshot: SubscriptionSnapshot
    quote: Quote
    refusal: BillingError | None
    fingerprint: str
    lacks_method: bool
    ends_without_method: int | None


@dataclass(frozen=True)
class _Loaded:
    """The preview, with the row that it would be written as, and the code that it would redeem."""

    preview: StartPreview
    row: Subscription
    code: CodeTerms | None


def preview(customer_id: str, subscription_id: str, request: StartRequest, at: int) -> StartPreview:
    """The preview of a start now. `subscription_id` is a new id, which the subscription has if it starts.

    Raises NotFound, and BillingError for what cannot be so, with the parameter's name as `param`.
    """
    columns = (*snapshots.OWNER_COLUMNS, Customer.livemode, Customer.default_payment_method_id)
    with reading() as reader:
        mine = Customer.id == customer_id, Customer.deleted_at.is_(None)
        row = reader.execute(select(*columns).where(*mine)).first()
        if row is None:
            raise NotFound(N_("We could not find this."), "resource_missing")
        return _load(reader, row, subscription_id, request, at).preview  # type: ignore[arg-type]


def start(
    customer_id: str, subscription_id: str, request: StartRequest, confirmation: Confirmation, at: int
) -> PlanChange:
    """Start the subscription on the confirmed terms. A second call with the same confirmation returns the same change.

    If an amount is to be charged, the change is pending until its invoice is paid; the caller collects it. Raises NotFound,
    BillingError for what cannot be so, and StateChanged if the terms have changed.
    """
    with transaction() as session:
        customer = ownership.lock_customer(session, customer_id)
        existing = confirmations.find_by_confirmation_key(session, customer_id, confirmation.key)
        if existing is not None:
            return existing
        confirmation.check_time(at)
        loaded = _load(session, customer, subscription_id, request, confirmation.at)
        if loaded.preview.refusal is not None:
            raise loaded.preview.refusal
        confirmation.check(loaded.preview.fingerprint)
        discount = _redeem(session, customer, loaded, at) if loaded.code else None
        new = loaded.row
        new.created = new.start_date = at
        return new_subscriptions.write(
            session, customer, new, loaded.preview.quote, confirmation.key, at, discount=discount
        )


def _redeem(session: Session, customer: Customer, loaded: _Loaded, at: int) -> PendingDiscount:
    code, new = loaded.code, loaded.preview.quote.code
    assert code is not None
    assert new is not None
    promotion_codes.redeem(session, customer.account_id, code)
    return PendingDiscount(new.terms.id, code.coupon_id, at, new.terms.end, code.code or None, code.id)


# --- the terms --------------------------------------------------------------------------------------------------------


def _load(reader: Reader, customer: Customer, subscription_id: str, request: StartRequest, at: int) -> _Loaded:
    sold = plans.load_sold(reader, customer.account_id, customer.livemode, (one.price_id for one in request.prices))
    items = starts.new_items(request.prices, sold, customer.currency, subscription_id, at)
    usual_days = sold[request.prices[0].price_id].trial_days
    row = _row(customer, subscription_id, request, at)
    row.currency = items[0].offer.terms.currency
    row.default_tax_rates = _tax_rates(reader, customer, request.tax_rate_ids)
    has_method = _has_method(reader, customer)
    ends = _set_trial(row, request.trial, starts.trial_end(request.trial, usual_days, at), at)
    row.cancel_at = None if has_method else ends
    snapshot = snapshots.load_new(reader, row, items, customer, at)
    code = _code(reader, customer, request)
    quote = starts.quote(snapshot, at, _new_discount(reader, customer, snapshot, code, at) if code else None)
    refusal = starts.why_not_payable(quote, row.collection_method, has_method=has_method)
    found = StartPreview(snapshot, quote, refusal, _fingerprint(quote, row, code), not has_method, row.cancel_at)
    return _Loaded(found, row, code)


def _row(customer: Customer, subscription_id: str, request: StartRequest, at: int) -> Subscription:
    """The subscription, which is in no session yet."""
    days = starts.days_until_due(request.collection_method, request.days_until_due)
    return Subscription(
        id=subscription_id, account_id=customer.account_id, customer_id=customer.id, livemode=customer.livemode,
        created=at, start_date=at, billing_cycle_anchor=at, status=SubscriptionStatus.ACTIVE, billing_mode="flexible",
        collection_method=request.collection_method, days_until_due=days, cancel_at_period_end=False,
        cancellation_details={}, automatic_tax=False, billed_elsewhere=False, billing_failures=0,
    )  # fmt: skip


def _set_trial(row: Subscription, trial: WantedTrial, end: int | None, at: int) -> int | None:
    """Let the subscription begin with a trial that ends at `end`, if that is set. Returns its end without a payment method."""
    if end is None:
        return None
    row.status, row.trial_start, row.trial_end, row.billing_cycle_anchor = SubscriptionStatus.TRIALING, at, end, end
    if row.collection_method == "charge_automatically":  # otherwise nothing is charged to a payment method
        row.trial_settings = {"end_behavior": {"missing_payment_method": trial.missing_payment_method}}
    return cancellation.end_without_method(row.status, row.collection_method, end, row.trial_settings)


def _has_method(reader: Reader, customer: Customer) -> bool:
    attached = PaymentMethod.customer_id == customer.id, PaymentMethod.detached_at.is_(None)
    chosen = select(PaymentMethod.id).where(PaymentMethod.id == customer.default_payment_method_id, *attached)
    return reader.execute(chosen).first() is not None


def _tax_rates(reader: Reader, customer: Customer, ids: Sequence[str]) -> list[JsonObject]:
    """Copies of the tax rates with these ids, in the order of their names."""
    wanted = {name.replace("\0", "") for name in ids}
    query = select(
        CatalogTaxRate.id, CatalogTaxRate.display_name, CatalogTaxRate.percentage, CatalogTaxRate.inclusive
    ).where(
        CatalogTaxRate.account_id == customer.account_id, CatalogTaxRate.livemode == customer.livemode,
        CatalogTaxRate.id.in_(sorted(wanted)), CatalogTaxRate.active,
    )  # fmt: skip
    found = reader.execute(query.order_by(CatalogTaxRate.display_name, CatalogTaxRate.id)).all() if wanted else ()
    if len(found) != len(wanted):
        raise BillingError(N_("Choose active tax rates."), "resource_missing", "default_tax_rates")
    if len(found) > MOST_TAX_RATES:
        message = N_("Choose at most %(most)s tax rates.")
        raise BillingError(message, "", "default_tax_rates", most=MOST_TAX_RATES)
    return [
        {"id": row.id, "display_name": row.display_name, "percentage": row.percentage, "inclusive": row.inclusive}
        for row in found
    ]


def _code(reader: Reader, customer: Customer, request: StartRequest) -> CodeTerms | None:
    if request.code and request.coupon_id:
        message = N_("Choose either a promotion code or a coupon.")
        raise BillingError(message, "parameters_exclusive", "promotion_code")
    if request.code:
        code_id = promotion_codes.find_for_customer(reader, customer, request.code)
        return promotion_codes.load(reader, customer.account_id, code_id)
    if not request.coupon_id:
        return None
    coupon_id = request.coupon_id.replace("\0", "")
    mine = Coupon.account_id == customer.account_id, Coupon.livemode == customer.livemode, Coupon.id == coupon_id
    if reader.execute(select(Coupon.id).where(*mine)).first() is None:
        raise BillingError(N_("There is no such coupon."), "resource_missing", "coupon")
    return promotion_codes.load_coupon(reader, customer.account_id, coupon_id)


def _new_discount(
    reader: Reader, customer: Customer, snapshot: SubscriptionSnapshot, code: CodeTerms, at: int
) -> NewDiscount:
    """The discount of a code or a coupon. Raises BillingError if it cannot be redeemed, or takes nothing off any invoice."""
    param = "promotion_code" if code.id else "coupon"
    specs = [item.spec for item in snapshot.items]
    redeemer = promotion_codes.redeemer(
        reader, customer.id, code, snapshot.currency, specs, given_again=code.id is None
    )
    refusal = code_rules.why_not_redeemable(code, redeemer, at)
    if refusal is not None:
        raise BillingError(refusal.message, refusal.code, param)
    # The id is fixed before the discount exists, because the quote's lines refer to it, and quote and charge must agree.
    suffix = hashlib.sha256(f"{code.id or code.coupon_id}:{snapshot.id}".encode()).hexdigest()[:24]
    terms = DiscountTerms(f"di_{suffix}", code.coupon, code.duration, end=code.end(at), subscription_id=snapshot.id)
    discount = NewDiscount(terms)
    if not starts.saves(snapshot, at, discount):
        raise BillingError(NO_SAVING, "promotion_code_invalid", param)
    return discount


def _fingerprint(quote: Quote, row: Subscription, code: CodeTerms | None) -> str:
    """A fingerprint of the quote and of what is confirmed with it that has no part in its amounts."""
    terms = [row.collection_method, row.days_until_due, row.trial_end, row.cancel_at, row.trial_settings]
    rates = [rate["id"] for rate in row.default_tax_rates]
    return hash_terms([quote_fingerprint(quote), terms, rates, code and (code.id or code.coupon_id)])
