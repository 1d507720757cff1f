"""What is done with each member of the known objects: it is read, left for a reason that is reported, or harmless.

Nothing that decides an amount is left out silently. What the schemas declare is read. A test holds these lists against the
members that Stripe documents; one that is on no list is counted as unknown.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any, get_args

from portal_site.billing.importing.objects import ImportedObject
from portal_site.billing.importing.reading.documents import data, inner
from portal_site.billing.importing.report import Remarks, Result
from portal_site.billing.importing.row_mapping import KINDS
from portal_site.billing.importing.schemas import billing_schemas, catalog_schemas
from portal_site.billing.importing.schemas.field_types import Part
from portal_site.db.json_columns import JsonObject

Says = Callable[[Any, JsonObject], bool]


def _something(value: Any, _document: JsonObject) -> bool:
    return bool(value)


def _enabled(value: Any, _document: JsonObject) -> bool:
    return bool(inner(value).get("enabled"))


def _prints(value: Any, _document: JsonObject) -> bool:
    return any(inner(value).get(name) for name in ("account_tax_ids", "custom_fields", "description", "footer"))


def _pauses_after_trial(value: Any, document: JsonObject) -> bool:
    behavior = inner(inner(value).get("end_behavior"))
    return document.get("status") == "trialing" and behavior.get("missing_payment_method") == "pause"


def _other_day(value: Any, document: JsonObject) -> bool:
    day, anchor = inner(value).get("day_of_month"), document.get("billing_cycle_anchor")
    return isinstance(day, int) and isinstance(anchor, int) and day != datetime.fromtimestamp(anchor, UTC).day


def _unlike_the_period(value: Any, document: JsonObject) -> bool:
    return value is not None and value != document.get("current_period_end")


def _is_draft(value: Any, document: JsonObject) -> bool:
    return document.get("status") == "draft" and _enabled(value, document)


def _of_defaults(value: Any, _document: JsonObject) -> bool:
    settings = inner(value)
    named = any(settings.get(name) for name in ("application_fee_percent", "billing_thresholds", "transfer_data"))
    anchored = settings.get("billing_cycle_anchor") == "phase_start"
    return named or anchored or _enabled(settings.get("automatic_tax"), settings)


def _other_currency(value: Any, document: JsonObject) -> bool:
    return any(amount and currency != document.get("currency") for currency, amount in inner(value).items())


def _used_credits(value: Any, _document: JsonObject) -> bool:
    return any(amount.get("type") == "credit_balance_transaction" for amount in data(value))


@dataclass(frozen=True, slots=True)
class Left:
    """A member that is not read. `says` tells whether a value of it means anything; `unbillable` that its subscription must
    not be billed here then."""

    reason: str
    says: Says = _something
    unbillable: bool = False


@dataclass(frozen=True, slots=True)
class Lists:
    """The three lists of a kind of object. `read` has what is read besides the members of its schema."""

    schema: type[Part]
    read: frozenset[str] = frozenset()
    left: dict[str, Left] = field(default_factory=dict)
    harmless: frozenset[str] = frozenset()

    @property
    def all(self) -> frozenset[str]:
        """The names on all lists."""
        return self.read | self.left.keys() | self.harmless | self.schema.model_fields.keys()


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_FEES = Left("a part of each payment goes to another account", unbillable=True)
_THRESHOLDS = Left("it is billed early when usage reaches a threshold", unbillable=True)
_TAX = Left("its tax is computed there", _enabled, unbillable=True)
_PRETAX = Left("credits of another system were used before tax", _used_credits)
_PRINTED = Left("what it adds to the text of invoices is to be set here", _prints)
_COMMON = _names("object customer_account metadata livemode test_clock deleted application")

LISTS: dict[str, Lists] = {
    "account": Lists(
        KINDS["account"][0],
        harmless=_COMMON | _names(
            "business_type capabilities charges_enabled controller details_submitted email external_accounts "
            "future_requirements groups individual payouts_enabled requirements settings tos_acceptance type timezone "
            "display_name statement_descriptor support_phone business_name business_logo business_url currencies_supported "
            "debit_negative_balances decline_charge_on legal_entity managed product_description support_email support_url "
            "transfer_schedule verification keys bank_accounts transfers_enabled login_links"
        ),
    ),
    "product": Lists(
        KINDS["product"][0],
        read=_names("default_price"),
        harmless=_COMMON | _names(
            "images features package_dimensions shippable statement_descriptor tax_code tax_details type "
            "url attributes caption deactivate_on skus"
        ),
    ),
    "price": Lists(
        KINDS["price"][0],
        left={"custom_unit_amount": Left("customers choose the amount, which they cannot do here")},
        harmless=_COMMON | _names("statement_descriptor statement_description name aggregate_usage"),
    ),
    "coupon": Lists(
        KINDS["coupon"][0],
        left={"currency_options": Left("amounts off in other currencies are not taken off here")},
        harmless=_COMMON | _names("percent_off_precise"),
    ),
    "promotion_code": Lists(KINDS["promotion_code"][0], harmless=_COMMON),
    "discount": Lists(
        catalog_schemas.DiscountShape,
        harmless=_COMMON | _names("checkout_session customer invoice invoice_item subscription subscription_item"),
    ),
    "customer": Lists(
        KINDS["customer"][0],
        read=_names("default_source sources subscriptions tax_ids"),
        left={
            "cash_balance": Left("money of the customer that the other system holds"),
            "invoice_credit_balance": Left("a balance in another currency than the customer's", _other_currency),
            "tax_info": Left("a tax number of an old kind: enter it as a tax ID"),
        },
        harmless=_COMMON | _names("business_name individual_name tax tax_info_verification currency_options default_currency"),
    ),
    "tax_id": Lists(KINDS["tax_id"][0], harmless=_COMMON),
    "tax_rate": Lists(
        KINDS["tax_rate"][0],
        harmless=_COMMON | _names("effective_percentage flat_amount jurisdiction_level rate_type tax_type"),
    ),
    "payment_method": Lists(
        KINDS["payment_method"][0],
        read=_names(
            "acss_debit affirm afterpay_clearpay alipay alma amazon_pay au_becs_debit bacs_debit bancontact billie bizum blik "
            "boleto card_present cashapp crypto custom customer_balance eps fpx giropay grabpay ideal interac_present "
            "kakao_pay klarna konbini kr_card link mb_way mobilepay multibanco naver_pay nz_bank_account oxxo p24 pay_by_bank "
            "payco paynow paypal paypay payto pix promptpay revolut_pay samsung_pay satispay scalapay sequra sofort sunbit "
            "swish twint upi wechat_pay zip"
        ),
        harmless=_COMMON | _names("allow_redisplay billing_details radar_options"),
    ),
    "subscription": Lists(
        KINDS["subscription"][0],
        read=_names("default_source schedule"),
        left={
            "automatic_tax": _TAX,
            "application_fee_percent": _FEES,
            "transfer_data": _FEES,
            "billing_thresholds": _THRESHOLDS,
            "billing_schedules": Left("it is billed further ahead than a period", unbillable=True),
            "billing_cycle_anchor_config": Left("its billing day is not its anchor's", _other_day, unbillable=True),
            "pending_invoice_item_interval": Left("its pending items are billed between periods", unbillable=True),
            "managed_payments": Left("the other system sells it in its own name", _enabled, unbillable=True),
            "trial_settings": Left("its trial ends in a pause without a payment method", _pauses_after_trial, unbillable=True),
            "invoice_settings": _PRINTED,
        },
        harmless=_COMMON | _names(
            "next_pending_invoice_item_invoice payment_settings pending_setup_intent presentment_details trial_from_plan "
            "invoice_customer_balance_settings cancellation_reason"
        ),
    ),
    "subscription_item": Lists(
        billing_schemas.ItemShape,
        read=_names("plan"),
        left={
            "billing_thresholds": _THRESHOLDS,
            "current_trial": Left("one of its items is on a trial of its own", unbillable=True),
            "billed_until": Left("one of its items is billed further ahead than its period", _unlike_the_period, unbillable=True),
        },
        harmless=_COMMON | _names("subscription"),
    ),
    "subscription_schedule": Lists(
        KINDS["subscription_schedule"][0],
        left={
            "default_settings": Left("terms that its schedule sets for all phases", _of_defaults, unbillable=True),
            "pause_schedules": Left("its schedule pauses it", unbillable=True),
        },
        harmless=_COMMON | _names(
            "billing_mode released_subscription renewal_interval revision billing billing_thresholds "
            "collection_method default_payment_method default_source invoice_settings"
        ),
    ),
    "phase": Lists(
        billing_schemas.PhaseShape,
        left={
            "add_invoice_items": Left("a phase of its schedule bills something once", unbillable=True),
            "application_fee_percent": _FEES,
            "transfer_data": _FEES,
            "automatic_tax": _TAX,
            "billing_cycle_anchor": Left(
                "a phase of its schedule moves its billing day", lambda value, _: value == "phase_start", unbillable=True
            ),
            "billing_thresholds": _THRESHOLDS,
            "default_tax_rates": Left("a phase of its schedule has tax rates of its own", unbillable=True),
            "trial": Left("a phase of its schedule is a trial", unbillable=True),
            "trial_end": Left("a phase of its schedule is a trial", unbillable=True),
            "collection_method": Left(
                "a phase of its schedule is collected by invoice", lambda value, _: value == "send_invoice", unbillable=True
            ),
        },
        harmless=_COMMON | _names(
            "currency default_payment_method description invoice_settings on_behalf_of prorate duration iterations"
        ),
    ),
    "phase_item": Lists(
        billing_schemas.PhaseItemShape,
        read=_names("plan"),
        left={
            "billing_thresholds": _THRESHOLDS,
            "discounts": Left("an item of a phase has a discount of its own", unbillable=True),
            "tax_rates": Left("an item of a phase has tax rates of its own", unbillable=True),
        },
        harmless=_COMMON,
    ),
    "invoice": Lists(
        KINDS["invoice"][0],
        read=_names("default_tax_rates"),
        left={
            "amount_shipping": Left("shipping is part of its total, and not of its lines"),
            "automatic_tax": Left("its tax will be computed there", _is_draft),
            "custom_fields": Left("its custom fields are not printed on it"),
            "total_pretax_credit_amounts": _PRETAX,
            "amount_overpaid": Left("more was paid than was due"),
            "latest_revision": Left("a later invoice replaces it"),
            "default_payment_method": Left(
                "a payment method of its own", lambda value, document: bool(value) and document.get("status") == "open"
            ),
        },
        harmless=_COMMON | _names(
            "account_country amount_paid_off_stripe attempted auto_advance automatically_finalizes_at confirmation_secret "
            "default_source discounts effective_at from_invoice hosted_invoice_url "
            "invoice_pdf issuer last_finalization_error payment_settings payments receipt_number rendering rendering_options "
            "shipping_cost shipping_details statement_descriptor statement_description status_details subtotal_excluding_tax "
            "threshold_reason webhooks_delivered_at charge payment_intent payment quote subscription_details "
            "subscription_proration_date paid_out_of_band application_fee application_fee_amount transfer_data discount "
            "next_recurring_date"
        ),
    ),
    "line_item": Lists(
        billing_schemas.LineShape,
        read=_names("tax_rates"),
        left={"pretax_credit_amounts": _PRETAX},
        harmless=_COMMON | _names(
            "discounts invoice quantity_decimal subscription subtotal amount_excluding_tax unit_amount_excluding_tax "
            "type unique_id unique_line_item_id margin_amounts margins discountable_amount"
        ),
    ),
    "invoiceitem": Lists(
        KINDS["invoiceitem"][0],
        read=_names("unit_amount unit_amount_decimal"),
        harmless=_COMMON | _names(
            "frozen_fields invoicing_rules net_amount proration_details quantity_decimal unit_amount_excluding_tax invoice_item"
        ),
    ),
    "credit_note": Lists(
        KINDS["credit_note"][0],
        harmless=_COMMON | _names(
            "amount_shipping customer_balance_transaction discount_amount discount_amounts effective_at memo "
            "out_of_band_amount pdf pretax_credit_amounts refund refunds shipping_cost subtotal subtotal_excluding_tax "
            "tax_amounts total total_excluding_tax total_taxes type voided_at"
        ),
    ),
    "credit_note_line_item": Lists(
        billing_schemas.CreditNoteLineShape,
        harmless=_COMMON | _names(
            "amount_excluding_tax discount_amounts pretax_credit_amounts quantity tax_rates type unit_amount unit_amount_decimal "
            "unit_amount_excluding_tax"
        ),
    ),
    "billing_portal.configuration": Lists(KINDS["billing_portal.configuration"][0], harmless=_COMMON),
}  # fmt: skip
_ALL: dict[type[Part], frozenset[str]] = {lists.schema: lists.all for lists in LISTS.values()}
# Of the parts of objects: what says nothing of an amount, in any of them.
_IN_PARTS = _names(
    "object type rendering_options carrier tracking_number status_details checks networks wallet bank_code branch_code "
    "generated_from three_d_secure_usage display_brand regulated_status description iin issuer mandate bank_name "
    "account_holder_type account_type routing_number financial_connections_account country jurisdiction active created "
    "livemode metadata effective_percentage rate_type state tax_type flat_amount taxability_reason invoice meter "
    "aggregate_usage annual_revenue estimated_worker_count mcc minority_owned_business_designation monthly_estimated_revenue "
    "product_description support_address url payment_method_configuration feedback_option updated_at flexible quote_details "
    "subscription_proration_date fingerprint persistent_token payer_id buyer_id bic institution_number transit_number "
    "sort_code bsb_number invoice_item liability disabled_reason customer application"
)  # fmt: skip


def _found(one: ImportedObject) -> Iterator[tuple[str, Left]]:
    """The members that are left and say something, of an object and of its parts, with their names."""
    yield from _left(one.kind, one.document)
    if one.kind == "subscription":
        for item in data(one.document.get("items")):
            yield from _left("subscription_item", item)
    elif one.kind == "invoice":
        for line in data(one.document.get("lines")):
            yield from _left("line_item", line)
    elif one.kind == "subscription_schedule":
        current = inner(one.document.get("current_phase")).get("start_date") or 0
        for phase in data(one.document.get("phases")):
            start = phase.get("start_date")
            if not isinstance(start, int) or start > current:
                yield from _left("phase", phase)
                for item in data(phase.get("items")):
                    yield from _left("phase_item", item)


def _left(kind: str, document: JsonObject) -> Iterator[tuple[str, Left]]:
    listed = LISTS[kind].left
    for name in [name for name in listed if name in document]:
        value, left = document[name], listed[name]
        if value is not None and left.says(value, document):
            yield name, left


def remark(one: ImportedObject, schema: type[Part], into: Remarks) -> None:
    """Remark what of an object is left, and what is unknown."""
    for name, left in _found(one):
        sentence = f"{one.name} has {name}, which is not read: {left.reason}."
        into.find(Result.NOT_READ, one.kind, one.id, f"{name}: {left.reason}", sentence, one.customer)
        if left.unbillable:
            one.unbillable.append(left.reason)
    names: list[str] = []
    _add_unknown(schema, one.document, names)
    for name in names:
        into.note_unknown(one.kind, name, one.id, one.customer)


@cache
def _tree(schema: type[Part]) -> tuple[frozenset[str], tuple[tuple[str, type[Part]], ...]]:
    """The names that are known of a schema, and the schemas of its parts by the names of their members."""
    parts = ((name, part) for name, one in schema.model_fields.items() if (part := _part(one.annotation)))
    return _ALL.get(schema) or _IN_PARTS | schema.model_fields.keys(), tuple(parts)


def _part(annotation: Any) -> type[Part] | None:
    """The schema within a member's type, such as `list[LineShape]` or `PauseShape | None`."""
    if isinstance(annotation, type) and issubclass(annotation, Part):
        return annotation
    return next(filter(None, map(_part, get_args(annotation))), None)


def _add_unknown(schema: type[Part], document: JsonObject, names: list[str]) -> None:
    """Add the members of a document, and of its parts, that are on no list."""
    known, parts = _tree(schema)
    if not known.issuperset(document):
        names += document.keys() - known
    for name, part in parts:
        value = document.get(name)
        if not value:
            continue
        if type(value) is dict and "data" not in value:
            _add_unknown(part, value, names)
            continue
        for one in data(value):
            _add_unknown(part, one, names)
