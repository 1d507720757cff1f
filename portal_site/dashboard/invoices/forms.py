"""The form that gives back what was paid of an invoice."""

import secrets
from typing import Any

from wtforms import HiddenField, SelectField
from wtforms.validators import Length

from portal_site.billing.errors import BillingError
from portal_site.billing.payments.refunds import REASONS, Refundable, RefundTerms
from portal_site.billing.rules.amounts import money
from portal_site.dashboard.catalog import typed
from portal_site.dashboard.settings.sections import one_of
from portal_site.web.input.forms import PortalForm, Required, checked_field, choices, text_field
from portal_site.web.rendering import filters

LONGEST_MEMO = 500
LONGEST_KEY = 64
METHOD, BALANCE = "payment_method", "balance"


class RefundForm(PortalForm):
    """How much is given back, where to, and why. `key` makes one refund of two clicks."""

    amount = checked_field("Amount", 40, True)
    where = one_of("Refund to", ())
    reason = SelectField("Reason", default="")
    memo = text_field("Message to the customer", LONGEST_MEMO)
    key = HiddenField(validators=[Required(), Length(max=LONGEST_KEY)])

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = ((reason, reason.replace("_", " ").capitalize()) for reason in REASONS)
        self.reason.choices = choices((("", "None given"), *names), blank=False)
        self.memo.description = "It is printed on the credit note."

    def offer(self, left: Refundable, currency: str) -> "RefundForm":
        """The form with the places to which something can still be given back, and how much."""
        places = (
            (METHOD, "The original payment method", left.of_payment),
            (BALANCE, "The customer’s balance", left.to_balance),
        )
        self.where.choices = choices(
            [(name, f"{words}, up to {filters.money(most, currency)}") for name, words, most in places if most > 0],
            blank=False,
        )
        if not self.is_submitted():
            first = left.of_payment or left.to_balance
            self.amount.data = str(money.major(first, currency))
            self.where.data = METHOD if left.of_payment else BALANCE
            self.key.data = secrets.token_urlsafe(16)
        return self

    def terms(self, currency: str) -> RefundTerms:
        """What was typed. Raises BillingError for what is no amount."""
        return RefundTerms(
            typed.whole(self.amount.data, currency, "amount"), self.reason.data or None, self.memo.data or None
        )


def in_words(refusal: BillingError, currency: str) -> BillingError:
    """A refusal with its amount as money."""
    if refusal.code == "amount_too_large":
        most = filters.money(int(str(refusal.values["left"])), currency)
        return BillingError("You can refund up to %(most)s.", refusal.code, "amount", most=most)
    return refusal
