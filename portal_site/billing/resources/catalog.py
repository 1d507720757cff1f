"""Products, prices, coupons, promotion codes and tax rates."""

from typing import Any

from portal_site.billing.models.columns import values
from portal_site.db.json_columns import JsonObject

_PRODUCT = ("id", "active", "created", "description", "livemode", "marketing_features", "name", "unit_label")
_PRICE = (
    "id", "active", "billing_scheme", "created", "currency", "livemode", "lookup_key", "nickname", "tax_behavior", "tiers_mode",
    "transform_quantity", "type", "unit_amount",
)  # fmt: skip
_COUPON = (
    "id", "amount_off", "created", "currency", "duration", "duration_in_months", "livemode", "max_redemptions", "name",
    "redeem_by", "times_redeemed", "valid",
)  # fmt: skip
_CODE = ("id", "active", "code", "created", "expires_at", "livemode", "max_redemptions", "times_redeemed")
_TAX_RATE = (
    "id", "active", "country", "created", "description", "display_name", "inclusive", "jurisdiction", "livemode", "state",
)  # fmt: skip


def product(row: Any) -> JsonObject:
    """A `product`, from its row or the row's columns."""
    return {
        "object": "product",
        **values(row, *_PRODUCT),
        "default_price": None,
        "images": [],
        "metadata": row.metadata_,
        "package_dimensions": None,
        "shippable": None,
        "statement_descriptor": None,
        "tax_code": None,
        "type": "service",
        "updated": row.created if row.updated is None else row.updated,
        "url": None,
    }


def price(row: Any, *, with_tiers: bool = False) -> JsonObject:
    """A `price` with the id of its product, from its row or the row's columns; an export needs its tiers as well."""
    amount = None if row.unit_amount is None else str(row.unit_amount)
    recurring = values(row, "interval", "interval_count", "trial_period_days", "usage_type") | {"meter": None}
    return {
        "object": "price",
        **values(row, *_PRICE),
        "custom_unit_amount": None,
        "metadata": row.metadata_,
        "product": row.product_id,
        "recurring": recurring if row.type == "recurring" else None,
        "unit_amount_decimal": row.unit_amount_decimal or amount,
        **({"tiers": row.tiers} if with_tiers and row.tiers else {}),
    }


def coupon(row: Any, *, with_products: bool = False) -> JsonObject:
    """A `coupon`, from its row or the row's columns; `amount_off` is in minor units. An export needs its products as well."""
    percent = None if row.percent_off is None else float(row.percent_off)
    limited = with_products and row.applies_to_products
    return {
        "object": "coupon",
        **values(row, *_COUPON),
        "metadata": row.metadata_,
        "percent_off": percent,
        **({"applies_to": {"products": row.applies_to_products}} if limited else {}),
    }


def promotion_code(row: Any) -> JsonObject:
    """A `promotion_code` with the id of its coupon, from its row or the row's columns."""
    restrictions = values(row, "first_time_transaction", "minimum_amount", "minimum_amount_currency")
    return {
        "object": "promotion_code",
        **values(row, *_CODE),
        "customer": row.customer_id,
        "metadata": row.metadata_,
        "promotion": {"type": "coupon", "coupon": row.coupon_id},
        "restrictions": restrictions,
    }


def tax_rate(row: Any) -> JsonObject:
    """A `tax_rate`, from its row or the row's columns."""
    return {
        "object": "tax_rate",
        **values(row, *_TAX_RATE),
        "effective_percentage": None,
        "flat_amount": None,
        "jurisdiction_level": None,
        "metadata": row.metadata_,
        "percentage": float(row.percentage),
        "rate_type": "percentage",
        "tax_type": None,
    }
