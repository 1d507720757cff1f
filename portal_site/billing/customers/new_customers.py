"""Making a customer."""

from dataclasses import dataclass

from babel import Locale
from email_validator import EmailNotValidError, validate_email

from portal_site.billing.errors import BillingError
from portal_site.billing.events.emission import emit
from portal_site.billing.loading import ownership
from portal_site.billing.models import Customer
from portal_site.billing.rules.portal import locales
from portal_site.db.transactions import transaction
from portal_site.ids import new_id, random_letters

LONGEST_NAME, LONGEST_EMAIL, LONGEST_PHONE = 256, 512, 20
PREFIX_LENGTH = 8
_COUNTRIES = frozenset(code for code in map(str, Locale("en").territories) if len(code) == 2 and code.isalpha())


@dataclass(frozen=True)
class NewCustomer:
    """What is known of a new customer; everything may be missing. `country` is a code of ISO 3166."""

    name: str | None = None
    email: str | None = None
    phone: str | None = None
    country: str | None = None
    locale: str | None = None


def create(account_id: str, livemode: bool, wanted: NewCustomer, at: int) -> Customer:
    """Make a customer. Raises BillingError, with `param` set, for a member that makes no sense, and NotFound."""
    check(wanted)
    address = dict.fromkeys(("line1", "line2", "city", "state", "postal_code")) | {"country": wanted.country}
    with transaction() as session:
        ownership.get_account(session, account_id)
        customer = Customer(
            id=new_id("cus"),
            account_id=account_id,
            livemode=livemode,
            created=at,
            name=wanted.name or None,
            email=wanted.email or None,
            phone=wanted.phone or None,
            address=address if wanted.country else None,
            preferred_locales=[wanted.locale] if wanted.locale else [],
            invoice_prefix=random_letters(PREFIX_LENGTH).upper(),
            metadata_={},
        )
        session.add(customer)
        session.flush()
        emit(session, "customer.created", customer, at)
    return customer


def check(wanted: NewCustomer) -> None:
    """Raise BillingError, with `param` set, for a member that makes no sense."""
    longest = {"name": LONGEST_NAME, "email": LONGEST_EMAIL, "phone": LONGEST_PHONE}
    for param, most in longest.items():
        if len(getattr(wanted, param) or "") > most:
            raise BillingError("Use at most %(count)s characters.", param=param, count=most)
        if "\0" in (getattr(wanted, param) or ""):
            raise BillingError("This has a character that cannot be stored.", param=param)
    if wanted.email and not _is_address(wanted.email):
        raise BillingError("Enter an email address such as name@example.com.", "email_invalid", "email")
    if wanted.country and wanted.country not in _COUNTRIES:
        raise BillingError("Choose a country.", param="country")
    if wanted.locale:
        locales.check(wanted.locale, "locale")


def _is_address(email: str) -> bool:
    try:
        # As in the portal: `test_environment` lets addresses at example.test be typed, and no mail is sent from here.
        validate_email(email, check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        return False
    return True
