"""Maps the validated objects of an export to database rows. `importer` decides which of them are stored."""

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any

from portal_site.billing.importing.objects import Row
from portal_site.billing.importing.schemas import billing_schemas as bills
from portal_site.billing.importing.schemas import catalog_schemas as shapes
from portal_site.billing.importing.schemas.feature_schemas import ConfigurationShape
from portal_site.billing.importing.schemas.field_types import Part, Shape
from portal_site.billing.models import (
    CatalogTaxRate,
    Coupon,
    CreditNote,
    CreditNoteLineItem,
    Customer,
    Discount,
    Invoice,
    InvoiceLineItem,
    PaymentMethod,
    PortalConfiguration,
    Price,
    Product,
    PromotionCode,
    SchedulePhase,
    SchedulePhaseItem,
    Subscription,
    SubscriptionItem,
    SubscriptionSchedule,
    TaxId,
)
from portal_site.billing.rules.amounts import promotion_codes as code_rules
from portal_site.db import Base
from portal_site.db.json_columns import JsonObject

PHASE_DISCOUNT = "di_phase_"  # begins the ids of discounts that a schedule's coming phases bring
COMMON = ("id", "created", "livemode")


def _copy(shape: Part, *names: str) -> JsonObject:
    """The members of these names. They are taken from where pydantic has them, in half the time that attributes take."""
    values = shape.__dict__
    return {name: values[name] for name in names}


def _document(part: Part | None) -> JsonObject | None:
    return part.model_dump(mode="json") if part else None


def _row(model: type[Base], **values: Any) -> Row:
    return Row(model, values)


def _documents(parts: Sequence[Part]) -> list[JsonObject]:
    return [part.model_dump(mode="json") for part in parts]


def products(shape: shapes.ProductShape, account: str) -> Iterator[Row]:
    names = ("name", "active", "description", "unit_label", "updated")
    features = _documents(shape.marketing_features)
    own = _copy(shape, *COMMON, *names)
    yield _row(Product, account_id=account, metadata=shape.metadata, marketing_features=features, **own)


def prices(shape: shapes.PriceShape, account: str) -> Iterator[Row]:
    names = ("currency", "active", "nickname", "lookup_key", "type", "billing_scheme", "unit_amount")
    more = ("unit_amount_decimal", "tax_behavior", "tiers_mode")
    recurring = shape.recurring
    yield _row(
        Price,
        account_id=account,
        product_id=shape.product,
        interval=recurring.interval if recurring else None,
        interval_count=recurring.interval_count if recurring else None,
        usage_type=recurring.usage_type if recurring else "licensed",
        trial_period_days=recurring.trial_period_days if recurring else None,
        tiers=_documents(shape.tiers) or None,
        transform_quantity=_document(shape.transform_quantity),
        metadata=shape.metadata,
        **_copy(shape, *COMMON, *names, *more),
    )


def _decimal_text(percentage: float | Decimal) -> str:
    """The percentage with all its decimals, without an exponent: 33.3333333 must not become 33.3333."""
    return format(Decimal(str(percentage)).normalize(), "f")


def coupons(shape: shapes.CouponShape, account: str) -> Iterator[Row]:
    names = ("name", "amount_off", "currency", "duration", "duration_in_months", "redeem_by", "max_redemptions")
    yield _row(
        Coupon,
        account_id=account,
        percent_off=None if shape.percent_off is None else _decimal_text(shape.percent_off),
        applies_to_products=shape.applies_to.products,
        metadata=shape.metadata,
        **_copy(shape, *COMMON, *names, "times_redeemed", "valid"),
    )


