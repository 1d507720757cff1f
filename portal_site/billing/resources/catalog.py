"""Prices, coupons and promotion codes."""

from typing import Any

from portal_site.billing.models.columns import values
from portal_site.db.json_columns import JsonObject

_PRICE = (
    "id", "active", "billing_scheme", "created", "currency", "livemode", "lookup_key", "nickname", "tax_behavior", "tiers_mode",
    "transform_quantity", "type", "unit_amount",
)  # fmt: skip
_COUPON = (
    "id", "amount_off", "created", "currency", "duration", "duration_in_months", "livemode", "max_redemptions", "name",
    "redeem_by", "times_redeemed", "valid",
)  # fmt: skip
_CODE = ("id", "active", "code", "created", "expires_at", "livemode", "max_redemptions", "times_redeemed")


def price(row: Any) -> JsonObject:
    """A `price` without its tiers, with the id of its product, from its row or the row's columns."""
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
    }


def coupon(row: Any) -> JsonObject:
    """A `coupon`, from its row or the row's columns; `amount_off` is in minor units."""
    percent = None if row.percent_off is None else float(row.percent_off)
    return {"object": "coupon", **values(row, *_COUPON), "metadata": row.metadata_, "percent_off": percent}


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
