"""Made-up customers, subscriptions and invoices, to show how each kind of e-mail looks."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from portal_site.billing.models import Account
from portal_site.billing.rules.amounts.items import Item, PricedPlan
from portal_site.billing.rules.amounts.pricing import PriceTerms
from portal_site.billing.rules.portal.portal_features import Features
from portal_site.billing.rules.subscriptions.forecast import NextInvoice
from portal_site.billing.rules.subscriptions.snapshot import SubscriptionSnapshot
from portal_site.billing.rules.subscriptions.statuses import AttemptStatus, InvoiceStatus, SubscriptionStatus
from portal_site.notices.kinds import Kind
from portal_site.notices.texts.context import Context
from portal_site.notices.triggers import Notice
from portal_site.portal.access.visitors import Visitor
from portal_site.portal.reads.invoice_lines import LineView
from portal_site.portal.reads.invoice_parts import PaidWith, Seller
from portal_site.portal.reads.invoices import InvoiceView
from portal_site.portal.reads.payment_methods import PaymentMethodView
from portal_site.portal.reads.subscriptions import ItemView, PlannedChange, SubscriptionView

DAY = 24 * 60 * 60
AT = 1_796_040_000  # noon of 30 November 2026
START, END = AT - 23 * DAY, AT + 7 * DAY
_TEAM = PricedPlan("price_team", "prod_team", "Team", PriceTerms("eur", Decimal(1200)), unit_label="seat")
_SOLO = replace(_TEAM, price_id="price_solo", product_id="prod_solo", product="Solo", unit_label=None)
_ITEM = Item("si_sample", _TEAM, 3, START, END)
_NEXT = NextInvoice(
    date=END, currency="eur", subtotal=3600, discount=0, tax=720, balance_used=0, credit_used=0, carried=0,
    amount_due=4320, varies=False,
)  # fmt: skip
_METHOD = PaymentMethodView(
    id="pm_sample", type="card", brand="visa", last4="4242", label=None, wallet=None, mandate_reference=None,
    mandate_url=None, exp_month=12, exp_year=2026,
    is_default=True, expiry="expiring", used_by=("Team",), removal_refusal=None,
)  # fmt: skip


@dataclass(frozen=True)
class SampleContext(Context):
    """A context whose rows are made up."""

    shown_subscription: SubscriptionView
    shown_invoice: InvoiceView

    def subscription(self) -> tuple[SubscriptionView, PaymentMethodView | None]:
        """The sample with its card."""
        return self.shown_subscription, _METHOD

    def methods(self) -> list[PaymentMethodView]:
        """One card, which is about to expire."""
        return [_METHOD]

    def invoice(self) -> InvoiceView:
        """The sample of an invoice."""
        return self.shown_invoice


def context(kind: Kind, account: Account, locale: str) -> SampleContext:
    """Everything that the text of a kind looks at."""
    subscription, invoice, values = _SAMPLES.get(kind, ({}, {}, {}))
    notice = Notice(
        kind, account.id, livemode=False, key=f"{kind}:sample", customer_id="cus_sample", subscription_id="sub_sample",
        invoice_id="in_sample", payment_method_id=_METHOD.id, values=values, happened_at=AT,
    )  # fmt: skip
    shown = _subscription(**subscription), _invoice(account, **invoice)
    return SampleContext(notice, _visitor(account, locale), AT, AT, *shown)


# What differs, by kind: of the subscription, of the invoice, and what the event or the date knows.
_SAMPLES: Mapping[Kind, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    Kind.TRIAL_ENDING: ({"status": SubscriptionStatus.TRIALING, "trial_end": END}, {}, {"ends_at": END, "days": 7}),
    Kind.RENEWAL_AHEAD: ({}, {}, {"date": END, "days": 7}),
    Kind.PAYMENT_FAILED: (
        {}, {"attempt_status": AttemptStatus.DECLINED, "decline_code": "insufficient_funds", "attempt_count": 1,
             "next_payment_attempt": AT + 3 * DAY}, {},
    ),
    Kind.AUTHENTICATION_NEEDED: ({}, {"attempt_status": AttemptStatus.REQUIRES_ACTION}, {}),
    Kind.INVOICE_FINALIZED: ({}, {"due_date": AT + 14 * DAY}, {}),
    Kind.UNPAID_REMINDER: ({}, {"due_date": AT + 3 * DAY}, {"days": 3}),
    Kind.RECEIPT: ({}, {"status": InvoiceStatus.PAID, "amount_paid": 4320, "amount_remaining": 0, "paid_at": AT}, {}),
    Kind.REFUND: (
        {}, {"status": InvoiceStatus.PAID, "amount_paid": 4320, "amount_remaining": 0, "paid_at": AT - DAY},
        {"amount": 1440, "currency": "eur"},
    ),
    Kind.CANCELLATION_CONFIRMED: ({"cancel_at": END, "next_invoice": None}, {}, {"ends_at": END}),
    Kind.SUBSCRIPTION_ENDED: ({"status": SubscriptionStatus.CANCELED, "next_invoice": None}, {}, {"ends_at": AT}),
    Kind.CHANGE_CONFIRMED: ({}, {}, {"what": "plan"}),
    Kind.PAUSE_BEGUN: ({"status": SubscriptionStatus.PAUSED, "resumes_at": AT + 30 * DAY, "next_invoice": None}, {}, {}),
    Kind.PAUSE_ENDING: (
        {"status": SubscriptionStatus.PAUSED, "resumes_at": AT + 3 * DAY, "next_invoice": None}, {},
        {"date": AT + 3 * DAY, "days": 3},
    ),
    Kind.EMAIL_CHANGED: ({}, {}, {"old": "hedda@example.com", "new": "ella@example.com", "to": "old"}),
}  # fmt: skip


def _subscription(
    *,
    status: SubscriptionStatus = SubscriptionStatus.ACTIVE,
    next_invoice: NextInvoice | None = _NEXT,
    planned: PlannedChange | None = None,
    **of_snapshot: Any,
) -> SubscriptionView:
    snapshot = SubscriptionSnapshot("sub_sample", "eur", status, START, (_ITEM,), **of_snapshot)
    items = (ItemView(_ITEM.id, _TEAM, _ITEM.quantity),)
    return SubscriptionView(
        snapshot=snapshot, status=status, created=START, description=None, pending_update=None, canceled_at=None,
        can_be_kept=snapshot.cancel_at is not None, ended_at=None, payment_method_id=None, on_behalf_of=None, items=items,
        discounts=(), planned=planned, livemode=False, next_invoice=next_invoice,
    )  # fmt: skip


def _invoice(account: Account, **members: Any) -> InvoiceView:
    tax = {
        "amount": 720,
        "tax_behavior": "exclusive",
        "display_name": "VAT",
        "percentage": "20",
        "taxable_amount": 3600,
    }
    line = LineView(None, 3600, "eur", 3, START, END, product_name="Team", unit_label="seats")
    values: dict[str, Any] = {
        "id": "in_sample", "created": AT, "number": "SAMPLE-0042", "status": InvoiceStatus.OPEN, "currency": "eur",
        "total": 4320, "amount_due": 4320, "amount_remaining": 4320, "due_date": None, "description": None,
        "billing_reason": "subscription_cycle", "subscription_id": "sub_sample", "starting_balance": 0,
        "ending_balance": 0, "subtotal": 3600, "total_excluding_tax": 3600, "amount_paid": 0,
        "pre_payment_credit_notes_amount": 0, "post_payment_credit_notes_amount": 0, "amount_refunded": 0, "amount_disputed": 0,
        "total_discount_amounts": (), "total_taxes": (tax,), "period_start": START, "period_end": END,
        "finalized_at": AT, "paid_at": None, "voided_at": None, "footer": None, "customer_name": "Hedda Berg",
        "customer_email": "hedda@example.com", "customer_phone": None, "customer_address": None, "customer_tax_ids": (),
        "customer_tax_exempt": "none", "lines": (line,), "attempt_url": None,
        "seller": Seller(account.business_name, None, (), None, None), "paid_with": PaidWith("card", "visa", "4242", None),
        "credit_notes": (),
    }  # fmt: skip
    return InvoiceView(**{**values, **members})


def _visitor(account: Account, locale: str) -> Visitor:
    nobody = dict.fromkeys(
        ("configuration_branding", "headline", "login_page_id", "return_url", "default_return_url", "after_expiration",
         "on_behalf_of", "flow_document", "flow_completed_at", "phone", "address", "shipping", "currency",
         "invoice_prefix", "other_balances", "default_payment_method_id", "customer_timezone", "frozen_time")
    )  # fmt: skip
    own = {
        name: getattr(account, name)
        for name in ("business_name", "logo_id", "icon_id", "support_email", "support_phone", "support_url",
                     "privacy_policy_url", "terms_of_service_url", "return_hosts")
    }  # fmt: skip
    members: dict[str, Any] = {
        **nobody, **own, "account_branding": account.branding, "account_timezone": account.timezone,
        "customer_id": "cus_sample", "account_id": account.id, "locale": locale, "livemode": False, "session_id": "",
        "visit_id": "", "last_seen_at": 0, "by_login": False, "by_email_link": False, "device_id": None,
        "remembers_devices": False, "dunning_document": account.dunning,
        "feature_document": Features().as_document(), "name": "Hedda Berg", "email": "hedda@example.com", "balance": 0,
        "tax_exempt": "none",
    }  # fmt: skip
    return Visitor(**members)
