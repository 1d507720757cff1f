"""What starting a subscription costs, and what came of it, in words. Dates are those of the account's time zone."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import BindParameter, bindparam, select

from portal_site.billing.changes.starts import StartPreview, StartRequest
from portal_site.billing.models import (
    Invoice,
    PaymentAttempt,
    PlanChange,
    Price,
    Product,
    Subscription,
    SubscriptionItem,
)
from portal_site.billing.rules.invoicing import invoices as invoice_rules
from portal_site.billing.rules.subscriptions.forecast import NextInvoice
from portal_site.billing.rules.subscriptions.plan_change import PENDING_UPDATE_LIFETIME
from portal_site.billing.rules.subscriptions.starts import COLLECTION_METHODS
from portal_site.billing.rules.subscriptions.statuses import AttemptStatus, SubscriptionStatus
from portal_site.db.page_query import PageQuery, literal_limit
from portal_site.portal import wording
from portal_site.portal.reads.invoice_lines import LineView
from portal_site.portal.wording.sums import TOTAL, Row
from portal_site.web.rendering.filters import date, money

CHARGED, SENT = COLLECTION_METHODS
HOURS = PENDING_UPDATE_LIFETIME // 3600
REASONS = {
    "insufficient_funds": "insufficient funds", "expired_card": "the card has expired",
    "payment_method_unactivated": "this payment method cannot be charged here",
}  # fmt: skip


@dataclass(frozen=True)
class QuoteWords:
    """A quote as it is shown. `lines` and `taxes` are those of today's invoice; `later` are the rows of the next one."""

    lines: Sequence[tuple[str, str, str]]
    rows: Sequence[Row]
    later: Sequence[Row]
    sentences: Sequence[str]

    @classmethod
    def of(cls, preview: StartPreview, request: StartRequest, at: int) -> "QuoteWords":
        """The words for a quote that was made at `at`."""
        quote = preview.quote
        views = [LineView.of(line) for line in quote.invoice.lines]
        lines = [
            (wording.invoices.line_title(one), wording.invoices.line_detail(one), money(one.amount, one.currency))
            for one in views
        ]
        rows = [Row("Due today", 0, preview.snapshot.currency, kind=TOTAL, test_id="due-today")]
        if quote.invoiced:
            rows = wording.sums.quote(_Taxed(preview), quote)
        return cls(lines, rows, wording.sums.next_invoice(quote.next_invoice), list(_sentences(preview, request, at)))


class _Taxed:
    """What `sums.quote` asks a page for."""

    def __init__(self, preview: StartPreview) -> None:
        self.taxes = invoice_rules.summed_taxes(preview.quote.invoice.lines)


def _sentences(preview: StartPreview, request: StartRequest, at: int) -> Sequence[str]:
    quote = preview.quote
    found = [f"{name} is in another subscription of this customer already." for name in _had(preview)]
    if quote.trial_end is not None:
        found.append(f"The trial ends on {date(quote.trial_end)}.")
    if preview.ends_without_method is not None:
        found.append("The subscription ends with it unless the customer has added a payment method by then.")
    elif quote.trial_end is not None and preview.lacks_method and request.collection_method == CHARGED:
        found.append("There is no payment method yet. The first invoice stays unpaid until there is one.")
    if quote.next_invoice is not None:
        found.append(_next(quote.next_invoice))
    due = quote.invoice.amount_due
    if due and request.collection_method == SENT:
        until = date(at + (request.days_until_due or 0) * 86400)
        found.append(f"The invoice of today is to be paid until {until}. The subscription begins at once.")
    elif due and preview.refusal is None:
        found.append("What is due today is charged to the default payment method at once.")
    return found


def _had(preview: StartPreview) -> Sequence[str]:
    """The products that another subscription of the customer has, by their names."""
    others = {item.offer.product_id for sibling in preview.snapshot.siblings for item in sibling.items}
    return list(dict.fromkeys(item.offer.product for item in preview.quote.items if item.offer.product_id in others))


