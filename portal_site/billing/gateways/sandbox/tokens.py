"""The names of test cards that programs use in the place of numbers, and methods that behave like a name or a number."""

import time
from dataclasses import replace

from portal_site.billing.errors import BillingError
from portal_site.billing.gateways import MethodToken
from portal_site.billing.gateways.sandbox import test_numbers
from portal_site.billing.gateways.sandbox.models import SandboxMethod
from portal_site.billing.gateways.sandbox.test_numbers import Behaviour
from portal_site.ids import new_id

WORKS = ("ok", "authenticate")  # what may happen when a method is saved, but for a decline
_SUCCEEDS, _FAILS = (
    Behaviour("visa", ""),
    Behaviour("", "", charge="insufficient_funds", type="sepa_debit", country="DE"),
)
# Test numbers that the hosted page does not list.
UNLISTED = {
    "4000056655665556": _SUCCEEDS,
    "4012888888881881": _SUCCEEDS,
    "5200828282828210": replace(_SUCCEEDS, brand="mastercard"),
    "6011111111111117": replace(_SUCCEEDS, brand="discover"),
    "3056930009020004": replace(_SUCCEEDS, brand="diners"),
    "3566002020360505": replace(_SUCCEEDS, brand="jcb"),
    "6200000000000005": replace(_SUCCEEDS, brand="unionpay"),
    "4000003800000446": _SUCCEEDS,
    "4000000000003220": replace(_SUCCEEDS, charge="authenticate"),
    "4000000000003063": replace(_SUCCEEDS, charge="authenticate"),
    "4000000000009987": replace(_SUCCEEDS, setup="lost_card"),
    "4000000000009979": replace(_SUCCEEDS, setup="stolen_card"),
    "4000000000000119": replace(_SUCCEEDS, setup="processing_error"),
    "4000000000006975": replace(_SUCCEEDS, setup="card_velocity_exceeded"),
    "4100000000000019": replace(_SUCCEEDS, setup="fraudulent"),
    "DE62370400440532013001": _FAILS,
}
# Behind `pm_card_` and `tok_`.
NAMES = {
    "visa": "4242424242424242",
    "visa_debit": "4000056655665556",
    "mastercard": "5555555555554444",
    "mastercard_debit": "5200828282828210",
    "amex": "378282246310005",
    "discover": "6011111111111117",
    "diners": "3056930009020004",
    "jcb": "3566002020360505",
    "unionpay": "6200000000000005",
    "chargeCustomerFail": "4000000000000341",
    "authenticationRequired": "4000002500003155",
    "authenticationRequiredOnSetup": "4000002500003155",
    "authenticationRequiredSetupForOffSession": "4000003800000446",
    "threeDSecure2Required": "4000000000003220",
    "threeDSecureRequired": "4000000000003063",
    "chargeDeclined": "4000000000000002",
    "chargeDeclinedInsufficientFunds": "4000000000009995",
    "chargeDeclinedLostCard": "4000000000009987",
    "chargeDeclinedStolenCard": "4000000000009979",
    "chargeDeclinedExpiredCard": "4000000000000069",
    "chargeDeclinedIncorrectCvc": "4000000000000127",
    "chargeDeclinedProcessingError": "4000000000000119",
    "chargeDeclinedVelocityLimitExceeded": "4000000000006975",
    "chargeDeclinedFraudulent": "4100000000000019",
}
PREFIXES = ("pm_card_", "tok_")
RAW = (
    "Sending credit card numbers directly to this API is not possible: it takes test cards only. Use a token such as tok_visa, "
    "or one of the published test numbers."
)


def number_of(name: str) -> str | None:
    """The number of the test card with this name, such as pm_card_visa or tok_chargeDeclined."""
    for prefix in PREFIXES:
        if name.startswith(prefix):
            rest = name.removeprefix(prefix)
            return NAMES.get(rest) or NAMES.get(rest.removeprefix("visa_"))
    return None


def method(token: MethodToken) -> SandboxMethod:
    """A new payment method that behaves like this token. Raises BillingError for one that does not exist."""
    named = number_of(token.name)
    number = named or "".join(c for c in token.name if c.isalnum()).upper()
    behaviour = test_numbers.find(number) or UNLISTED.get(number)
    if behaviour is None or behaviour.type != token.type:
        raise _refusal(token)
    today = time.gmtime()
    month, year = token.exp_month or (today.tm_mon if named else None), token.exp_year or today.tm_year + 1
    if behaviour.expiring:
        month, year = today.tm_mon, today.tm_year
    is_card = behaviour.type == "card"
    if is_card:
        _check_expiry(month, year, (today.tm_year, today.tm_mon))
    return SandboxMethod(
        reference=new_id("sbxm"),
        type=behaviour.type,
        brand=behaviour.brand or None,
        last4=number[-4:],
        exp_month=month if is_card else None,
        exp_year=year if is_card else None,
        country=behaviour.country,
        fingerprint=f"{behaviour.type}-{behaviour.brand}-{number[-4:]}",
        on_charge=behaviour.charge,
        on_setup=behaviour.setup,
        confirmed=behaviour.setup != "authenticate",
    )


def _refusal(token: MethodToken) -> BillingError:
    if token.type != "card":
        return BillingError("This sandbox takes only its test IBANs.", "invalid_bank_account_iban", "sepa_debit[iban]")
    if token.name.startswith(PREFIXES):
        return BillingError("No such token: '%(name)s'", "resource_missing", "card[token]", name=token.name)
    return BillingError(RAW, "incorrect_number", "card[number]")


def _check_expiry(month: int | None, year: int, today: tuple[int, int]) -> None:
    if month is None or not 1 <= month <= 12:
        raise BillingError("Your card's expiration month is invalid.", "invalid_expiry_month", "card[exp_month]")
    if not today <= (year, month) or year > today[0] + 50:
        raise BillingError("Your card's expiration year is invalid.", "invalid_expiry_year", "card[exp_year]")
