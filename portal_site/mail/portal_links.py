"""The e-mail with a link into the portal that somebody of the merchant's sends to a customer."""

from portal_site.billing.rules.portal import flows
from portal_site.mail.messages import Button, Message
from portal_site.web.rendering.i18n import gettext as _
from portal_site.web.rendering.i18n import ngettext

KIND = "portal_link"


def message(flow_type: str, business: str, address: str, days: int) -> Message:
    """What it says, by the type of the flow that it leads to. The link works for so many days."""
    heading = {
        flows.PAYMENT_METHOD_UPDATE: _("Update your payment method"),
        flows.CUSTOMER_UPDATE: _("Update your billing information"),
        flows.SUBSCRIPTION_UPDATE: _("Change your plan"),
        flows.SUBSCRIPTION_CANCEL: _("Cancel your subscription"),
    }[flow_type]
    sent = _("%(business)s has sent you this link to your billing page.", business=business)
    return Message(
        subject=f"{business}: {heading}",
        heading=heading,
        paragraphs=(sent,),
        preview=sent,
        button=Button(heading, address),
        notes=(
            ngettext("The link works for %(num)s day.", "The link works for %(num)s days.", days),
            _("If you did not expect this email, you can ignore it: nothing changes."),
        ),
    )
