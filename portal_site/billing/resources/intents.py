"""What a merchant's program makes payments with: setup intents, Checkout sessions, mandates, payment intents and their charges.

The payment intents here are those of no invoice; `payments` has those of invoices.
"""

from collections.abc import Mapping
from typing import Any

from portal_site.billing.models.columns import values
from portal_site.billing.resources import payments
from portal_site.billing.rules.payments import declines
from portal_site.billing.rules.payments.declines import Decline
from portal_site.db.json_columns import JsonObject

SUCCEEDED, FAILED = "succeeded", "failed"
_DESCRIBED = ("description", "receipt_email", "shipping", "statement_descriptor", "statement_descriptor_suffix")


def error(decline: Decline, method: Any, charge_id: str | None = None) -> JsonObject:
    """A decline as an API error, with the payment method as it was."""
    return {
        "type": "card_error",
        "code": decline.code,
        "message": decline.message,
        "payment_method": payments.payment_method(method),
        "payment_method_type": method.type,
        **({"charge": charge_id} if charge_id else {}),
        **({"decline_code": decline.decline_code} if decline.decline_code else {}),
        **({"param": decline.param} if decline.param else {}),
    }


def _next_action(row: Any) -> JsonObject | None:
    if row.status != "requires_action" or row.next_action_url is None:
        return None
    if row.return_url is None:  # for a program that shows the page in a frame of its own
        return {
            "type": "use_stripe_sdk",
            "use_stripe_sdk": {"type": "three_d_secure_redirect", "stripe_js": row.next_action_url},
        }
    redirect = {"url": row.next_action_url, "return_url": row.return_url}
    return {"type": "redirect_to_url", "redirect_to_url": redirect}


def setup_intent(row: Any) -> JsonObject:
    """A `setup_intent`. One that is not done names the payment method that it is about to save."""
    method_id = row.payment_method_id or row.chosen_method_id
    return {
        "object": "setup_intent",
        **values(row, "id", "created", "livemode", "status", "usage", "description", "cancellation_reason"),
        **values(row, "client_secret", "last_setup_error", "payment_method_types"),
        "application": None,
        "automatic_payment_methods": None,
        "customer": row.customer_id,
        "customer_account": None,
        "flow_directions": None,
        "latest_attempt": None,
        "mandate": mandate_id(row.id) if row.acceptance is not None and row.status == SUCCEEDED else None,
        "metadata": row.metadata_,
        "next_action": _next_action(row),
        "on_behalf_of": None,
        "payment_method": method_id,
        "payment_method_configuration_details": None,
        "payment_method_options": {},
        "single_use_mandate": None,
    }


def mandate_id(setup_intent_id: str) -> str:
    """The id of the mandate that a setup intent brought: the intent's with another prefix."""
    return f"mandate_{setup_intent_id.partition('_')[2]}"


def mandate(row: Any, method: Any) -> JsonObject:
    """The `mandate` of a setup intent for debits of this payment method, which may be nobody's."""
    reference = row.id.partition("_")[2].upper()
    details = {"reference": reference, "url": ""}  # nothing was signed in a sandbox
    return {
        "object": "mandate",
        "id": mandate_id(row.id),
        "livemode": row.livemode,
        "customer_acceptance": row.acceptance,
        "multi_use": {},
        "payment_method": method.id,
        "payment_method_details": {"type": payments.SEPA_DEBIT, payments.SEPA_DEBIT: details},
        "status": "active" if getattr(method, "detached_at", None) is None else "inactive",
        "type": "multi_use",
    }


def checkout_session(row: Any) -> JsonObject:
    """A `checkout.session` in setup mode, without the `customer_details`, which are the customer's. An open one has its URL."""
    absent = (
        "adaptive_pricing", "after_expiration", "allow_promotion_codes", "amount_subtotal", "amount_total",
        "billing_address_collection", "client_secret", "collected_information", "consent", "consent_collection",
        "currency_conversion", "customer_account", "customer_creation", "customer_email", "customer_details", "discounts",
        "integration_identifier", "invoice", "invoice_creation", "locale", "origin_context", "payment_intent", "payment_link",
        "payment_method_configuration_details", "payment_method_options", "permissions", "recovered_from",
        "saved_payment_method_options", "shipping_address_collection", "shipping_cost", "submit_type", "subscription",
        "total_details", "wallet_options",
    )  # fmt: skip
    texts = ("after_submit", "shipping_address", "submit", "terms_of_service_acceptance")
    return {
        "object": "checkout.session",
        **dict.fromkeys(absent),
        **values(row, "id", "created", "livemode", "status", "currency", "expires_at", "client_reference_id"),
        **values(row, "success_url", "cancel_url", "payment_method_types"),
        "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
        "custom_fields": [],
        "custom_text": dict.fromkeys(texts),
        "customer": row.customer_id,
        "metadata": row.metadata_,
        "mode": "setup",
        "payment_method_collection": "always",
        "payment_status": "no_payment_required",
        "phone_number_collection": {"enabled": False},
        "setup_intent": row.setup_intent_id,
        "shipping_options": [],
        "ui_mode": "hosted_page",
        "url": row.url if row.status == "open" else None,
    }


