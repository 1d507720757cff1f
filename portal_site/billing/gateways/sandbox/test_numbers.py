"""The well-known test card numbers and IBANs with their behaviour. An entered number is never stored."""

from dataclasses import dataclass

from portal_site.billing.translation_marks import N_


@dataclass(frozen=True, slots=True)
class Behaviour:
    """The result of adding (`setup`) and of charging (`charge`) it: `ok`, `authenticate`, `process` or a decline code.

    A charge that is processed takes four days by the customer's clock, unless somebody answers on its page before.
    """

    brand: str
    phrase: str
    setup: str = "ok"
    charge: str = "ok"
    type: str = "card"
    country: str = "US"
    expiring: bool = False


CARDS = {
    "4242424242424242": Behaviour("visa", N_("Succeeds")),
    "5555555555554444": Behaviour("mastercard", N_("Succeeds")),
    "378282246310005": Behaviour("amex", N_("Succeeds")),
    "4000002500003155": Behaviour("visa", N_("Asks for authentication"), setup="authenticate"),
    "4000002760003184": Behaviour("visa", N_("Asks for authentication at each charge"), charge="authenticate"),
    "4000000000000341": Behaviour("visa", N_("Is accepted, then fails when charged"), charge="card_declined"),
    "4000000000000002": Behaviour("visa", N_("Is declined"), setup="card_declined"),
    "4000000000009995": Behaviour("visa", N_("Has insufficient funds"), setup="insufficient_funds"),
    "4000000000000069": Behaviour("visa", N_("Has expired"), setup="expired_card"),
    "4000000000000127": Behaviour("visa", N_("Has a wrong security code"), setup="incorrect_cvc"),
    "4000000000000077": Behaviour("visa", N_("Expires this month"), expiring=True),
}
IBANS = {
    "DE89370400440532013000": Behaviour("", N_("Succeeds"), type="sepa_debit", country="DE"),
    "FR1420041010050500013M02606": Behaviour("", N_("Succeeds"), type="sepa_debit", country="FR"),
    "AT321904300235473204": Behaviour(
        "", N_("Is processed for four days, then succeeds"), charge="process", type="sepa_debit", country="AT"
    ),
    "AT051904300235473205": Behaviour(
        "", N_("Is processed for four days, then fails"), charge="process_then_fail", type="sepa_debit", country="AT"
    ),
    "AT861904300235473202": Behaviour(
        "", N_("Is accepted, then fails when charged"), charge="debit_not_authorized", type="sepa_debit", country="AT"
    ),
}


def find(number: str) -> Behaviour | None:
    """The behaviour of a card number or IBAN, with or without blanks; None for an unknown one."""
    plain = "".join(number.split()).replace("-", "").upper()
    return CARDS.get(plain) or IBANS.get(plain)
