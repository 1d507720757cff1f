"""Portal sessions and portal configurations."""

from typing import Any

from portal_site.billing.models import PortalSession
from portal_site.billing.models.columns import values
from portal_site.billing.rules.portal.portal_features import Features
from portal_site.db.json_columns import JsonObject


def session(row: PortalSession) -> JsonObject:
    """A `billing_portal.session` without its `url`, which is known only while the session is created."""
    return {
        "object": "billing_portal.session",
        **values(row, "id", "created", "livemode", "locale", "on_behalf_of", "return_url"),
        # Left out where there is none, as Stripe does in versions of before it.
        **({"after_expiration": row.after_expiration} if row.after_expiration else {}),
        "configuration": row.configuration_id,
        "customer": row.customer_id,
        "customer_account": None,
        "flow": row.flow,
    }


def configuration(row: Any, *, with_products: bool, login_url: str | None) -> JsonObject:
    """A `billing_portal.configuration`, from its row or the row's columns; the products are left out unless asked for.

    `login_url` is the URL of its login page, if that is open.
    """
    profile = values(row, "headline", "privacy_policy_url", "terms_of_service_url")
    return {
        "object": "billing_portal.configuration",
        **values(row, "id", "active", "created", "default_return_url", "is_default", "livemode", "name", "updated"),
        "application": None,
        "business_profile": profile,
        "features": _features(Features.of(row.features), with_products=with_products),
        "login_page": {"enabled": row.login_page_enabled, "url": login_url},
        "metadata": row.metadata_,
    }


def _features(features: Features, *, with_products: bool) -> JsonObject:
    updates, ends, pauses = features.subscription_update, features.subscription_cancel, features.subscription_pause
    reasons = ends.cancellation_reason
    shown: JsonObject = {
        "customer_update": {
            "allowed_updates": list(features.customer_update.allowed_updates),
            "enabled": features.customer_update.enabled,
        },
        "invoice_history": {"enabled": features.invoice_history.enabled},
        "payment_method_update": {
            "enabled": features.payment_method_update.enabled,
            "payment_method_configuration": None,
        },
        "subscription_cancel": {
            "cancellation_reason": {
                "enabled": reasons.enabled,
                "feedback_options": list(reasons.feedback_options),
                "options": list(reasons.options),
            },
            "enabled": ends.enabled,
            "mode": ends.mode,
            "proration_behavior": ends.proration_behavior,
        },
        "subscription_pause": {
            "duration": {
                "interval_options": [dict(option) for option in pauses.interval_options],
                "type": pauses.duration_type,
            },
            "enabled": pauses.enabled,
        },
        "subscription_update": {
            "billing_cycle_anchor": updates.billing_cycle_anchor,
            "default_allowed_updates": list(updates.default_allowed_updates),
            "enabled": updates.enabled,
            "proration_behavior": updates.proration_behavior,
            "schedule_at_period_end": {
                "conditions": [{"type": condition} for condition in updates.schedule_at_period_end]
            },
            "trial_update_behavior": updates.trial_update_behavior,
        },
    }
    if with_products:
        shown["subscription_update"]["products"] = [_product(product) for product in updates.products]
    return shown


def _product(product: Any) -> JsonObject:
    limits = product.get("adjustable_quantity") or {"enabled": False, "minimum": 1}
    return {
        "product": product["product"],
        "prices": list(product["prices"]),
        "adjustable_quantity": {"maximum": None, **limits},
    }