def payment_intent(row: Any) -> JsonObject:
    """A `payment_intent` of no invoice."""
    absent = (
        "application", "application_fee_amount", "customer_account", "on_behalf_of", "payment_method_configuration_details",
        "processing", "review", "transfer_data", "transfer_group",
    )  # fmt: skip
    return {
        "object": "payment_intent",
        **dict.fromkeys(absent),
        **values(row, "id", "created", "livemode", "status", "amount", "amount_received", "currency", "client_secret"),
        **values(row, *_DESCRIBED, "setup_future_usage", "last_payment_error", "canceled_at", "cancellation_reason"),
        **values(row, "payment_method_types", "automatic_payment_methods"),
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "capture_method": "automatic",
        "confirmation_method": "automatic",
        "customer": row.customer_id,
        "latest_charge": row.latest_charge_id,
        "metadata": row.metadata_,
        "next_action": _next_action(row),
        "payment_method": row.payment_method_id,
        "payment_method_options": {},
    }


def charge(row: Any) -> JsonObject:
    """A `charge` of such a payment intent."""
    absent = (
        "application", "application_fee", "application_fee_amount", "balance_transaction", "calculated_statement_descriptor",
        "failure_balance_transaction", "on_behalf_of", "receipt_number", "receipt_url", "review", "source_transfer",
        "transfer_data", "transfer_group",
    )  # fmt: skip
    succeeded, failed = row.status == SUCCEEDED, row.status == FAILED
    decline = declines.read(row.decline_code) if failed else None
    return {
        "object": "charge",
        **dict.fromkeys(absent),
        **values(row, "id", "created", "livemode", "status", "amount", "amount_refunded", "currency", *_DESCRIBED),
        **values(row, "billing_details", "payment_method_details"),
        "amount_captured": 0 if failed else row.amount,
        "captured": not failed,
        "customer": row.customer_id,
        "disputed": False,
        "failure_code": decline.code if decline else None,
        "failure_message": decline.message if decline else None,
        "fraud_details": {},
        "metadata": row.metadata_,
        "outcome": _outcome(row.status, decline),
        "paid": not failed,
        "payment_intent": row.payment_intent_id,
        "payment_method": row.payment_method_id,
        "refunded": succeeded and row.amount_refunded == row.amount,
    }


def _outcome(status: str, decline: Decline | None) -> JsonObject:
    return {
        "type": "issuer_declined" if decline else "authorized",
        "advice_code": None,
        "network_advice_code": None,
        "network_decline_code": None,
        "network_status": "declined_by_network" if decline else "approved_by_network",
        "reason": (decline.decline_code or decline.code) if decline else None,
        "risk_level": "normal",
        "seller_message": "The bank did not return any further details with this decline."
        if decline
        else "Payment complete."
        if status == SUCCEEDED
        else "Payment submitted.",
    }


def payment_method_details(method: Any, mandate: str | None) -> JsonObject:
    """The `payment_method_details` of a charge: the payment method as it is when it is charged."""
    if method.type == payments.SEPA_DEBIT:
        shown = {
            **values(method, "country", "fingerprint", "last4"),
            "bank_code": None,
            "branch_code": None,
            "mandate": mandate,
        }
        return {"type": method.type, method.type: shown}
    absent = (
        "checks",
        "installments",
        "mandate",
        "network_token",
        "network_transaction_id",
        "three_d_secure",
        "wallet",
    )
    names = ("brand", "country", "exp_month", "exp_year", "fingerprint", "funding", "last4")
    shown = {
        **values(method, *names),
        **dict.fromkeys(absent),
        "network": method.brand,
        "regulated_status": "unregulated",
    }
    return {"type": method.type, method.type: shown}


def refund(row: Any) -> JsonObject:
    """A `refund` of such a charge."""
    absent = (
        "balance_transaction",
        "customer_account",
        "receipt_number",
        "source_transfer_reversal",
        "transfer_reversal",
    )
    return {
        "object": "refund",
        **dict.fromkeys(absent),
        **values(row, "id", "created", "amount", "currency", "reason", "status"),
        **({"failure_reason": "declined"} if row.status == FAILED else {}),
        "charge": row.charge_id,
        "customer": row.customer_id,
        "metadata": row.metadata_,
        "payment_intent": row.payment_intent_id,
    }


def balance(available: Mapping[str, int], pending: Mapping[str, int], default: str, livemode: bool) -> JsonObject:
    """The `balance` of an account, in minor units by currency."""

    def amounts(found: Mapping[str, int]) -> list[JsonObject]:
        known = found or {default: 0}
        return [
            {"amount": amount, "currency": code, "source_types": {"card": amount}}
            for code, amount in sorted(known.items())
        ]

    return {"object": "balance", "available": amounts(available), "pending": amounts(pending), "livemode": livemode}
