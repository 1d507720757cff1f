"""E-mails about invoices and their payments."""

from collections.abc import Iterator

from portal_site.billing.portal_access.email_links import Purpose
from portal_site.billing.rules.subscriptions.statuses import AttemptStatus
from portal_site.mail.messages import Button, Message
from portal_site.notices.texts.context import Context
from portal_site.portal import wording
from portal_site.portal.reads.invoices import InvoiceView
from portal_site.web.rendering.filters import date, money
from portal_site.web.rendering.i18n import gettext as _
from portal_site.web.rendering.i18n import ngettext

MOST_LINES = 12


def payment_failed(context: Context) -> Message | None:
    """A payment was declined. None if it is paid by now, or waits for an authentication."""
    invoice = context.invoice()
    if invoice is None or not invoice.owed or invoice.processing or _awaits_authentication(invoice):
        return None
    amount = _left(invoice)
    return Message(
        subject=_("Your payment of %(amount)s failed", amount=amount),
        heading=_("Your payment did not go through"),
        paragraphs=(wording.invoices.due(invoice, (), context.visitor.dunning, context.at),),
        preview=_("You can pay with another payment method."),
        rows=_rows(invoice),
        button=_pay(context, invoice),
        values={"amount": amount, "invoice_number": _number(invoice)},
    )


def authentication_needed(context: Context) -> Message | None:
    """The bank asks the customer to confirm a payment. None once that is over."""
    invoice = context.invoice()
    if invoice is None or not (invoice.owed and _awaits_authentication(invoice)):
        return None
    amount = _left(invoice)
    return Message(
        subject=_("Please confirm your payment of %(amount)s", amount=amount),
        heading=_("Your bank asks you to confirm a payment"),
        opening=(
            _(
                "Your bank asks you to confirm the payment of %(amount)s for invoice %(number)s. Nothing is charged until "
                "you do.",
                amount=amount,
                number=_number(invoice),
            ),
        ),
        preview=_("Nothing is charged until you confirm it."),
        rows=_rows(invoice),
        button=context.link(Purpose.INVOICE, invoice.id, _("Confirm the payment")),
        values={"amount": amount, "invoice_number": _number(invoice)},
    )


def finalized(context: Context) -> Message | None:
    """An invoice that the customer pays by itself. None if it is settled already."""
    invoice = context.invoice()
    if invoice is None or not invoice.owed:
        return None
    values = {"number": _number(invoice), "amount": _left(invoice), "business": context.visitor.business_name}
    sentence = _("Invoice %(number)s for %(amount)s is ready.", **values)
    if invoice.due_date:
        sentence = _("Please pay %(amount)s by %(date)s.", date=date(invoice.due_date), **values)
    return Message(
        subject=_("Invoice %(number)s from %(business)s", **values),
        heading=_("Your invoice for %(amount)s", **values),
        opening=(sentence,),
        preview=sentence,
        rows=(*_lines(invoice), *_rows(invoice)),
        button=_pay(context, invoice),
        values={"amount": values["amount"], "invoice_number": values["number"]},
    )


def unpaid_reminder(context: Context) -> Message | None:
    """An invoice is due soon, today, or was due. None if it is settled, or a payment is on its way."""
    invoice = context.invoice()
    if invoice is None or not invoice.owed or invoice.processing or not invoice.due_date:
        return None
    values = {"number": _number(invoice), "amount": _left(invoice), "date": date(invoice.due_date)}
    days = context.value("days", 0)
    if days > 0:
        subject = _("Invoice %(number)s is due on %(date)s", **values)
        sentence = _("Invoice %(number)s for %(amount)s is due on %(date)s.", **values)
    elif days == 0:
        subject = _("Invoice %(number)s is due today", **values)
        sentence = _("Invoice %(number)s for %(amount)s is due today.", **values)
    else:
        subject = _("Invoice %(number)s is overdue", **values)
        sentence = _("Invoice %(number)s for %(amount)s was due on %(date)s and is still unpaid.", **values)
    return Message(
        subject=subject,
        heading=subject,
        opening=(sentence,),
        paragraphs=(_("If you have already paid it, you can ignore this email."),),
        preview=sentence,
        rows=_rows(invoice),
        button=_pay(context, invoice),
        values={"amount": values["amount"], "invoice_number": values["number"], "date": values["date"]},
    )


