"""Tax rates: creating, changing, archiving and listing them. The percentage never changes, and none is deleted.

Subscriptions and invoices have copies of their tax rates, so that no change here changes what anybody pays.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, TypedDict, Unpack

from sqlalchemy import Row

from portal_site.billing.catalog import lists, rows
from portal_site.billing.catalog.lists import FIRST, Page, Place
from portal_site.billing.errors import BillingError
from portal_site.billing.models import CatalogTaxRate
from portal_site.billing.rules.catalog import members
from portal_site.billing.translation_marks import N_
from portal_site.db.transactions import transaction
from portal_site.ids import new_id

LONGEST_NAME = 50  # of the jurisdiction, too
LONGEST_STATE = 3  # ISO 3166-2, without the country
DECIMALS = 4


class TaxRateChanges(TypedDict, total=False):
    """What can be changed of a tax rate."""

    display_name: str
    description: str | None
    jurisdiction: str | None
    country: str | None
    state: str | None
    active: bool
    metadata: Mapping[str, str | None] | None


def _country(value: str | None) -> str | None:
    code = (value or "").strip().upper()
    if code and not (len(code) == len("FR") and code.isascii() and code.isalpha()):
        raise BillingError(N_("Enter the country as two letters, such as FR."), "country_code_invalid", "country")
    return code or None


def _state(value: str | None) -> str | None:
    code = (value or "").strip().upper()
    if code and not (len(code) <= LONGEST_STATE and code.isascii() and code.isalnum()):
        problem = N_("Enter the state as its code without the country, such as NY.")
        raise BillingError(problem, "", "state")
    return code or None


_CHECKS: rows.Checks = {
    "display_name": lambda value: members.line(value, "display_name", LONGEST_NAME),
    "description": lambda value: members.optional_text(value, "description"),
    "jurisdiction": lambda value: members.optional_line(value, "jurisdiction", LONGEST_NAME),
    "country": _country,
    "state": _state,
    "active": bool,
    "metadata": lambda value: value,
}


def create(
    account_id: str,
    livemode: bool,
    at: int,
    *,
    display_name: str,
    percentage: Decimal,
    inclusive: bool,
    description: str | None = None,
    country: str | None = None,
    state: str | None = None,
    jurisdiction: str | None = None,
    active: bool = True,
    metadata: Mapping[str, str | None] | None = None,
) -> CatalogTaxRate:
    """Create a tax rate, included in prices or added to them. Raises BillingError, with `param` set."""
    row = CatalogTaxRate(
        id=new_id("txr"),
        account_id=account_id,
        livemode=livemode,
        created=at,
        display_name=members.line(display_name, "display_name", LONGEST_NAME),
        percentage=members.percentage(percentage, "percentage", DECIMALS, may_be_zero=True),
        inclusive=inclusive,
        description=members.optional_text(description, "description"),
        country=_country(country),
        state=_state(state),
        jurisdiction=members.optional_line(jurisdiction, "jurisdiction", LONGEST_NAME),
        active=active,
        metadata_=members.metadata(metadata, {}),
    )
    with transaction() as session:
        return rows.add(session, row, "tax_rate.created", at)


def update(
    account_id: str, livemode: bool, tax_rate_id: str, at: int, **changes: Unpack[TaxRateChanges]
) -> CatalogTaxRate:
    """Change a tax rate; `active` archives it or brings it back. Raises NotFound, and BillingError with `param` set."""
    wanted = rows.checked(changes, _CHECKS)
    with transaction() as session:
        row = rows.get(session, CatalogTaxRate, account_id, livemode, tax_rate_id, "tax_rate", lock=True)
        return rows.change(session, row, "tax_rate.updated", wanted, at)


def get(account_id: str, livemode: bool, tax_rate_id: str) -> Row[Any]:
    """The row of a tax rate. Raises NotFound."""
    return lists.one(CatalogTaxRate, account_id, livemode, tax_rate_id, "tax_rate")


def page(
    account_id: str,
    livemode: bool,
    *,
    active: bool | None = None,
    inclusive: bool | None = None,
    text: str = "",
    place: Place = FIRST,
) -> Page:
    """A page of tax rates, newest first: all, or those that are active or archived, included in prices or not, or whose names
    hold a text."""
    names = CatalogTaxRate.display_name, CatalogTaxRate.jurisdiction, CatalogTaxRate.description, CatalogTaxRate.id
    conditions = lists.holding(text, *names)
    conditions += [] if active is None else [CatalogTaxRate.active == active]
    conditions += [] if inclusive is None else [CatalogTaxRate.inclusive == inclusive]
    return lists.page(CatalogTaxRate, account_id, livemode, conditions, place)