def promotion_codes(shape: shapes.PromotionCodeShape, account: str) -> Iterator[Row]:
    names = ("code", "active", "expires_at", "max_redemptions", "times_redeemed")
    limits = ("first_time_transaction", "minimum_amount", "minimum_amount_currency")
    yield _row(
        PromotionCode,
        account_id=account,
        coupon_id=shape.coupon_id,
        code_key=code_rules.normalized(shape.code),
        customer_id=shape.customer,
        metadata=shape.metadata,
        **_copy(shape, *COMMON, *names),
        **_copy(shape.restrictions, *limits),
    )


def tax_rates(shape: shapes.CatalogTaxRateShape, account: str) -> Iterator[Row]:
    names = ("display_name", "inclusive", "active", "description", "country", "state", "jurisdiction")
    percentage = _decimal_text(shape.percentage)
    own = _copy(shape, *COMMON, *names)
    yield _row(CatalogTaxRate, account_id=account, percentage=percentage, metadata=shape.metadata, **own)


def customers(shape: shapes.CustomerShape, account: str) -> Iterator[Row]:
    names = ("name", "email", "phone", "description", "balance", "currency", "invoice_prefix")
    more = ("delinquent", "next_invoice_sequence", "preferred_locales", "tax_exempt")
    yield _row(
        Customer,
        account_id=account,
        address=_document(shape.address),
        shipping=_document(shape.shipping),
        default_payment_method_id=shape.invoice_settings.default_payment_method,
        metadata=shape.metadata,
        **_copy(shape, *COMMON, *names, *more),
    )
    if shape.discount:
        yield _discount(shape.discount, account, shape.id)


def _discount(
    shape: shapes.DiscountShape, account: str, customer: str, subscription: str | None = None, item: str | None = None
) -> Row:
    return _row(
        Discount,
        account_id=account,
        customer_id=customer,
        subscription_id=subscription,
        subscription_item_id=item,
        coupon_id=shape.coupon_id,
        promotion_code_id=shape.promotion_code,
        **_copy(shape, "id", "start", "end"),
    )


def tax_ids(shape: shapes.TaxIdShape, account: str) -> Iterator[Row]:
    if shape.customer is None:
        return  # one of the account itself: see `writing.printed`
    yield _row(
        TaxId,
        account_id=account,
        customer_id=shape.customer,
        verification_status=shape.verification.status,
        **_copy(shape.verification, "verified_name", "verified_address"),
        **_copy(shape, *COMMON, "type", "value", "country"),
    )


def payment_methods(shape: shapes.PaymentMethodShape, account: str) -> Iterator[Row]:
    if shape.customer is None:
        return  # not attached to a customer
    details = shape.card or shape.sepa_debit or shape.us_bank_account or shape.details
    yield _row(
        PaymentMethod,
        account_id=account,
        customer_id=shape.customer,
        type=shape.type,
        gateway_reference=None,
        label=None if details.last4 else details.label,
        **_copy(details, "brand", "last4", "exp_month", "exp_year", "funding", "country", "fingerprint"),
        **_copy(shape, *COMMON),
    )


def subscriptions(shape: bills.SubscriptionShape, account: str) -> Iterator[Row]:
    names = ("status", "currency", "description", "collection_method", "days_until_due", "start_date", "on_behalf_of")
    times = ("billing_cycle_anchor", "trial_start", "trial_end", "cancel_at", "cancel_at_period_end", "canceled_at")
    yield _row(
        Subscription,
        account_id=account,
        customer_id=shape.customer,
        default_payment_method_id=shape.default_payment_method,
        latest_invoice_id=shape.latest_invoice,
        billing_mode=shape.billing_mode.type,
        cancellation_details=_document(shape.cancellation_details) or {},
        pause_collection=_document(shape.pause_collection),
        trial_settings=_document(shape.trial_settings),
        status_details=_document(shape.status_details),
        default_tax_rates=_documents(shape.default_tax_rates),
        automatic_tax=shape.automatic_tax.enabled,
        metadata=shape.metadata,
        **_copy(shape, *COMMON, *names, *times, "ended_at"),
    )
    for item in shape.items:
        yield _row(
            SubscriptionItem,
            account_id=account,
            subscription_id=shape.id,
            price_id=item.price,
            # API versions before 2025-03-31 have the period on the subscription.
            current_period_start=item.current_period_start or shape.current_period_start or shape.start_date,
            current_period_end=item.current_period_end or shape.current_period_end or shape.start_date,
            tax_rates=_documents(item.tax_rates),
            metadata=item.metadata,
            **_copy(item, "id", "created", "quantity"),
        )
        for discount in item.discounts:
            yield _discount(discount, account, shape.customer, shape.id, item.id)
    for discount in shape.discounts:
        yield _discount(discount, account, shape.customer, shape.id)


