"""What a program is told of a payment that was declined: Stripe's code, its decline code and a sentence."""

from dataclasses import dataclass

AUTHENTICATION, NOT_AUTHENTICATED = "authentication_required", "authentication_not_handled"
# Codes of their own, without a decline code, with their sentences.
_OWN = {
    "expired_card": "Your card has expired.",
    "incorrect_cvc": "Your card's security code is incorrect.",
    "processing_error": "An error occurred while processing your card. Try again in a little bit.",
    "debit_not_authorized": "The customer has notified their bank that this payment was unauthorized.",
    "payment_method_unactivated": "The payment method cannot be used any more.",
}
_SENTENCES = {
    "insufficient_funds": "Your card has insufficient funds.",
    "card_velocity_exceeded": (
        "Your card was declined for making repeated attempts too frequently or exceeding its amount limit."
    ),
    AUTHENTICATION: "Your card was declined. This transaction requires authentication.",
}
_FAILED_CHECK = (
    "We are unable to authenticate your payment method. Please choose a different payment method and try again."
)


@dataclass(frozen=True, slots=True)
class Decline:
    """A decline in the API's words."""

    code: str
    message: str
    decline_code: str | None = None
    param: str | None = None

    @property
    def has_charge(self) -> bool:
        """Whether the bank was asked for money: not before it knows the customer."""
        return not self.code.endswith("_authentication_failure")


def read(decline_code: str | None, noun: str = "payment") -> Decline:
    """A gateway's decline code for programs; `noun` is `setup` where a payment method was to be saved."""
    if decline_code == NOT_AUTHENTICATED:
        return Decline(f"{noun}_intent_authentication_failure", _FAILED_CHECK)
    if decline_code in _OWN:
        return Decline(decline_code, _OWN[decline_code], None, "exp_month" if decline_code == "expired_card" else None)
    known = decline_code if decline_code not in (None, "card_declined") else "generic_decline"
    code = AUTHENTICATION if known == AUTHENTICATION else "card_declined"
    return Decline(code, _SENTENCES.get(known or "", "Your card was declined."), known)
