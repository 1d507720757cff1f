"""Making an account, and changing its public details."""

from collections.abc import Mapping
from dataclasses import dataclass

from babel import Locale
from babel.core import get_global
from babel.numbers import get_territory_currencies
from sqlalchemy.orm import Session

from portal_site.billing.errors import BillingError
from portal_site.billing.models import Account, PortalConfiguration
from portal_site.billing.rules.amounts import money
from portal_site.billing.rules.portal.portal_features import Features
from portal_site.ids import new_id

LONGEST_NAME = 100
_NO_COUNTRIES = {"EU", "EZ", "UN", "XA", "XB", "ZZ"}
COUNTRIES = (
    frozenset(code for code in map(str, Locale("en").territories) if len(code) == 2 and code.isalpha()) - _NO_COUNTRIES
)
CURRENCIES = money.SUPPORTED
TIMEZONES = (
    "UTC",
    *sorted(zone for zone in get_global("zone_territories") if "/" in zone and not zone.startswith("Etc/")),
)


@dataclass(frozen=True)
class NewAccount:
    """What is asked of a merchant at the beginning. `country` is a code of ISO 3166, `currency` one of ISO 4217."""

    business_name: str
    country: str
    currency: str
    timezone: str

    def checked(self) -> "NewAccount":
        """The same, in the form that is stored. Raises BillingError for a member that makes no sense."""
        name = " ".join(self.business_name.split())
        if not name or len(name) > LONGEST_NAME:
            raise BillingError("Enter a name of up to %(count)s characters.", param="business_name", count=LONGEST_NAME)
        country, currency = self.country.upper(), self.currency.lower()
        if country not in COUNTRIES:
            raise BillingError("Choose a country.", param="country")
        if currency not in CURRENCIES:
            raise BillingError("Choose a currency.", param="currency")
        if self.timezone not in TIMEZONES:
            raise BillingError("Choose a time zone.", param="timezone")
        return NewAccount(name, country, currency, self.timezone)


def add_account(session: Session, wanted: NewAccount, at: int, platform_id: str | None = None) -> Account:
    """An account with a default configuration for each mode, in the transaction of the caller. Raises BillingError.

    With a `platform_id` it is connected to that account.
    """
    checked = wanted.checked()
    account = Account(
        id=new_id("acct"), platform_id=platform_id, created=at, business_name=checked.business_name, country=checked.country,
        default_currency=checked.currency, timezone=checked.timezone, branding={}, dunning={}, return_hosts=[], tax_ids=[],
    )  # fmt: skip
    session.add(account)
    session.flush()
    for livemode in (False, True):
        add_configuration(session, account.id, livemode, at, is_default=True)
    return account


def add_configuration(
    session: Session,
    account_id: str,
    livemode: bool,
    at: int,
    *,
    is_default: bool,
    members: Mapping[str, object] | None = None,
) -> PortalConfiguration:
    """A configuration with the usual options, but for `members`."""
    row = PortalConfiguration(
        **{
            "id": new_id("bpc"), "account_id": account_id, "livemode": livemode, "created": at, "updated": at,
            "is_default": is_default, "features": Features().as_document(), "metadata_": {}, **(members or {}),
        }
    )  # fmt: skip
    session.add(row)
    session.flush()
    return row


def currencies_of(country: str) -> list[str]:
    """The currencies of a country, the usual one first."""
    return [code for code in map(str.lower, get_territory_currencies(country)) if code in CURRENCIES]


def timezone_of(country: str) -> str:
    """The time zone of a country that has only one; empty for others."""
    zones = [zone for zone, territory in get_global("zone_territories").items() if territory == country]
    return zones[0] if len(zones) == 1 and zones[0] in TIMEZONES else ""
