"""Accounts, as far as a merchant's settings are in Stripe's object, and their custom domains, of which Stripe's API has none."""

from typing import Any

from portal_site.billing.models import CustomDomain
from portal_site.billing.models.columns import values
from portal_site.db.json_columns import JsonObject


def account(row: Any) -> JsonObject:
    """An `account`. Whether it has a page for cancellations is no member of Stripe's."""
    branding = row.branding or {}
    return {
        "object": "account",
        **values(row, "id", "created", "country", "default_currency"),
        "business_profile": {
            "name": row.business_name,
            **values(row, "support_email", "support_phone", "support_url"),
            "support_address": row.address,
        },
        "cancellation_page": {"enabled": row.cancellation_page_id is not None},
        "settings": {
            "branding": {
                "icon": row.icon_id,
                "logo": row.logo_id,
                "primary_color": branding.get("button"),
                "secondary_color": branding.get("background"),
            },
            "dashboard": {"display_name": row.business_name, "timezone": row.timezone},
        },
    }


def own(row: Any) -> JsonObject:
    """The `account` of a program's key, with what such programs ask it for: here it can always charge."""
    shown = account(row)
    del shown["cancellation_page"]
    wanted = dict.fromkeys(("statement_descriptor", "statement_descriptor_kana", "statement_descriptor_kanji"))
    prefixes = ("statement_descriptor_prefix", "statement_descriptor_prefix_kana", "statement_descriptor_prefix_kanji")
    business = {"mcc": None, "product_description": None, "url": None}
    requirements: JsonObject = {
        name: [] for name in ("currently_due", "errors", "eventually_due", "past_due", "pending_verification")
    }
    requirements |= dict.fromkeys(("alternatives", "current_deadline", "disabled_reason"))
    return {
        **shown,
        "business_profile": {**business, **shown["business_profile"]},
        "business_type": None,
        "capabilities": {"card_payments": "active", "sepa_debit_payments": "active", "transfers": "active"},
        "charges_enabled": True,
        "country": row.country or "US",
        "default_currency": row.default_currency or "usd",
        "details_submitted": True,
        "email": row.support_email,
        "external_accounts": {
            "object": "list",
            "data": [],
            "has_more": False,
            "url": f"/v1/accounts/{row.id}/external_accounts",
        },
        "metadata": {},
        "payouts_enabled": True,
        "requirements": requirements,
        "settings": {
            **shown["settings"],
            "card_payments": {"decline_on": {"avs_failure": False, "cvc_failure": False}, **dict.fromkeys(prefixes)},
            "payments": wanted,
        },
        "type": "standard",
    }


def custom_domain(row: CustomDomain) -> JsonObject:
    """The domain of an account, for the log: its host, and whether it works."""
    return {"object": "custom_domain", "id": row.host, "works": row.works}


def gateway(row: Any, name: str) -> JsonObject:
    """An account's connection to a payment provider, for the log: nothing that is secret."""
    return {"object": "gateway", "id": row.stripe_account, "name": name, "key": row.redacted, "livemode": row.livemode}
