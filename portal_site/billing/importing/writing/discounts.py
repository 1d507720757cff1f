"""Completes rows with what other objects say: the words of a promotion code, whether a price is metered, a payment method."""

from collections.abc import Sequence

from sqlalchemy import select

from portal_site.billing.importing.known import BATCH, Known
from portal_site.billing.importing.objects import ImportedObject, Row
from portal_site.billing.importing.schemas.billing_schemas import SubscriptionShape
from portal_site.billing.loading.plans import Reader
from portal_site.billing.models import (
    Customer,
    Discount,
    InvoiceLineItem,
    Price,
    Product,
    PromotionCode,
    SchedulePhaseItem,
    SubscriptionItem,
)
from portal_site.billing.rules.subscriptions import cancellation


def complete(reader: Reader, objects: Sequence[ImportedObject], known: Known) -> None:
    """Complete the rows of these objects."""
    for one in objects:
        if isinstance(one.shape, SubscriptionShape) and one.shape.default_payment_method is None:
            _end_with_trial(one.rows[0], known)
    rows = [row for one in objects for row in one.rows]
    _copy_codes(reader, [row for row in rows if row.model is Discount], known)
    for row in rows:
        if row.model in (SubscriptionItem, SchedulePhaseItem):
            _set_missing_quantity(row, known)
        elif row.model is InvoiceLineItem:
            _name_product(row, known)


def _copy_codes(reader: Reader, rows: Sequence[Row], known: Known) -> None:
    """Store the text of the promotion code, which customers see, on each discount.

    If the code does not exist, the discount keeps neither text nor id and is shown under its coupon's name. A customer can
    redeem a code only once here, but repeatedly in Stripe, so only a customer's first discount keeps the code's id.
    """
    customers = sorted({row.customer_id for row in rows if row.promotion_code_id is not None})
    redeemed: dict[tuple[str, str | None], str] = {}
    for start in range(0, len(customers), BATCH):
        query = select(Discount.customer_id, Discount.promotion_code_id, Discount.id).where(
            Discount.customer_id.in_(customers[start : start + BATCH]), Discount.promotion_code_id.is_not(None)
        )
        redeemed |= {(row[0], row[1]): row[2] for row in reader.execute(query)}
    for row in rows:
        code_id = row.promotion_code_id
        if code_id is None:
            continue
        code = known.get(PromotionCode, code_id)
        row.values["promotion_code"] = code.terms["code"] if code else None
        if code is None or redeemed.setdefault((row.customer_id, code_id), row.id) != row.id:
            row.values["promotion_code_id"] = None


def _end_with_trial(row: Row, known: Known) -> None:
    """Let a subscription end with its trial if it says so and nobody has named a payment method, even one that is not here."""
    end = cancellation.end_without_method(row.status, row.collection_method, row.trial_end, row.trial_settings)
    customer = known.get(Customer, row.customer_id)
    if end is not None and customer is not None and customer.terms["default_payment_method_id"] is None:
        row.values["cancel_at"] = min(end, row.cancel_at or end)


def _set_missing_quantity(row: Row, known: Known) -> None:
    """Set the quantity of an item without one to 1, except for metered prices."""
    price = known.get(Price, row.price_id)
    if row.quantity is None and price is not None and price.terms["usage_type"] != "metered":
        row.values["quantity"] = 1


def _name_product(row: Row, known: Known) -> None:
    """Let a line without words be called like its product."""
    if row.description or row.product_name:
        return
    product_id = row.product_id
    if product_id is None and row.price_id and (price := known.get(Price, row.price_id)):
        product_id = price.terms["product_id"]
    product = known.get(Product, product_id) if product_id else None
    if product is not None:
        row.values["product_name"] = product.terms["name"]
