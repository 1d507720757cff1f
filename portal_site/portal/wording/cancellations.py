"""Cancelling: its effects, and the labels of buttons."""

from typing import TYPE_CHECKING

from portal_site.billing.rules.invoicing.reductions import Reduction
from portal_site.billing.rules.portal.portal_features import Features
from portal_site.billing.rules.subscriptions.cancellation import CancellationQuote
from portal_site.portal.access.visitors import Visitor
from portal_site.portal.wording import subscriptions
from portal_site.web.rendering.filters import date, money
from portal_site.web.rendering.i18n import gettext as _

if TYPE_CHECKING:
    from portal_site.portal.changes.cancellations import EndingPage


def consequences(page: "EndingPage") -> list[str]:
    """When the subscription ends and what is billed until then. The amounts settled now are shown below."""
    ending, subscription = page.ending, page.subscription
    assert ending is not None
    names = ", ".join(subscription.products)
    if not ending.immediate:
        until = date(ending.ends_at)
        nothing = _("You will not be billed for it again.")
        return [
            _(
                "Your subscription to %(products)s continues until %(date)s, then ends. You can change your mind until then.",
                products=names,
                date=until,
            ),
            subscriptions.before_the_end(page.following) or nothing,
        ]
    sentences = [_("Your subscription to %(products)s ends now and will not renew.", products=names)]
    if not page.lines and not ending.reductions and subscription.status.renews:
        sentences.append(_("Time that you have paid for and not used will not be refunded."))
    return sentences


def losses_and_debts(page: "EndingPage", visitor: Visitor) -> list[str]:
    """What else ends with the subscription, and what remains to be paid."""
    ending, features = page.ending, visitor.features
    assert ending is not None
    reduced = [_reduced(reduction, page.subscription.currency) for reduction in ending.reductions]
    sentences = [*_credit_stays(ending, visitor), *reduced]
    if ending.lost:
        lost = money(ending.lost, page.subscription.currency)
        sentences.append(_("You will lose %(amount)s of credit that was meant for your next invoice.", amount=lost))
    elif ending.drops:
        sentences.append(_("Changes that are awaiting payment or your next invoice will be discarded."))
    if page.owed and features.invoice_history.enabled:
        sentences.append(_("Unpaid invoices remain due. You can find them in your invoice history."))
    elif page.owed:
        sentences.append(_("Unpaid invoices remain due. You can find them on the overview."))
    return sentences


def _credit_stays(ending: CancellationQuote, visitor: Visitor) -> list[str]:
    """What happens to credit that no further invoice will use."""
    credit = -ending.invoice.credit_used if ending.immediate else 0
    if credit <= 0:
        return []
    stays = _("%(amount)s stays as credit for when you come back.", amount=money(credit, ending.invoice.currency))
    if not visitor.support_email:
        return [stays]
    return [stays, _("To have it paid back, write to %(address)s.", address=visitor.support_email)]


def _reduced(reduction: Reduction, currency: str) -> str:
    """How an unpaid invoice is reduced."""
    off = money(reduction.amount, currency)
    return _("Invoice %(number)s is reduced by %(amount)s for unused time.", number=reduction.number, amount=off)


def invoices_stay(features: Features) -> str:
    """That invoices remain available, if the history is shown."""
    return _("You will still find your invoices here.") if features.invoice_history.enabled else ""


def confirm(page: "EndingPage", visitor: Visitor) -> str:
    """The button; the merchant may set its label."""
    assert page.ending is not None
    own = visitor.features.subscription_cancel.confirm_label
    return own or (_("Cancel now") if page.ending.immediate else _("Cancel subscription"))
