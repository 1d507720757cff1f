"""Invoices: what is to be paid, and what each line is for."""

from collections.abc import Collection
from typing import Any

from portal_site.billing.rules.subscriptions.forecast import NextInvoice
from portal_site.portal.reads.invoices import InvoiceSummary, InvoiceView, LineView
from portal_site.portal.reads.subscriptions import SubscriptionView
from portal_site.web import decline_messages, postal_addresses
from portal_site.web.filters import date, days, days_left, minute, money, number
from portal_site.web.i18n import gettext as _
from portal_site.web.i18n import ngettext


def due(invoice: InvoiceSummary, of_changes: Collection[str], now: int) -> str:
    """Why this invoice has to be paid; `of_changes` are the ids of invoices that a change of plan waits for."""
    return _after_failure(invoice, _due(invoice, of_changes, now))


def _due(invoice: InvoiceSummary, of_changes: Collection[str], now: int) -> str:
    amount = money(invoice.amount_remaining, invoice.currency)
    if invoice.id in of_changes:
        return _change_waits_for(amount)
    values = {"number": invoice.number or "", "amount": amount}
    if invoice.due_date and invoice.due_date > now:
        return _("Invoice %(number)s for %(amount)s is due on %(date)s.", date=date(invoice.due_date), **values)
    return _("Invoice %(number)s of %(date)s for %(amount)s is unpaid.", date=date(invoice.created), **values)


def _after_failure(invoice: InvoiceSummary, sentence: str) -> str:
    """The sentence, with why the last payment failed, if it did."""
    return f"{sentence} {decline_messages.message(invoice.decline_code)}" if invoice.declined else sentence


def notice(invoice: InvoiceView) -> str | None:
    """The partial that says how its last payment went, if there is something to say."""
    if invoice.processing:
        return "portal/invoices/_processing.html"
    return "portal/invoices/_declined.html" if invoice.declined else None


def processing(invoice: InvoiceSummary) -> str:
    """That a bank debit is processing, and how long that can take."""
    return _(
        "Your bank is processing the payment of %(amount)s for invoice %(number)s. This can take up to %(days)s days. "
        "You do not need to do anything.",
        amount=money(invoice.amount_remaining, invoice.currency),
        number=invoice.number or "",
        days=days(invoice.longest_processing),
    )


def processing_change(invoice: InvoiceSummary) -> str:
    """The same of the debit that a change of plan waits for."""
    return _(
        "Your bank is processing the payment of %(amount)s for your change. This can take up to %(days)s days. Until then, "
        "your plan stays as it is.",
        amount=money(invoice.amount_remaining, invoice.currency),
        days=days(invoice.longest_processing),
    )


def _change_waits_for(amount: str) -> str:
    return _(
        "Your plan change takes effect as soon as %(amount)s is paid. Until then, your plan stays as it is.",
        amount=amount,
    )


def pending_change(subscription: SubscriptionView) -> str:
    """What a change waits for, and how long."""
    invoice = subscription.waiting_invoice
    waits = (
        _change_waits_for(money(invoice.amount_remaining, invoice.currency))
        if invoice
        else _("Your plan change takes effect as soon as its invoice is paid. Until then, your plan stays as it is.")
    )
    assert subscription.pending_update is not None
    until = _("You can pay until %(moment)s.", moment=minute(subscription.pending_update["expires_at"]))
    return f"{_after_failure(invoice, waits) if invoice else waits} {until}"


def pay(invoice: InvoiceSummary | None) -> str:
    """The button that pays it, or what is due where no invoice is known."""
    if invoice is None:
        return _("Pay now")
    return _("Pay %(amount)s", amount=money(invoice.amount_remaining, invoice.currency))


def charged_now(invoice: InvoiceSummary) -> str:
    """What the button does."""
    amount = money(invoice.amount_remaining, invoice.currency)
    return _("You will be charged %(amount)s now, once only.", amount=amount)


def continues_when_paid(on_hold: bool) -> str:
    """What paying does for a subscription on hold."""
    if not on_hold:
        return ""
    return _(
        "Your subscription is on hold. Once all invoices are paid, it resumes: a new period starts and is billed then. "
        "The time in between is not billed."
    )


def recipient(invoice: InvoiceView) -> list[str]:
    """Whom it is for, line by line."""
    address = postal_addresses.lines(invoice.customer_address)
    tax_ids = [str(tax_id["value"]) for tax_id in invoice.customer_tax_ids]
    return [line for line in (invoice.customer_name, *address, invoice.customer_email, *tax_ids) if line]


def dates(invoice: InvoiceView) -> list[tuple[str, int]]:
    """Its days, each with its label."""
    days_of = [
        (_("Date"), invoice.finalized_at or invoice.created),
        (_("Due date"), invoice.due_date),
        (_("Paid on"), invoice.paid_at),
        (_("Voided on"), invoice.voided_at),
    ]
    return [(label, at) for label, at in days_of if at]


def open_ones(count: int) -> str:
    """How many can be paid with the payment methods on the page."""
    return ngettext(
        "You have an unpaid invoice. You can pay it with one of these.",
        "You have %(num)s unpaid invoices. You can pay them with one of these.",
        count,
    )


def upcoming(invoice: NextInvoice) -> str:
    """When the next one comes, and what it will be."""
    values: dict[str, Any] = {"date": date(invoice.date), "amount": money(invoice.amount_due, invoice.currency)}
    if invoice.varies:
        return _("Your next invoice, on %(date)s, will be %(amount)s plus your usage.", **values)
    return _("Your next invoice, on %(date)s, will be %(amount)s.", **values)


def none_found(after: str | None = None) -> str:
    """An empty list: nothing yet, or nothing before what one came from."""
    return _("There are no older invoices.") if after else _("No invoices yet. Your invoices will appear here.")


def line_title(line: LineView) -> str:
    """What a line is for."""
    if not line.product_name:
        return line.description or _("Item")
    what = f"{_count(line)}{line.product_name}"
    if not line.share_whole:
        return what
    if line.amount < 0:
        return _("Unused time: %(what)s", what=what)
    return _("Remaining time: %(what)s", what=what)


def _count(line: LineView) -> str:
    if not _is_several(line):
        return ""
    count = number(line.quantity or 0)
    return f"{count} {line.unit_label} × " if line.unit_label else f"{count} × "


def _is_several(line: LineView) -> bool:
    return line.quantity not in (None, 1)


def line_detail(line: LineView) -> str:
    """How its amount comes about, or for which time it is; nothing for what has no duration."""
    if line.share_whole:
        return _share(line)
    described = (line.description or "").startswith(f"{line.quantity} ×")
    parts = []
    if line.period_end > line.period_start:
        parts.append(f"{date(line.period_start, 'medium')} – {date(line.period_end, 'medium')}")
    if _is_several(line) and not line.product_name and not described:
        parts.append(_("Quantity %(count)s", count=number(line.quantity or 0)))
    return " · ".join(parts)


def _share(line: LineView) -> str:
    values = {
        "left": days_left(line),
        "whole": days(line.share_whole or 0),
        "price": money(line.share_amount or 0, line.currency),
        "amount": money(abs(line.amount), line.currency),
    }
    if line.amount < 0:
        return _("%(left)s of %(whole)s days × %(price)s = %(amount)s credit", **values)
    return _("%(left)s of %(whole)s days × %(price)s = %(amount)s", **values)
