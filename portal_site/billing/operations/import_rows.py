"""From the shapes of an export to our rows; which of them are stored is decided by `imports`."""

from collections.abc import Callable, Iterator
from typing import Any

from portal_site.billing.models import (
    Coupon,
    Customer,
    Discount,
    Invoice,
    InvoiceLineItem,
    PaymentMethod,
    Price,
    Product,
    Subscription,
    SubscriptionItem,
    TaxId,
)
from portal_site.billing.operations import import_shapes as shapes
from portal_site.db import Base

COMMON = ("id", "created", "livemode")


def _copy(shape: Any, *names: str) -> dict[str, Any]:
    return {name: getattr(shape, name) for name in names}


def _rates(rates: list[shapes.TaxRateShape] | None) -> list[dict[str, Any]]:
    return [rate.model_dump(mode="json") for rate in rates or ()]


def products(shape: shapes.ProductShape, account: str) -> Iterator[Base]:
    names = ("name", "active", "description", "unit_label")
    yield Product(account_id=account, metadata_=shape.metadata, **_copy(shape, *COMMON, *names))


def prices(shape: shapes.PriceShape, account: str) -> Iterator[Base]:
    names = ("currency", "active", "nickname", "lookup_key", "type", "billing_scheme", "unit_amount")
    more = ("unit_amount_decimal", "tax_behavior", "tiers_mode", "tiers", "transform_quantity")
    recurring = shape.recurring
    yield Price(
        account_id=account,
        product_id=shape.product,
        interval=recurring.interval if recurring else None,
        interval_count=recurring.interval_count if recurring else None,
        usage_type=recurring.usage_type if recurring else "licensed",
        trial_period_days=recurring.trial_period_days if recurring else None,
        metadata_=shape.metadata,
        **_copy(shape, *COMMON, *names, *more),
    )


def coupons(shape: shapes.CouponShape, account: str) -> Iterator[Base]:
    names = ("name", "amount_off", "currency", "duration", "duration_in_months", "redeem_by", "max_redemptions")
    yield Coupon(
        account_id=account,
        percent_off=None if shape.percent_off is None else format(shape.percent_off, "g"),
        applies_to_products=(shape.applies_to or {}).get("products"),
        metadata_=shape.metadata,
        **_copy(shape, *COMMON, *names, "times_redeemed", "valid"),
    )


def customers(shape: shapes.CustomerShape, account: str) -> Iterator[Base]:
    names = ("name", "email", "phone", "description", "address", "shipping", "balance", "currency", "invoice_prefix")
    yield Customer(
        account_id=account,
        default_payment_method_id=shape.invoice_settings.default_payment_method,
        delinquent=bool(shape.delinquent),
        next_invoice_sequence=shape.next_invoice_sequence or 1,
        preferred_locales=shape.preferred_locales or [],
        tax_exempt=shape.tax_exempt or "none",
        metadata_=shape.metadata,
        **_copy(shape, *COMMON, *names),
    )


def tax_ids(shape: shapes.TaxIdShape, account: str) -> Iterator[Base]:
    verification = shape.verification or {}
    yield TaxId(
        account_id=account,
        customer_id=shape.customer,
        verification_status=verification.get("status") or "unavailable",
        verified_name=verification.get("verified_name"),
        verified_address=verification.get("verified_address"),
        **_copy(shape, *COMMON, "type", "value", "country"),
    )


def payment_methods(shape: shapes.PaymentMethodShape, account: str) -> Iterator[Base]:
    if shape.customer is None:
        return  # attached to nobody: there is no customer who could see it
    details = shape.card or shape.sepa_debit or shape.us_bank_account or {}
    yield PaymentMethod(
        account_id=account,
        customer_id=shape.customer,
        type=shape.type,
        brand=details.get("brand"),
        last4=str(details.get("last4") or "")[:4],
        exp_month=details.get("exp_month"),
        exp_year=details.get("exp_year"),
        funding=details.get("funding"),
        country=details.get("country"),
        fingerprint=details.get("fingerprint"),
        gateway_reference=None,
        **_copy(shape, *COMMON),
    )


