"""Explanations of decline codes for the customer, with advice."""

from flask_babel import gettext as _


def message(code: str | None) -> str:
    """The explanation of a decline code in the page's language; a general one for an unknown code."""
    if code == "insufficient_funds":
        return _("Your bank declined the payment because of insufficient funds. Try another payment method.")
    if code == "expired_card":
        return _("This card has expired. Add a new one or choose another payment method.")
    if code in ("authentication_not_handled", "authentication_required"):
        return _(
            "Your bank could not verify your identity. Nothing was charged. Try again or choose another payment method."
        )
    if code == "payment_method_unactivated":
        return _("This payment method cannot be charged here. Add it again or choose another one.")
    return _("Your bank declined the payment. Nothing was charged. Try another payment method or contact your bank.")
