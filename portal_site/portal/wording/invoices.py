"""Invoices: what is due, and the texts of lines."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from portal_site.billing.rules.amounts.items import Item
from portal_site.billing.rules.customers import tax_ids
from portal_site.billing.rules.payments.dunning import DunningPolicy
from portal_site.billing.rules.portal.portal_features import Features
from portal_site.billing.rules.subscriptions.forecast import NextInvoice
from portal_site.billing.rules.subscriptions.statuses import InvoiceStatus, SubscriptionStatus
from portal_site.portal.reads.invoice_history import InvoiceFilter
from portal_site.portal.reads.invoice_lines import LineView
from portal_site.portal.reads.invoice_parts import CreditNoteSummary, Seller
from portal_site.portal.reads.invoices import InvoiceSummary, InvoiceView
from portal_site.portal.reads.subscriptions import SubscriptionView
from portal_site.web.input import postal_addresses
from portal_site.web.rendering import decline_messages
from portal_site.web.rendering.filters import DAY, date, days, days_left, minute, money, number
from portal_site.web.rendering.i18n import gettext as _
from portal_site.web.rendering.i18n import ngettext

MOST_DUE = 3


def due(invoice: InvoiceSummary, of_changes: Collection[str], dunning: DunningPolicy, now: int) -> str:
    """Why this invoice is due, and what happens if it stays so. `of_changes` are the ids of those that pending updates await."""
    sentence = _after_failure(invoice, _due(invoice, of_changes, now))
    if invoice.id in of_changes or not invoice.attempt_count:
        return sentence
    return " ".join((sentence, *_unless_paid(invoice, dunning, now)))


def urgency(invoice: InvoiceSummary, now: int) -> tuple[str, str]:
    """The classes and the icon of what is to be paid: no alarm as long as it is not due and no payment has failed."""
    is_due = not (invoice.due_date and invoice.due_date > now) or invoice.declined
    return ("callout callout-bad", "alert") if is_due else ("callout", "clock")


def _unless_paid(invoice: InvoiceSummary, dunning: DunningPolicy, now: int) -> list[str]:
    """When the payment is tried again, and what becomes of the subscription once all retries have failed."""
    again = invoice.next_payment_attempt
    if again is None or again <= now:
        return []
    found = [_("We will try again on %(date)s.", date=date(again))]
    last = dunning.last_try(invoice.attempt_count, again)
    if invoice.subscription_id is None or dunning.end == SubscriptionStatus.PAST_DUE:
        return found
    if dunning.end == SubscriptionStatus.CANCELED:
        ends = _("If it stays unpaid, your subscription ends on %(date)s.", date=date(last))
        return [*found, ends if last > again else _("If that fails too, your subscription ends.")]
    waits = _("If it stays unpaid, your subscription is put on hold on %(date)s.", date=date(last))
    return [*found, waits if last > again else _("If that fails too, your subscription is put on hold.")]


def _due(invoice: InvoiceSummary, of_changes: Collection[str], now: int) -> str:
    amount = money(invoice.amount_remaining, invoice.currency)
    if invoice.id in of_changes:
        return _change_waits_for(amount)
    values = {"number": invoice.number or "", "amount": amount}
    if invoice.due_date and invoice.due_date > now:
        return _("Invoice %(number)s for %(amount)s is due on %(date)s.", date=date(invoice.due_date), **values)
    return _("Invoice %(number)s of %(date)s for %(amount)s is unpaid.", date=date(invoice.created), **values)


def _after_failure(invoice: InvoiceSummary, sentence: str) -> str:
    """The sentence, after the reason of the last failed payment, if any."""
    return f"{sentence} {decline_messages.message(invoice.decline_code)}" if invoice.declined else sentence


def notice(invoice: InvoiceView) -> str | None:
    """The template of the notice about its last payment, if there is one."""
    if invoice.processing:
        return "portal/invoices/_processing.html"
    return "portal/invoices/_declined.html" if invoice.declined else None


def processing(invoice: InvoiceSummary) -> str:
    """That a bank debit is processing, and how long that can take."""
    sentence = _(
        "Your bank is processing the payment of %(amount)s for invoice %(number)s.",
        amount=money(invoice.amount_remaining, invoice.currency),
        number=invoice.number or "",
    )
    return " ".join((sentence, _longest(invoice), _("You do not need to do anything.")))


def _longest(invoice: InvoiceSummary) -> str:
    count = round(invoice.longest_processing / DAY)
    return ngettext("This can take a day.", "This can take up to %(num)s days.", count)


def processing_change(invoice: InvoiceSummary) -> str:
    """The same for the debit of a pending update."""
    amount = money(invoice.amount_remaining, invoice.currency)
    sentence = _("Your bank is processing the payment of %(amount)s for your change.", amount=amount)
    return " ".join((sentence, _longest(invoice), _("Until then, your plan stays as it is.")))


def _change_waits_for(amount: str) -> str:
    return _(
        "Your plan change takes effect as soon as %(amount)s is paid. Until then, your plan stays as it is.",
        amount=amount,
    )


def pending_change(subscription: SubscriptionView) -> str:
    """What a pending update awaits, and until when."""
    invoice = subscription.waiting_invoice
    waits = (
        _change_waits_for(money(invoice.amount_remaining, invoice.currency))
        if invoice
        else _("Your plan change takes effect as soon as its invoice is paid. Until then, your plan stays as it is.")
    )
    assert subscription.pending_update is not None
    until = _("You can pay until %(moment)s.", moment=minute(subscription.pending_update.expires_at))
    return f"{_after_failure(invoice, waits) if invoice else waits} {until}"


def state(invoice: InvoiceSummary, now: int) -> tuple[str, str]:
    """The status as text and tone. Settled states have no colour."""
    if invoice.processing:
        return _("Processing"), "note"
    if invoice.owed and invoice.due_date and invoice.due_date > now:
        return _("Due %(date)s", date=date(invoice.due_date, "medium")), "warning"
    tones = {InvoiceStatus.OPEN: "bad", InvoiceStatus.PAID: "quiet" if invoice.is_carried_over else "settled"}
    words = status(invoice.status, invoice.total, is_carried_over=invoice.is_carried_over)
    return words, tones.get(invoice.status, invoice.status.tone)


def status(status: InvoiceStatus, total: int, *, is_carried_over: bool) -> str:
    """The status in words. An invoice is also `paid` if nothing had to be paid: its amount is credit, or carried over."""
    if status == InvoiceStatus.OPEN:
        return _("Unpaid")
    if status != InvoiceStatus.PAID or (total >= 0 and not is_carried_over):
        return _(status.label)
    return _("Credit") if total < 0 else _("Carried over")


def row_name(invoice: InvoiceSummary, now: int) -> str:
    """The accessible name of a link in a list of invoices, for those who do not see its row."""
    amount, words = money(invoice.total, invoice.currency), state(invoice, now)[0]
    values = {"number": invoice.number or invoice.id, "date": date(invoice.created, "medium")}
    return _("%(date)s, invoice %(number)s, %(amount)s, %(state)s", amount=amount, state=words, **values)


def file_name(invoice: InvoiceSummary) -> str:
    """What the link to an invoice's file is called."""
    return _("Download invoice %(number)s as PDF", number=invoice.number or invoice.id)


