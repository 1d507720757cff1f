"""What a document says. Amounts, sums and parties are those of the invoice's page, from the same functions."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from portal_site.billing.rules.subscriptions.statuses import InvoiceStatus
from portal_site.documents import typesetting
from portal_site.portal.access.visitors import Visitor
from portal_site.portal.reads.credit_notes import CreditNoteLine, CreditNoteView
from portal_site.portal.reads.invoice_lines import LineView
from portal_site.portal.reads.invoices import InvoiceView
from portal_site.portal.wording import invoices, payment_methods, sums
from portal_site.portal.wording.sums import Row
from portal_site.web.rendering import filters, units
from portal_site.web.rendering.filters import date, money, number, unit_money
from portal_site.web.rendering.i18n import current
from portal_site.web.rendering.i18n import gettext as _

Content = dict[str, Any]
LONGEST_FOOT = 60  # characters of the seller's name at the foot of a page


def paper(view: InvoiceView) -> str:
    """The size of paper where the customer is, else where the seller is."""
    places = (view.customer_address, view.seller.address)
    return typesetting.paper(*((place or {}).get("country") for place in places), view.seller.country)


def invoice(view: InvoiceView, visitor: Visitor) -> Content:
    """An invoice: what is to be paid, or how it was paid."""
    title = _("Invoice %(number)s", number=view.number or view.id)
    return {
        **_frame(view, visitor, title, view.finalized_at or view.created),
        "amount": money(view.amount_remaining if view.owed else view.total, view.currency),
        "state": state(view),
        "settled": view.paid_at is not None and view.amount_paid > 0,
        "facts": _facts(invoices.dates(view)),
        "before": [view.description or ""] if view.description else [],
        **_sold(view),
    }


def receipt(view: InvoiceView, visitor: Visitor) -> Content:
    """A receipt: that an invoice was paid, when and with what."""
    facts = _facts([(_("Paid on"), view.paid_at or view.created)])
    facts.append({"label": _("Invoice"), "value": view.number or view.id})
    if view.paid_with is not None:
        facts.append({"label": _("Payment method"), "value": payment_methods.short_name(view.paid_with)})
    return {
        **_frame(view, visitor, _("Receipt %(number)s", number=view.number or view.id), view.paid_at or view.created),
        "amount": money(view.amount_paid, view.currency),
        "state": sums.paid(view),
        "settled": True,
        "facts": facts,
        "before": [],
        **_sold(view),
    }


def credit_note(note: CreditNoteView, visitor: Visitor) -> Content:
    """A credit note: what it takes off which invoice, and where that went."""
    number_of_it = note.invoice.number or note.invoice_id
    issued = note.invoice.finalized_at or note.invoice.created
    return {
        **_frame(note.invoice, visitor, _("Credit note %(number)s", number=note.number), note.created),
        "amount": money(note.amount, note.currency),
        "state": _("Void")
        if note.voided_at
        else _("For invoice %(number)s of %(date)s", number=number_of_it, date=date(issued)),
        "settled": False,
        "facts": [*_facts([(_("Date"), note.created)]), {"label": _("Invoice"), "value": number_of_it}],
        "before": list(filter(None, [note.memo])),
        "lines": [_credited(line, note.currency) for line in note.lines],
        "sums": [_sum(row) for row in sums.credit_note(note)],
        "after": [],
        "footer": "",
    }


def state(view: InvoiceView) -> str:
    """How it stands, in a few words."""
    if view.status == InvoiceStatus.VOID:
        return _("Void")
    if view.owed:
        return _("Please pay by %(date)s", date=date(view.due_date)) if view.due_date else _("Not paid yet")
    if view.amount_paid > 0:
        return sums.paid(view)
    if view.total < 0:
        return _("Credit")
    return _("Added to a later invoice") if view.is_carried_over else _("Nothing to pay")


def _frame(view: InvoiceView, visitor: Visitor, title: str, at: int) -> Content:
    """What every document has: whose it is, from whom, in which language."""
    seller, locale = invoices.seller_name(view.seller), current().locale.split("_")
    day = datetime.fromtimestamp(at, filters.zone(visitor.timezone))
    short = seller if len(seller) <= LONGEST_FOOT else f"{seller[:LONGEST_FOOT]}…"
    return {
        "title": title,
        "seller": seller,
        "brand": visitor.business_name,
        "date": [day.year, day.month, day.day],
        "language": locale[0],
        "region": locale[1] if len(locale) > 1 else None,
        "paper": paper(view),
        "accent": visitor.branding.button,
        "plate": visitor.branding.background,
        "mark": "" if visitor.livemode else _("Test mode"),
        "foot": f"{short} · {title[:LONGEST_FOOT]}",
        "page": _("Page %(page)s of %(pages)s", page="{page}", pages="{pages}"),
        "parties": [
            {"label": _("From"), "lines": invoices.seller(view)},
            {"label": _("To"), "lines": invoices.recipient(view)},
        ],
        "columns": [_("Description"), _("Quantity"), _("Unit price"), _("Amount")],
    }


def _sold(view: InvoiceView) -> Content:
    """The lines of an invoice, what they add up to, and what the law asks to say."""
    return {
        "lines": [_line(line) for line in view.lines],
        "sums": [_sum(row) for row in sums.invoice(view)],
        "after": list(filter(None, [invoices.refunded(view), invoices.without_tax(view)])),
        "footer": view.footer or "",
    }


def _facts(days: Iterable[tuple[str, int]]) -> list[Mapping[str, str]]:
    return [{"label": label, "value": date(at)} for label, at in days]


def _line(line: LineView) -> Content:
    one = replace(line, quantity=None)  # its number has a column of its own
    return {
        "title": invoices.line_title(one),
        "detail": invoices.line_detail(line if line.share_whole else one),
        "quantity": _quantity(line),
        "unit": unit_price(line),
        "amount": money(line.amount, line.currency),
    }


def _quantity(line: LineView) -> str:
    if line.quantity is None:
        return ""
    count = number(line.quantity)
    return units.named(count, line.quantity, line.unit_label) if line.unit_label else count


def unit_price(line: LineView) -> str:
    """The price of one, where the amount is that times the quantity; nothing for prorations and for prices in tiers."""
    if line.unit_amount_decimal is None or line.quantity is None or line.share_whole:
        return ""
    price = Decimal(line.unit_amount_decimal)
    return unit_money(price, line.currency) if abs(price * line.quantity - line.amount) < 1 else ""


def _credited(line: CreditNoteLine, currency: str) -> Content:
    """What it takes off a line of ours is named as the line is, and any other line has the words that it came with."""
    title, detail = line.description, ""
    if line.period_start is not None and line.period_end is not None:
        detail = f"{date(line.period_start, 'medium')} – {date(line.period_end, 'medium')}"
        title = _("Unused time: %(what)s", what=line.product_name) if line.product_name else title
    amount = money(line.amount, currency)
    return {"title": title, "detail": detail, "quantity": "", "unit": "", "amount": amount}


def _sum(row: Row) -> Content:
    amount = money(row.amount, row.currency)
    return {"label": row.label, "note": row.note, "amount": amount, "total": row.kind == sums.TOTAL}


def regret() -> str:
    """What a document says where it does not have all of its characters."""
    return _("Some characters of this document could not be printed. They are shown as “?”.")
