"""A small export with every object type that the import supports, each with all of its members."""

import json
from collections.abc import Sequence
from typing import Any

NOW = 1_790_000_000
DAY = 86_400
ADDRESS = {
    "line1": "1 rue Neuve",
    "line2": None,
    "city": "Lyon",
    "state": None,
    "postal_code": "69001",
    "country": "FR",
}
MODED = {"created": NOW, "livemode": False}
CUSTOMER = {
    "id": "cus_one", "object": "customer", "email": "one@acme.example", "name": "One", "phone": "+33612345678",
    "description": "first", "address": ADDRESS, "shipping": {"name": "One", "phone": "+33612345678", "address": ADDRESS},
    "balance": -300, "currency": "eur", "delinquent": False, "invoice_prefix": "ONE", "next_invoice_sequence": 2,
    "preferred_locales": ["fr"], "tax_exempt": "none", "metadata": {"crm": "7"},
    "invoice_settings": {"default_payment_method": "pm_one"},
    "discount": {"id": "di_whole", "object": "discount", "start": NOW, "end": None, "source": {"coupon": "TEN"}},
    **MODED,
}  # fmt: skip
PRODUCT = {"id": "prod_one", "object": "product", "name": "Team", "active": True, "unit_label": "seat", **MODED}
RECURRING = {"interval": "month", "interval_count": 1, "usage_type": "licensed", "trial_period_days": None}
PRICE = {
    "id": "price_one", "object": "price", "product": "prod_one", "currency": "eur", "active": True, "type": "recurring",
    "billing_scheme": "per_unit", "unit_amount": 1200, "unit_amount_decimal": "1200", "recurring": RECURRING,
    "tax_behavior": "exclusive", "tiers_mode": None, "tiers": None, "nickname": None, "lookup_key": "team",
    "transform_quantity": {"divide_by": 5, "round": "up"}, "metadata": {}, **MODED,
}  # fmt: skip
TIER = {"unit_amount": 900, "unit_amount_decimal": "900", "flat_amount": 0, "flat_amount_decimal": "0"}
TIERED = {
    **PRICE, "id": "price_tiers", "billing_scheme": "tiered", "unit_amount": None, "unit_amount_decimal": None,
    "tiers_mode": "graduated", "tiers": [{**TIER, "up_to": 10}, {**TIER, "up_to": None}], "transform_quantity": None,
}  # fmt: skip
COUPON = {
    "id": "TEN", "object": "coupon", "name": "Ten off", "percent_off": 10.0, "amount_off": None, "currency": None,
    "duration": "repeating", "duration_in_months": 3, "valid": True, "times_redeemed": 1,
    "applies_to": {"products": ["prod_one"]}, **MODED,
}  # fmt: skip
CODE = {
    "id": "promo_one", "object": "promotion_code", "code": "Été10", "active": True, "customer": None, "expires_at": None,
    "promotion": {"type": "coupon", "coupon": "TEN"}, "max_redemptions": 5, "times_redeemed": 1,
    "restrictions": {"first_time_transaction": True, "minimum_amount": 500, "minimum_amount_currency": "eur"}, **MODED,
}  # fmt: skip
TAX_ID = {
    "id": "txi_one", "object": "tax_id", "customer": "cus_one", "type": "eu_vat", "value": "FR40303265045", "country": "FR",
    "verification": {"status": "verified", "verified_name": "ONE", "verified_address": "LYON"}, **MODED,
}  # fmt: skip
CARD = {
    "brand": "visa", "last4": "4242", "exp_month": 11, "exp_year": 2030, "funding": "credit", "country": "FR",
    "fingerprint": "abc",
}  # fmt: skip
METHOD = {"id": "pm_one", "object": "payment_method", "customer": "cus_one", "type": "card", "card": CARD, **MODED}
RATE = {"id": "txr_one", "object": "tax_rate", "display_name": "TVA", "percentage": 20.0, "inclusive": False}
ITEM = {
    "id": "si_one", "object": "subscription_item", "price": PRICE, "quantity": 7, "created": NOW, "tax_rates": [RATE],
    "current_period_start": NOW - 5 * DAY, "current_period_end": NOW + 25 * DAY, "metadata": {},
}  # fmt: skip
SUBSCRIPTION = {
    "id": "sub_one", "object": "subscription", "customer": "cus_one", "status": "active", "currency": "eur",
    "description": "Our plan", "collection_method": "charge_automatically", "days_until_due": None, "start_date": NOW - 5 * DAY,
    "billing_cycle_anchor": NOW - 5 * DAY, "billing_mode": {"type": "flexible"}, "trial_start": None, "trial_end": None,
    "cancel_at": None, "cancel_at_period_end": False, "canceled_at": None, "ended_at": None, "pending_update": None,
    "cancellation_details": {"comment": None, "feedback": None, "reason": None}, "pause_collection": None,
    "status_details": {"paused": None}, "default_payment_method": "pm_one", "latest_invoice": "in_one",
    "items": {"object": "list", "data": [ITEM, {**ITEM, "id": "si_tiers", "price": TIERED}]},
    "discounts": [{"id": "di_own", "start": NOW, "end": NOW + 90 * DAY, "source": {"coupon": COUPON}, "promotion_code": CODE}],
    "default_tax_rates": [RATE], "metadata": {}, **MODED,
}  # fmt: skip
SCHEDULE = {
    "id": "sub_sched_one", "object": "subscription_schedule", "customer": "cus_one", "subscription": "sub_one",
    "status": "active", "end_behavior": "release",
    "phases": [
        {"start_date": NOW - 5 * DAY, "end_date": NOW + 25 * DAY, "items": [{"price": "price_one", "quantity": 7}]},
        {"start_date": NOW + 25 * DAY, "end_date": NOW + 55 * DAY, "items": [{"price": "price_tiers", "quantity": 3}]},
    ], **MODED,
}  # fmt: skip
TAX = {
    "amount": 84, "tax_behavior": "exclusive", "taxable_amount": 420, "tax_rate_details": {"tax_rate": "txr_one"},
    "type": "tax_rate_details", "taxability_reason": "standard_rated",
}  # fmt: skip
DETAILS = {
    "subscription": "sub_one", "subscription_item": "si_one", "proration": True,
    "proration_details": {"credited_items": {"invoice": "in_old", "invoice_line_items": ["il_old"]}},
}  # fmt: skip
LINE = {
    "id": "il_one", "object": "line_item", "amount": 520, "currency": "eur", "description": "Team", "discountable": True,
    "discount_amounts": [{"amount": 100, "discount": "di_own"}], "taxes": [TAX], "quantity": 7,
    "period": {"start": NOW - 5 * DAY, "end": NOW + 25 * DAY},
    "pricing": {"price_details": {"price": "price_one", "product": "prod_one"}, "unit_amount_decimal": "74.28"},
    "parent": {"subscription_item_details": DETAILS, "invoice_item_details": None, "type": "subscription_item_details"},
}  # fmt: skip
INVOICE = {
    "id": "in_one", "object": "invoice", "customer": "cus_one", "number": "ONE-0001", "status": "open", "currency": "eur",
    "billing_reason": "subscription_cycle", "collection_method": "charge_automatically", "description": "Thanks", "footer": "Bye",
    "period_start": NOW - 5 * DAY, "period_end": NOW, "due_date": NOW + DAY, "subtotal": 520, "total": 504,
    "total_excluding_tax": 420, "amount_due": 504, "amount_paid": 0, "amount_remaining": 504, "starting_balance": 0,
    "ending_balance": 0, "total_discount_amounts": [{"amount": 100, "discount": "di_own"}], "total_taxes": [TAX],
    "attempt_count": 1, "next_payment_attempt": NOW + DAY,
    "status_transitions": {"finalized_at": NOW, "paid_at": None, "voided_at": None, "marked_uncollectible_at": None},
    "account_name": "Acme", "customer_name": "One", "customer_email": "one@acme.example", "customer_phone": None,
    "customer_address": ADDRESS, "customer_shipping": None, "customer_tax_ids": [{"type": "eu_vat", "value": "FR40303265045"}],
    "on_behalf_of": None, "parent": {"subscription_details": {"subscription": "sub_one"}},
    "lines": {"object": "list", "data": [LINE]}, "metadata": {}, **MODED,
}  # fmt: skip
FEATURES = {
    "customer_update": {"enabled": True, "allowed_updates": ["name", "address", "shipping", "tax_id"]},
    "invoice_history": {"enabled": True},
    "payment_method_update": {"enabled": True, "payment_method_configuration": None},
    "subscription_cancel": {
        "enabled": True, "mode": "immediately", "proration_behavior": "create_prorations",
        "cancellation_reason": {"enabled": True, "options": ["unused", "other"]},
    },
    "subscription_pause": {
        "enabled": True,
        "duration": {"type": "interval_options", "interval_options": [{"interval": "month", "interval_count": 2}]},
    },
    "subscription_update": {
        "enabled": True, "default_allowed_updates": ["price", "quantity"], "proration_behavior": "always_invoice",
        "billing_cycle_anchor": None, "trial_update_behavior": "end_trial",
        "schedule_at_period_end": {"conditions": [{"type": "decreasing_item_amount"}]},
        "products": [
            {
                "product": "prod_one", "prices": ["price_one", "price_tiers"],
                "adjustable_quantity": {"enabled": True, "minimum": 1, "maximum": None},
            }
        ],
    },
}  # fmt: skip
CONFIGURATION = {
    "id": "bpc_one", "object": "billing_portal.configuration", "active": True, "is_default": True, "name": "Main",
    "business_profile": {"headline": "Hello", "privacy_policy_url": "https://acme.example/privacy",
                         "terms_of_service_url": "https://acme.example/terms"},
    "default_return_url": "https://acme.example/", "features": FEATURES, "login_page": {"enabled": False, "url": None},
    "metadata": {}, "updated": NOW, **MODED,
}  # fmt: skip
ACCOUNT = {
    "id": "acct_one", "object": "account", "country": "FR", "default_currency": "eur", "created": NOW,
    "business_profile": {"name": "Acme", "support_email": "help@acme.example", "support_phone": "+33123456789",
                         "support_url": "https://acme.example/help"},
}  # fmt: skip
EXPORT: dict[str, list[dict[str, Any]]] = {
    "account": [ACCOUNT], "product": [PRODUCT], "price": [PRICE, TIERED], "coupon": [COUPON], "promotion_code": [CODE],
    "customer": [CUSTOMER], "tax_id": [TAX_ID], "payment_method": [METHOD], "subscription": [SUBSCRIPTION],
    "subscription_schedule": [SCHEDULE], "invoice": [INVOICE], "billing_portal.configuration": [CONFIGURATION],
}  # fmt: skip

GONE = object()  # in place of a value: without the member
Place = tuple[str | int, ...]


def changed(changes: Sequence[tuple[Place, Any]]) -> dict[str, Any]:
    """The export with other values at some places; a place that an earlier change took away is left."""
    document: dict[str, Any] = json.loads(json.dumps(EXPORT))
    for path, value in changes:
        inner: Any = document
        try:
            for key in path[:-1]:
                inner = inner[key]
            if value is GONE:
                del inner[path[-1]]
            else:
                inner[path[-1]] = value
        except (LookupError, TypeError):
            pass  # an earlier change took the place away
    return document