def _next(invoice: NextInvoice) -> str:
    usage = " plus usage" if invoice.varies else ""
    return f"The next invoice, on {date(invoice.date)}, will be {money(invoice.amount_due, invoice.currency)}{usage}."


# --- what came of it --------------------------------------------------------------------------------------------------

_ACCOUNT: BindParameter[str] = bindparam("account_id")
_CUSTOMER: BindParameter[str] = bindparam("customer_id")
_SUBSCRIPTION: BindParameter[str] = bindparam("subscription_id")
_STARTED = PageQuery(
    subscription=select(Subscription.status, Subscription.trial_end).where(
        Subscription.account_id == _ACCOUNT, Subscription.customer_id == _CUSTOMER, Subscription.id == _SUBSCRIPTION
    ),
    products=select(Product.name)
    .join(Price, Price.product_id == Product.id)
    .join(SubscriptionItem, SubscriptionItem.price_id == Price.id)
    .where(SubscriptionItem.account_id == _ACCOUNT, SubscriptionItem.subscription_id == _SUBSCRIPTION)
    .where(Product.account_id == _ACCOUNT)
    .order_by(SubscriptionItem.created, SubscriptionItem.id),
    invoice=select(Invoice.number, Invoice.status, Invoice.amount_due, Invoice.currency, Invoice.due_date).where(
        Invoice.account_id == _ACCOUNT, Invoice.customer_id == _CUSTOMER, Invoice.id == bindparam("invoice_id")
    ),
    attempt=select(PaymentAttempt.status, PaymentAttempt.decline_code)
    .where(PaymentAttempt.customer_id == _CUSTOMER, PaymentAttempt.invoice_id == bindparam("invoice_id"))
    .order_by(PaymentAttempt.created.desc(), PaymentAttempt.id.desc())
    .limit(literal_limit(1)),
)


def outcome(change: PlanChange) -> tuple[str, str]:
    """What came of a start, as it is now: a sentence or two, and how good it is (a kind of notice)."""
    found = _STARTED.fetch(
        account_id=change.account_id,
        customer_id=change.customer_id,
        subscription_id=change.subscription_id,
        invoice_id=change.invoice_id or "",
    )
    name, row = ", ".join(one["name"] for one in found["products"]), found["subscription"][0]
    invoice = found["invoice"][0] if found["invoice"] else None
    if row["status"] == SubscriptionStatus.TRIALING:
        return f"The trial of {name} has begun. It ends on {date(row['trial_end'])}.", "good"
    if invoice is None or not invoice["amount_due"]:
        return f"{name} has begun. Nothing is due today.", "good"
    amount = money(invoice["amount_due"], invoice["currency"])
    if row["status"] == SubscriptionStatus.INCOMPLETE:
        attempt = found["attempt"][0] if found["attempt"] else {}
        return _unpaid(name, amount, attempt.get("status", ""), attempt.get("decline_code"))
    if invoice["status"] == "open":
        until = f" until {date(invoice['due_date'])}" if invoice["due_date"] else ""
        return f"{name} has begun. Invoice {invoice['number']} over {amount} is to be paid{until}.", "good"
    return f"{name} has begun, and {amount} was paid.", "good"


def _unpaid(name: str, amount: str, status: str, decline_code: str | None) -> tuple[str, str]:
    begins = f"{name} begins once it is paid, within {HOURS} hours. Send the customer the link below."
    if status == AttemptStatus.REQUIRES_ACTION:
        return f"The customer’s bank wants the customer to confirm the payment of {amount}. {begins}", "warning"
    if status == AttemptStatus.PROCESSING:
        return (
            f"The bank is carrying out the payment of {amount}, which takes days. {name} begins once it is paid.",
            "note",
        )
    if status == AttemptStatus.DECLINED:
        why = REASONS.get(decline_code or "", "the bank declined it")
        return f"The payment of {amount} failed: {why}. {begins}", "bad"
    if status:
        return f"The payment provider has not answered yet. {name} begins once {amount} is paid.", "note"
    return f"{amount} could not be charged: there is no payment method. {begins}", "bad"