def pay(invoice: InvoiceSummary | None) -> str:
    """The button that pays the invoice, without the amount if the invoice is unknown."""
    if invoice is None:
        return _("Pay now")
    return _("Pay %(amount)s", amount=money(invoice.amount_remaining, invoice.currency))


def charged_now(invoice: InvoiceSummary) -> str:
    """What paying now does."""
    amount = money(invoice.amount_remaining, invoice.currency)
    return _("You will be charged %(amount)s now.", amount=amount)


def brings_about(subscription: SubscriptionView | None, others: int, now: int) -> list[str]:
    """The effect of paying for a subscription on hold with `others` more open invoices."""
    if subscription is None or subscription.status != SubscriptionStatus.UNPAID:
        return []
    on_hold = _("Your subscription is on hold.")
    if others:
        more = ngettext(
            "It resumes once its other unpaid invoice is paid too.",
            "It resumes once its %(num)s other unpaid invoices are paid too.",
            others,
        )
        return [on_hold, more]
    items = subscription.snapshot.items
    ends = {item.period_end for item in items}
    if len(ends) > 1:
        return [on_hold, _("With this payment it resumes."), *(_resumes(item, now) for item in items)]
    return [on_hold, *(_resumes_whole(end, now) for end in ends)]


def _resumes_whole(period_end: int, now: int) -> str:
    """Whether the current period continues, as `payments.outcomes` decides it: a period that is over is not delivered later."""
    if period_end > now:
        return _(
            "With this payment it resumes at once. The current period stays as it is, and nothing more is billed before "
            "%(date)s.",
            date=date(period_end),
        )
    return _(
        "Its period ended on %(date)s. With this payment it resumes: a new period starts and is billed then. "
        "The time in between is not billed.",
        date=date(period_end),
    )


