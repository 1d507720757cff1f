"""The totals of invoices, quotes and forecasts: the rows below the lines."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from portal_site.billing.rules.invoicing.invoices import InvoiceTotals
from portal_site.billing.rules.subscriptions.forecast import NextInvoice
from portal_site.portal.reads.credit_notes import CreditNoteView
from portal_site.portal.reads.invoices import InvoiceView
from portal_site.portal.wording import payment_methods
from portal_site.web.rendering.filters import date, percent
from portal_site.web.rendering.i18n import gettext as _

TOTAL = "total"


@dataclass(frozen=True)
class Row:
    """One row. `words` stand in place of an amount that is not known yet. `kind` is for the style sheet, and `test_id` for
    published browser tests.
    """

    label: str
    amount: int
    currency: str
    note: str = ""
    kind: str | None = None
    test_id: str | None = None
    words: str = ""


def invoice(view: InvoiceView) -> list[Row]:
    """The rows of an invoice, from the subtotal to the amount remaining."""
    adds_up = bool(view.discount or view.total_taxes or view.subtotal != view.total)
    rows = _shown(
        view.currency,
        (_("Subtotal"), view.subtotal, adds_up),
        (_("Discount"), -view.discount, view.discount),
    )
    rows += [
        Row(_tax(tax["tax_behavior"] == "inclusive"), tax["amount"], view.currency, note=_rate(tax))
        for tax in view.total_taxes
    ]
    rows.append(Row(_("Total"), view.total, view.currency, kind=TOTAL))
    credited, refunded = view.pre_payment_credit_notes_amount, view.post_payment_credit_notes_amount
    rows += _shown(view.currency, (_("Credit note"), -credited, credited))
    rows += _from_balance(view.currency, *_parts_of_balance(view))
    is_open = view.status.payable
    rows += _shown(
        view.currency,
        (_("Amount due"), view.amount_due, is_open and view.amount_due != view.total),
        (_("Amount paid") if is_open else paid(view), view.amount_paid, view.amount_paid),
        (_("Credited or refunded"), refunded, refunded),
    )
    if is_open:
        rows.append(Row(_("Amount remaining"), view.amount_remaining, view.currency, kind=TOTAL))
    return rows


def credit_note(note: CreditNoteView) -> list[Row]:
    """From what its lines take off to where that went."""
    taxes: dict[tuple[bool, str], int] = {}
    for line in note.lines:
        for tax in line.taxes:
            named = tax["tax_behavior"] == "inclusive", _rate(tax)
            taxes[named] = taxes.get(named, 0) + tax["amount"]
    on_top = sum(amount for (inclusive, _name), amount in taxes.items() if not inclusive)
    adds_up = bool(taxes) and note.subtotal + on_top == note.amount
    rows = _shown(note.currency, (_("Subtotal"), note.subtotal, adds_up))
    rows += [Row(_tax(inclusive), amount, note.currency, note=rate) for (inclusive, rate), amount in taxes.items()]
    rows.append(Row(_("Total"), note.amount, note.currency, kind=TOTAL))
    before, after = note.pre_payment_amount, note.post_payment_amount
    went = _("Refunded") if note.refund_id else _("Credited or refunded")
    return rows + _shown(note.currency, (_("Taken off what was due"), before, before), (went, after, after))


def paid(view: InvoiceView) -> str:
    """That an invoice was paid: when and with which payment method, if known."""
    if view.paid_at is None:
        return _("Amount paid")
    values = {"date": date(view.paid_at)}
    if view.paid_with is None:
        return _("Paid on %(date)s", **values)
    return _("Paid on %(date)s with %(method)s", method=payment_methods.short_name(view.paid_with), **values)


def next_invoice(upcoming: NextInvoice | None) -> list[Row]:
    """The rows of the next invoice of a subscription; none if its amount is the price of its items."""
    if upcoming is None or not (upcoming.discount or upcoming.balance_used or upcoming.tax):
        return []
    rows = _shown(
        upcoming.currency,
        (_("Subtotal"), upcoming.subtotal, True),
        (_("Discount"), -upcoming.discount, upcoming.discount),
        (_("Tax"), upcoming.tax, upcoming.tax),
    )
    rows += _from_balance(upcoming.currency, upcoming.credit_used, upcoming.carried)
    if upcoming.varies:
        rows.append(Row(_("Usage"), 0, upcoming.currency, words=_("not known yet")))
    due = _("Due on %(date)s", date=date(upcoming.date))
    note = _("plus your usage") if upcoming.varies else ""
    return [*rows, Row(due, upcoming.amount_due, upcoming.currency, note=note, kind=TOTAL)]


def caption(quote: Any) -> str:
    """The caption of a quote's table: today's invoice, or the lines added to the next one."""
    return _("Today’s invoice") if quote.invoiced else _("Added to your next invoice")


def quote(page: Any, quote: Any) -> list[Row]:
    """The rows of a quote, from the discount to the amount due today or added to the next invoice."""
    bill: InvoiceTotals = quote.invoice if quote.invoiced else page.deferred_invoice
    rows = _shown(bill.currency, (_("Discount"), -bill.discount, bill.discount))
    for tax in page.taxes:
        rate = f"{tax.rate.display_name} {percent(tax.rate.percentage)}"
        rows.append(Row(_tax(tax.rate.inclusive), tax.amount, bill.currency, note=rate))
    if not quote.invoiced:
        return [*rows, Row(_("Total"), bill.total, bill.currency, kind=TOTAL, test_id="waiting-total")]
    rows += _shown(bill.currency, (_("Total"), bill.total, bill.total != bill.amount_due))
    rows += _from_balance(bill.currency, bill.credit_used, bill.carried)
    return [*rows, Row(_("Due today"), bill.amount_due, bill.currency, kind=TOTAL, test_id="due-today")]


def _rate(tax: Mapping[str, Any]) -> str:
    """The name and percentage of a stored tax; empty if it was imported without them."""
    percentage = tax.get("percentage")
    return " ".join(filter(None, (tax.get("display_name"), percent(percentage) if percentage else "")))


def _tax(inclusive: bool) -> str:
    return _("Included tax") if inclusive else _("Tax")


def _parts_of_balance(view: InvoiceView) -> tuple[int, int]:
    """The parts of the used balance: credit, and amounts carried to or from another invoice."""
    start, end = view.starting_balance, view.ending_balance
    if end is None or end - start != view.balance_used:
        return view.balance_used, 0
    return min(0, end) - min(0, start), max(0, end) - max(0, start)


def _from_balance(currency: str, credit: int, carried: int) -> list[Row]:
    """Rows for credit that is used (> 0) or gained, and amounts carried to a later invoice (> 0) or from an earlier one."""
    credit_label = _("Credit used") if credit > 0 else _("Kept as credit")
    carried_label = _("Carried over to a later invoice") if carried > 0 else _("Carried over from an earlier invoice")
    return _shown(currency, (credit_label, -credit, credit), (carried_label, -carried, carried))


def _shown(currency: str, *rows: tuple[str, int, object]) -> list[Row]:
    """The rows whose condition is true, from (label, amount, condition)."""
    return [Row(label, amount, currency) for label, amount, there_is_one in rows if there_is_one]