def receipt(context: Context) -> Message | None:
    """Money has come for an invoice."""
    invoice = context.invoice()
    if invoice is None or not invoice.amount_paid:
        return None
    amount = money(invoice.amount_paid, invoice.currency)
    values = {"amount": amount, "business": context.visitor.business_name}
    paid_on = date(invoice.paid_at or context.at)
    paid = [(_("Invoice"), _number(invoice)), (_("Amount paid"), amount), (_("Paid on"), paid_on)]
    if invoice.paid_with is not None:
        paid.append((_("Payment method"), wording.payment_methods.short_name(invoice.paid_with)))
    return Message(
        subject=_("Receipt for %(amount)s from %(business)s", **values),
        heading=_("Thank you for your payment"),
        opening=(_("We have received %(amount)s for invoice %(number)s.", number=_number(invoice), **values),),
        preview=_("Invoice %(number)s is paid.", number=_number(invoice)),
        rows=(*_lines(invoice), *paid),
        button=context.link(Purpose.INVOICE, invoice.id, _("See the invoice")),
        values={"amount": amount, "invoice_number": _number(invoice), "date": paid_on},
    )


def refunded(context: Context) -> Message | None:
    """Money of a payment was given back."""
    invoice = context.invoice()
    if invoice is None:
        return None
    amount = money(context.value("amount"), context.value("currency"))
    sentence = _(
        "We refunded %(amount)s of your payment for invoice %(number)s.", amount=amount, number=_number(invoice)
    )
    rows = [(_("Refund"), amount), (_("Invoice"), _number(invoice))]
    if invoice.paid_with is not None:
        rows.append((_("Payment method"), wording.payment_methods.short_name(invoice.paid_with)))
    return Message(
        subject=_("Refund of %(amount)s", amount=amount),
        heading=_("You are getting a refund of %(amount)s", amount=amount),
        opening=(sentence,),
        paragraphs=(_("It may take a few days to appear on your statement."),),
        preview=sentence,
        rows=tuple(rows),
        button=context.link(Purpose.INVOICE, invoice.id, _("See the invoice")),
        values={"amount": amount, "invoice_number": _number(invoice)},
    )


# --- parts ------------------------------------------------------------------------------------------------------------


def _awaits_authentication(invoice: InvoiceView) -> bool:
    return invoice.attempt_status == AttemptStatus.REQUIRES_ACTION


def _number(invoice: InvoiceView) -> str:
    return invoice.number or invoice.id


def _left(invoice: InvoiceView) -> str:
    return money(invoice.amount_remaining, invoice.currency)


def _pay(context: Context, invoice: InvoiceView) -> Button:
    return context.link(Purpose.INVOICE, invoice.id, wording.invoices.pay(invoice))


def _lines(invoice: InvoiceView) -> tuple[tuple[str, str], ...]:
    """What was bought; of very long invoices the beginning."""
    shown = [
        (wording.invoices.line_title(line), money(line.amount, line.currency)) for line in invoice.lines[:MOST_LINES]
    ]
    more = len(invoice.lines) - len(shown)
    rest = [(ngettext("and %(num)s more line", "and %(num)s more lines", more), "")] if more > 0 else []
    return (*shown, *rest, *_sums(invoice))


def _sums(invoice: InvoiceView) -> Iterator[tuple[str, str]]:
    """How the lines add up to the total; what was paid of it stands below."""
    for row in wording.sums.invoice(invoice):
        yield " ".join(filter(None, (row.label, row.note))), row.words or money(row.amount, row.currency)
        if row.kind == wording.sums.TOTAL:
            return


def _rows(invoice: InvoiceView) -> tuple[tuple[str, str], ...]:
    rows = [(_("Invoice"), _number(invoice)), (_("Amount due"), _left(invoice))]
    if invoice.due_date:
        rows.append((_("Due date"), date(invoice.due_date)))
    return tuple(rows)
