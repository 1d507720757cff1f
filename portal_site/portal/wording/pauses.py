"""Pauses: their length and effect, and resuming."""

from typing import TYPE_CHECKING

from portal_site.billing.rules.subscriptions.pauses import Pause, PauseLength
from portal_site.billing.rules.subscriptions.plan_change import Quote
from portal_site.portal.wording import invoices
from portal_site.web.rendering.filters import date, money, stretch
from portal_site.web.rendering.i18n import gettext as _

if TYPE_CHECKING:
    from portal_site.portal.changes.pauses import PausePage, ResumptionPage


def consequences(page: "PausePage") -> list[str]:
    """The effect of a pause, and what happens to the unused paid time."""
    names = ", ".join(page.subscription.products)
    sentences = [
        _(
            "Your subscription to %(products)s pauses now. You will not be billed until it resumes, and you can resume it "
            "at any time.",
            products=names,
        )
    ]
    credit = page.offers[0][1].credit
    if credit > 0:
        worth = money(credit, page.currency)
        sentences.append(
            _(
                "Your unused time is worth %(amount)s. It will be taken off your first invoice after the pause.",
                amount=worth,
            )
        )
    if any(discount.end for discount in page.subscription.discounts):
        sentences.append(_("Your discount will not run out during the pause: it will end that much later."))
    return sentences


def length(span: PauseLength) -> str:
    """A length of a pause."""
    if span.interval is None:
        return _("Until I resume it")
    return _("For %(time)s", time=stretch(span.count, span.interval))


def end(pause: Pause) -> str:
    """When the pause ends automatically, if it does."""
    if pause.resumes_at is None:
        return ""
    return _("It resumes, and is billed again, on %(date)s.", date=date(pause.resumes_at))


def resumption(page: "ResumptionPage") -> list[str]:
    """What is due today, if the page has no quote that says so, and the next invoice."""
    sentences = [] if page.quote else [_("It resumes now. Nothing is due today.")]
    return [*sentences, invoices.upcoming(page.next_invoice)] if page.next_invoice else sentences


def resume(quote: Quote | None) -> str:
    """The button that resumes."""
    if quote is None or not quote.invoice.amount_due:
        return _("Resume subscription")
    return _("Resume and pay %(amount)s", amount=money(quote.invoice.amount_due, quote.invoice.currency))
