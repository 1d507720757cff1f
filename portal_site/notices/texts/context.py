"""What a text is made from, and the parts that all e-mails have."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from portal_site.billing.portal_access.email_links import Purpose
from portal_site.mail import links, own_words, rendering
from portal_site.mail.messages import Button, Message
from portal_site.notices.kinds import NAMES
from portal_site.notices.triggers import Notice
from portal_site.portal.access.visitors import Visitor
from portal_site.portal.reads import invoices, overview
from portal_site.portal.reads.invoices import InvoiceView
from portal_site.portal.reads.payment_methods import PaymentMethodView
from portal_site.portal.reads.subscriptions import SubscriptionView
from portal_site.web import addresses
from portal_site.web.rendering.i18n import gettext as _


@dataclass(frozen=True)
class Context:
    """A notice with its customer. `at` is the customer's time, `real` the clock's, by which links are made and expire."""

    notice: Notice
    visitor: Visitor
    at: int
    real: int

    def value(self, name: str, default: Any = None) -> Any:
        """What the event or the date knows."""
        return self.notice.values.get(name, default)

    def subscription(self) -> tuple[SubscriptionView, PaymentMethodView | None] | None:
        """The notice's subscription with what it is charged to; None if it is gone."""
        return overview.find_subscription(self.visitor, self.notice.subscription_id or "", self.at)

    def methods(self) -> list[PaymentMethodView]:
        """The customer's payment methods, the default first."""
        return overview.find(self.visitor, self.at).methods

    def invoice(self) -> InvoiceView | None:
        """The notice's invoice; None if it is gone."""
        return invoices.find(self.visitor.scope, self.notice.invoice_id or "")

    def link(self, purpose: Purpose, object_id: str, words: str) -> Button:
        """A button that leads to the page of a link for this purpose."""
        whose = self.visitor
        address = links.address(whose.account_id, purpose, whose.customer_id, whose.email, object_id, self.real)
        return Button(words, address)

    def manage(self, subscription: SubscriptionView) -> Button:
        """The button to the page of a subscription."""
        return self.link(Purpose.SUBSCRIPTION, subscription.id, _("Manage your subscription"))


def finished(message: Message, context: Context, texts: Mapping[str, Any] | None) -> Message:
    """A message with the merchant's own words, from `Account.email_texts`, and with what stands below all of them.

    That is whom to ask, the login page, and how to stop a reminder.
    """
    message, visitor = _in_own_words(message, context, texts), context.visitor
    found = list(message.links)
    notes = message.notes
    if visitor.support_email:
        notes = (*notes, _("Questions? Write to %(address)s.", address=visitor.support_email))
    if visitor.login_page_id:
        address = addresses.of(visitor.account_id, "logins.show_login", login_page_id=visitor.login_page_id)
        found.append(Button(_("Your billing page"), address))
    if not context.notice.is_reminder:
        return replace(message, notes=notes, links=tuple(found))
    stop = context.link(Purpose.REMINDERS, context.notice.kind, _("Stop these reminders"))
    return replace(message, notes=notes, links=(*found, stop), unsubscribe=stop.address)


def _in_own_words(message: Message, context: Context, texts: Mapping[str, Any] | None) -> Message:
    kind, visitor = context.notice.kind, context.visitor
    words = own_words.of(texts, kind, rendering.language())
    if not words:
        return message
    customer = visitor.name or visitor.email or ""
    values = {"business_name": visitor.business_name, "customer_name": customer, **message.values}
    return own_words.put_in(message, words, {name: values[name] for name in NAMES[kind]})
