"""Accounts, as far as a merchant's settings are in Stripe's object, and their custom domains, of which Stripe's API has none."""

from typing import Any

from portal_site.billing.models import Account, CustomDomain
from portal_site.billing.models.columns import values
from portal_site.db.json_columns import JsonObject


def account(row: Account) -> JsonObject:
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


def custom_domain(row: CustomDomain) -> JsonObject:
    """The domain of an account, for the log: its host, and whether it works."""
    return {"object": "custom_domain", "id": row.host, "works": row.works}


def gateway(row: Any, name: str) -> JsonObject:
    """An account's connection to a payment provider, for the log: nothing that is secret."""
    return {"object": "gateway", "id": row.stripe_account, "name": name, "key": row.redacted, "livemode": row.livemode}