def _resumes(item: Item, now: int) -> str:
    values = {"product": item.offer.product, "date": date(item.period_end)}
    if item.period_end > now:
        return _("%(product)s: the current period stays as it is, until %(date)s.", **values)
    return _(
        "%(product)s: its period ended on %(date)s; a new one starts and is billed then. The time in between is not billed.",
        **values,
    )


def due_first(open_invoices: Sequence[InvoiceSummary], features: Features) -> Sequence[InvoiceSummary]:
    """The invoices that a page offers to pay: the first few if the history shows the others, else all."""
    return open_invoices[:MOST_DUE] if features.invoice_history.enabled else open_invoices


def due_of(subscription: SubscriptionView, features: Features) -> Sequence[InvoiceSummary]:
    """The invoices that a subscription's page offers to pay, without those that have their own button elsewhere on it."""
    if subscription.status == SubscriptionStatus.INCOMPLETE and features.subscription_restart.enabled:
        return ()
    elsewhere = subscription.waiting_invoice if waits_visibly(subscription, features) else None
    found = [invoice for invoice in subscription.open_invoices if invoice != elsewhere]
    if subscription.status == SubscriptionStatus.UNPAID:
        found += subscription.written_off
    return due_first(found, features)


def waits_visibly(subscription: SubscriptionView, features: Features) -> bool:
    """Whether the page shows the pending update, which it does unless all changes are disabled."""
    shown = features.subscription_update.enabled or features.subscription_pause.enabled
    return shown and subscription.pending_update is not None


def seller_name(seller: Seller) -> str:
    """Who sells, and for whom where that is another business."""
    if seller.behalf is None:
        return seller.name
    return _("%(seller)s for %(business)s", seller=seller.name, business=seller.behalf)


def seller(invoice: InvoiceView) -> list[str]:
    """Whom it is from, line by line."""
    address = postal_addresses.lines(invoice.seller.address)
    return [seller_name(invoice.seller), *address, *(str(tax_id["value"]) for tax_id in invoice.seller.tax_ids)]


def without_tax(invoice: InvoiceView) -> str:
    """Why the invoice has no tax, as laws require; empty if it has some or the reason is unknown."""
    if invoice.customer_tax_exempt == "exempt" and not invoice.total_taxes:
        return _("Tax exempt: no tax is charged to the recipient.")
    if invoice.customer_tax_exempt != "reverse" or invoice.total_taxes:
        return ""
    country = (invoice.customer_address or {}).get("country") or ""
    european = any(tax_id["type"] == "eu_vat" for tax_id in invoice.customer_tax_ids)
    if country and not european and not tax_ids.has_european_vat(country.upper()):
        return _("Reverse charge: the recipient accounts for the tax.")
    return _("Reverse charge: the recipient accounts for the VAT (Directive 2006/112/EC, article 226 (11a)).")


def refunded(invoice: InvoiceView) -> str:
    """What of its payment was given back; nothing where nothing was."""
    if not invoice.amount_refunded:
        return ""
    return _("We refunded %(amount)s of your payment.", amount=money(invoice.amount_refunded, invoice.currency))