def subscriptions(shape: shapes.SubscriptionShape, account: str) -> Iterator[Base]:
    names = ("status", "currency", "description", "collection_method", "days_until_due", "start_date", "on_behalf_of")
    times = ("billing_cycle_anchor", "trial_start", "trial_end", "cancel_at", "cancel_at_period_end", "canceled_at")
    details = ("ended_at", "pause_collection", "status_details", "pending_update")
    yield Subscription(
        account_id=account,
        customer_id=shape.customer,
        default_payment_method_id=shape.default_payment_method,
        latest_invoice_id=shape.latest_invoice,
        billing_mode=(shape.billing_mode or {}).get("type") or "classic",
        cancellation_details=shape.cancellation_details or {},
        default_tax_rates=_rates(shape.default_tax_rates),
        metadata_=shape.metadata,
        **_copy(shape, *COMMON, *names, *times, *details),
    )
    for item in shape.items:
        yield SubscriptionItem(
            account_id=account,
            subscription_id=shape.id,
            price_id=item.price,
            # Versions before 2025-03-31 keep the period on the subscription.
            current_period_start=item.current_period_start or shape.current_period_start or shape.start_date,
            current_period_end=item.current_period_end or shape.current_period_end or shape.start_date,
            tax_rates=_rates(item.tax_rates),
            metadata_=item.metadata,
            **_copy(item, "id", "created", "quantity"),
        )
    for discount in shape.discounts:
        yield Discount(
            account_id=account,
            customer_id=shape.customer,
            subscription_id=shape.id,
            coupon_id=discount.coupon_id,
            promotion_code=discount.promotion_code,
            **_copy(discount, "id", "start", "end"),
        )


def invoices(shape: shapes.InvoiceShape, account: str) -> Iterator[Base]:
    names = ("number", "status", "currency", "billing_reason", "collection_method", "description", "footer")
    amounts = ("subtotal", "total", "total_excluding_tax", "amount_due", "amount_paid", "amount_remaining")
    times = ("period_start", "period_end", "due_date", "next_payment_attempt", "attempt_count", "on_behalf_of")
    snapshot = ("account_name", "customer_name", "customer_email", "customer_phone", "customer_address")
    transitions = ("finalized_at", "paid_at", "voided_at", "marked_uncollectible_at")
    yield Invoice(
        account_id=account,
        customer_id=shape.customer,
        subscription_id=shape.subscription_id,
        total_discount_amounts=shape.total_discount_amounts or [],
        total_taxes=shape.total_taxes or [],
        customer_tax_ids=shape.customer_tax_ids or [],
        metadata_=shape.metadata or {},
        **{name: shape.status_transitions.get(name) for name in transitions},
        **_copy(shape, *COMMON, *names, *amounts, *times, *snapshot),
        **_copy(shape, "customer_shipping", "starting_balance", "ending_balance"),
    )
    for position, line in enumerate(shape.lines):
        yield _line(line, position, shape, account)


def _line(line: shapes.LineShape, position: int, invoice: shapes.InvoiceShape, account: str) -> InvoiceLineItem:
    pricing, details = line.pricing or {}, line.details()
    price = pricing.get("price_details") or {}
    return InvoiceLineItem(
        account_id=account,
        customer_id=invoice.customer,
        invoice_id=invoice.id,
        position=position,
        total=line.total,
        credited_line_id=line.credited_line_id,
        unit_amount_decimal=pricing.get("unit_amount_decimal"),
        period_start=line.period.start,
        period_end=line.period.end,
        proration=bool(details.get("proration", line.proration)),
        price_id=price.get("price"),
        product_id=price.get("product"),
        subscription_id=details.get("subscription"),
        subscription_item_id=details.get("subscription_item"),
        discount_amounts=line.discount_amounts or [],
        taxes=line.taxes or [],
        **_copy(line, "id", "amount", "currency", "description", "quantity", "discountable"),
    )


MAKERS: dict[str, Callable[[Any, str], Iterator[Base]]] = {
    "product": products,
    "price": prices,
    "coupon": coupons,
    "customer": customers,
    "tax_id": tax_ids,
    "payment_method": payment_methods,
    "subscription": subscriptions,
    "invoice": invoices,
}
# Which column of which row refers to what.
REFERENCES: dict[type[Base], tuple[tuple[str, str, type[Base]], ...]] = {
    Price: (("product_id", "product", Product),),
    Customer: (("default_payment_method_id", "payment method", PaymentMethod),),
    TaxId: (("customer_id", "customer", Customer),),
    PaymentMethod: (("customer_id", "customer", Customer),),
    Subscription: (
        ("customer_id", "customer", Customer),
        ("default_payment_method_id", "payment method", PaymentMethod),
        ("latest_invoice_id", "invoice", Invoice),
    ),
    SubscriptionItem: (("price_id", "price", Price),),
    Discount: (("coupon_id", "coupon", Coupon),),
    Invoice: (("customer_id", "customer", Customer), ("subscription_id", "subscription", Subscription)),
}


def references(row: Base) -> Iterator[tuple[str, Any, str]]:
    """What a row refers to, as (the word for it, its kind, its id)."""
    for column, word, target in REFERENCES.get(type(row), ()):
        wanted = getattr(row, column)
        if wanted is not None:
            yield word, target, wanted


def name(row: Base) -> str:
    """A row as a sentence names it: `customer cus_…`."""
    kind = row.__tablename__.removesuffix("s").replace("_", " ")
    return f"{kind} {row.id}"
