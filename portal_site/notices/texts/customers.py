"""E-mails about a customer's address and payment methods."""

from portal_site.billing.portal_access.email_links import Purpose
from portal_site.mail.messages import Message, masked
from portal_site.notices.texts.context import Context
from portal_site.portal import wording
from portal_site.web.rendering.i18n import gettext as _


def email_changed(context: Context) -> Message:
    """The customer has another address: to the old one, so that its owner can object, and to the new one."""
    business, new = context.visitor.business_name, context.value("new")
    values = {"business": business, "new": masked(new) if new else ""}
    if context.value("to") == "new":
        sentence = _("From now on, emails about your billing with %(business)s go to this address.", **values)
    elif new:
        sentence = _("From now on, emails about your billing with %(business)s go to %(new)s.", **values)
    else:
        sentence = _("You will get no more emails about your billing with %(business)s at this address.", **values)
    contact = context.visitor.support_email
    is_old = context.value("to") == "old"
    alarm = _("If you did not change it, tell us at once: reply to this email.") if is_old and contact else ""
    if is_old and not contact:
        alarm = _("If you did not change it, tell %(business)s at once.", **values)
    return Message(
        subject=_("Your email address was changed"),
        heading=_("Your email address was changed"),
        paragraphs=tuple(filter(None, (sentence, alarm))),
        preview=sentence,
    )


def card_expiring(context: Context) -> Message | None:
    """A card that is charged expires soon. None if it is not needed any more."""
    methods = context.methods()
    method = next((each for each in methods if each.id == context.notice.payment_method_id), None)
    if method is None or not method.used_by:
        return None
    sentence = wording.payment_methods.warning(method)
    values = {"products": ", ".join(method.used_by), "payment_method": wording.payment_methods.short_name(method)}
    button = None
    if context.visitor.features.payment_method_update.enabled:
        button = context.link(Purpose.PAYMENT_METHOD, method.id, _("Update your payment method"))
    return Message(
        subject=_("Your %(name)s expires soon", name=values["payment_method"]),
        heading=_("Your card expires soon"),
        paragraphs=(
            sentence,
            _("Add another one, so that %(products)s can continue without interruption.", products=values["products"]),
        ),
        preview=sentence,
        button=button,
        values=values,
    )