def taken_back(invoice: InvoiceView) -> str:
    """What of its payment a bank took back because it is disputed; nothing where nothing was."""
    if not invoice.amount_disputed:
        return ""
    amount = money(invoice.amount_disputed, invoice.currency)
    return _("Your bank took back %(amount)s of your payment, because it is disputed.", amount=amount)


def credit_note_name(note: CreditNoteSummary) -> str:
    """The name of a credit note, and whether it is void."""
    if note.voided_at:
        return _("Credit note %(number)s (void)", number=note.number)
    return _("Credit note %(number)s", number=note.number)


def recipient(invoice: InvoiceView) -> list[str]:
    """The recipient's lines."""
    address = postal_addresses.lines(invoice.customer_address)
    own = [str(tax_id["value"]) for tax_id in invoice.customer_tax_ids]
    return [line for line in (invoice.customer_name, *address, invoice.customer_email, *own) if line]


def dates(invoice: InvoiceView) -> list[tuple[str, int]]:
    """The dates of an invoice with their labels."""
    days_of = [
        (_("Date"), invoice.finalized_at or invoice.created),
        (_("Due date"), invoice.due_date),
        (_("Paid on"), invoice.paid_at if invoice.total >= 0 and not invoice.is_carried_over else None),
        (_("Voided on"), invoice.voided_at),
    ]
    return [(label, at) for label, at in days_of if at]


def open_ones(count: int) -> str:
    """How many open invoices can be paid with the payment methods on the page."""
    return ngettext(
        "You have an unpaid invoice. You can pay it with one of these.",
        "You have %(num)s unpaid invoices. You can pay them with one of these.",
        count,
    )


def upcoming(invoice: NextInvoice) -> str:
    """The date and the amount of the next invoice."""
    values: dict[str, Any] = {"date": date(invoice.date), "amount": money(invoice.amount_due, invoice.currency)}
    if invoice.varies:
        return _("Your next invoice, on %(date)s, will be %(amount)s plus your usage.", **values)
    return _("Your next invoice, on %(date)s, will be %(amount)s.", **values)


@dataclass(frozen=True)
class FilterLink:
    """A link to a filtered history, with its query parameters; `current` is 'true' for the one that is shown."""

    words: str
    arguments: dict[str, str]
    current: str | None


def filters(wanted: InvoiceFilter, years: Sequence[int]) -> list[FilterLink]:
    """The choices: all invoices, unpaid ones, and each year, with the current one marked."""
    choices = [(_("All"), InvoiceFilter()), (_("Unpaid invoices"), InvoiceFilter(unpaid=True))]
    choices += [(str(year), InvoiceFilter(year=year)) for year in years]
    return [FilterLink(words, choice.arguments, "true" if choice == wanted else None) for words, choice in choices]


def none_found(after: str | None = None, wanted: InvoiceFilter | None = None) -> str:
    """The text of an empty list: no invoices yet, no earlier ones, or none that match."""
    if wanted is not None and wanted.text:
        return _("No invoice has the number or the amount “%(text)s”.", text=wanted.text)
    if wanted is not None and wanted.unpaid:
        return _("You have no unpaid invoices.")
    if wanted is not None and wanted.year:
        return _("There are no invoices from %(year)s.", year=wanted.year)
    return _("There are no older invoices.") if after else _("No invoices yet. Your invoices will appear here.")


def line_title(line: LineView) -> str:
    """The title of a line."""
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
    """The calculation or the period of a line; empty if it has no period."""
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
        "price": money(line.share_amount or 0, line.currency),
        "amount": money(abs(line.amount), line.currency),
    }
    if line.share_whole == DAY and line.amount < 0:
        return _("%(left)s of one day × %(price)s = %(amount)s credit", **values)
    if line.share_whole == DAY:
        return _("%(left)s of one day × %(price)s = %(amount)s", **values)
    values["whole"] = days(line.share_whole or 0)
    if line.amount < 0:
        return _("%(left)s of %(whole)s days × %(price)s = %(amount)s credit", **values)
    return _("%(left)s of %(whole)s days × %(price)s = %(amount)s", **values)