def schedules(shape: bills.ScheduleShape, account: str) -> Iterator[Row]:
    names = ("status", "end_behavior", "released_at", "canceled_at", "completed_at")
    yield _row(
        SubscriptionSchedule,
        account_id=account,
        customer_id=shape.customer,
        subscription_id=shape.subscription,
        origin="merchant",
        metadata=shape.metadata,
        **_copy(shape, *COMMON, *names),
    )
    # Stripe's phases have no ids. They are derived from the schedule's id here, so that a second import finds the same rows.
    for number, phase in enumerate(shape.phases):
        phase_id = f"phase_{shape.id}_{number:02}"
        columns = ("start_date", "end_date", "proration_behavior")
        yield from _phase_discounts(shape, number, account)
        yield _row(SchedulePhase, id=phase_id, account_id=account, schedule_id=shape.id, **_copy(phase, *columns))
        for position, item in enumerate(phase.items):
            yield _row(
                SchedulePhaseItem,
                id=f"phitem_{shape.id}_{number:02}_{position:02}",
                account_id=account,
                phase_id=phase_id,
                price_id=item.price,
                quantity=item.quantity,
            )


def _phase_discounts(shape: bills.ScheduleShape, number: int, account: str) -> Iterator[Row]:
    """What a coming phase takes off: discounts of its subscription that start and end with it; the last phase's go on."""
    phase = shape.phases[number]
    if shape.subscription is None or phase.start_date <= shape.current_phase.start_date or shape.status != "active":
        return
    is_last = number + 1 == len(shape.phases)
    for position, discount in enumerate(phase.discounts):
        if discount.coupon is not None:
            yield _row(
                Discount,
                id=f"{PHASE_DISCOUNT}{shape.id}_{number:02}_{position:02}",
                account_id=account,
                customer_id=shape.customer,
                subscription_id=shape.subscription,
                coupon_id=discount.coupon,
                start=phase.start_date,
                end=None if is_last else phase.end_date,
            )


def invoices(shape: bills.InvoiceShape, account: str) -> Iterator[Row]:
    names = ("number", "status", "currency", "billing_reason", "collection_method", "description", "footer")
    amounts = ("total", "total_excluding_tax", "amount_due", "amount_paid", "amount_remaining")
    times = ("period_start", "period_end", "due_date", "next_payment_attempt", "attempt_count", "on_behalf_of")
    snapshot = ("account_name", "customer_name", "customer_email", "customer_phone", "customer_tax_exempt")
    transitions = ("finalized_at", "paid_at", "voided_at", "marked_uncollectible_at")
    yield _row(
        Invoice,
        account_id=account,
        customer_id=shape.customer,
        subscription_id=shape.subscription_id,
        subtotal=shape.subtotal_of_lines,
        total_discount_amounts=_documents(shape.total_discount_amounts),
        total_taxes=_documents(shape.total_taxes),
        customer_address=_document(shape.customer_address),
        customer_shipping=_document(shape.customer_shipping),
        customer_tax_ids=_documents([tax_id for tax_id in shape.customer_tax_ids if tax_id.value]),
        metadata=shape.metadata,
        **_copy(shape.status_transitions, *transitions),
        **_copy(shape, *COMMON, *names, *amounts, *times, *snapshot),
        **_copy(shape, "starting_balance", "ending_balance"),
        **_copy(shape, "pre_payment_credit_notes_amount", "post_payment_credit_notes_amount"),
    )
    for position, line in enumerate(shape.lines):
        yield _line(line, position, shape, account)


