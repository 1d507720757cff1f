"""Cancelling: what it brings about, in sentences, and what its buttons say."""

from typing import TYPE_CHECKING

from portal_site.portal.visitors import Visitor
from portal_site.portal.wording import subscriptions
from portal_site.web.filters import date, money
from portal_site.web.i18n import gettext as _

if TYPE_CHECKING:
    from portal_site.portal.cancellations import EndingPage


def reason_intro(asked: bool) -> str:
    """What the first page is for."""
    if asked:
        return _("Tell us why, so that we can do better. Nothing is cancelled yet.")
    return _("You see what happens before anything is cancelled.")


def consequences(page: "EndingPage") -> list[str]:
    """When it ends and what is billed until then. What is settled at once, if anything is, stands below in figures."""
    ending, subscription = page.ending, page.subscription
    assert ending is not None
    names = ", ".join(subscription.products)
    if not ending.immediate:
        until = date(ending.ends_at)
        nothing = _("Nothing more is billed for it.")
        return [
            _(
                "%(products)s goes on until %(date)s and then ends. You can change your mind until then.",
                products=names,
                date=until,
            ),
            subscriptions.before_the_end(page.following) or nothing,
        ]
    sentences = [_("%(products)s ends at once, and nothing is renewed.", products=names)]
    if not page.lines and subscription.status.renews:
        sentences.append(_("Time that you have paid for and do not use is not paid back."))
    return sentences


def losses_and_debts(page: "EndingPage") -> list[str]:
    """What goes with it, and what does not."""
    ending = page.ending
    assert ending is not None
    sentences = []
    if ending.lost:
        lost = money(ending.lost, page.subscription.currency)
        sentences.append(_("%(amount)s of credit, which waits for your next invoice, is lost.", amount=lost))
    elif ending.drops:
        sentences.append(_("Changes that wait for a payment or for the next invoice are dropped."))
    if page.owed:
        sentences.append(_("What is open stays to be paid. You find it in your invoice history."))
    return sentences


def confirm(page: "EndingPage", visitor: Visitor) -> str:
    """The button; its words may be the merchant's."""
    assert page.ending is not None
    own = visitor.features.subscription_cancel.confirm_label
    return own or (_("Cancel now") if page.ending.immediate else _("Cancel subscription"))