def _line(line: bills.LineShape, position: int, invoice: bills.InvoiceShape, account: str) -> Row:
    origin, price = line.origin, line.pricing.price_details
    return _row(
        InvoiceLineItem,
        account_id=account,
        customer_id=invoice.customer,
        invoice_id=invoice.id,
        position=position,
        total=line.total,
        credited_line_id=origin.credited_line_id,
        unit_amount_decimal=line.pricing.unit_amount_decimal,
        period_start=line.period.start,
        period_end=line.period.end,
        proration=origin.proration,
        price_id=price.price,
        product_id=price.product,
        subscription_id=origin.subscription,
        subscription_item_id=origin.subscription_item,
        discount_amounts=_documents(line.discount_amounts),
        taxes=_documents(line.taxes),
        **_copy(line, "id", "amount", "currency", "description", "quantity", "discountable"),
    )


def credit_notes(shape: bills.CreditNoteShape, account: str) -> Iterator[Row]:
    """None for a void one, which takes nothing off. What names no line of the invoice is only part of the sums."""
    if shape.status == "void":
        return
    names = ("number", "currency", "amount", "pre_payment_amount", "post_payment_amount", "reason")
    yield _row(
        CreditNote,
        account_id=account,
        customer_id=shape.customer,
        invoice_id=shape.invoice,
        **_copy(shape, *COMMON, *names),
    )
    for line in shape.lines:
        if line.invoice_line_item is not None:
            yield _row(
                CreditNoteLineItem,
                id=line.id,
                account_id=account,
                credit_note_id=shape.id,
                invoice_line_item_id=line.invoice_line_item,
                description=line.description or "",
                amount=line.net,
                total=line.total,
                taxes=_documents(line.taxes),
            )


def configurations(shape: ConfigurationShape, account: str) -> Iterator[Row]:
    yield _row(
        PortalConfiguration,
        account_id=account,
        updated=shape.updated or shape.created,
        login_page_enabled=shape.login_page.enabled,
        features=shape.features.translated(),
        metadata=shape.metadata,
        **_copy(shape.business_profile, "headline", "privacy_policy_url", "terms_of_service_url"),
        **_copy(shape, *COMMON, "active", "is_default", "name", "default_return_url"),
    )


def _no_rows(_shape: Shape, _account: str) -> Iterator[Row]:
    return iter(())


# For each object type of a file: its schema, and the function that yields its rows, the object's own row first. An account
# yields no rows, because the importer creates it, and neither does an invoice item, which needs its subscription's taxes.
KINDS: dict[str, tuple[type[Shape], Callable[[Any, str], Iterator[Row]]]] = {
    "account": (shapes.AccountShape, _no_rows),
    "tax_rate": (shapes.CatalogTaxRateShape, tax_rates),
    "product": (shapes.ProductShape, products),
    "price": (shapes.PriceShape, prices),
    "coupon": (shapes.CouponShape, coupons),
    "promotion_code": (shapes.PromotionCodeShape, promotion_codes),
    "customer": (shapes.CustomerShape, customers),
    "tax_id": (shapes.TaxIdShape, tax_ids),
    "payment_method": (shapes.PaymentMethodShape, payment_methods),
    "subscription": (bills.SubscriptionShape, subscriptions),
    "subscription_schedule": (bills.ScheduleShape, schedules),
    "invoice": (bills.InvoiceShape, invoices),
    "credit_note": (bills.CreditNoteShape, credit_notes),
    "invoiceitem": (bills.InvoiceItemShape, _no_rows),
    "billing_portal.configuration": (ConfigurationShape, configurations),
}
