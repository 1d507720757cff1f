"""Parameters that several resources have: addresses, billing details, metadata. What was not sent is left out of them."""

from collections.abc import Mapping
from typing import Annotated, Any

from flask import g
from pydantic import BaseModel, BeforeValidator
from pydantic_core import PydanticCustomError

from portal_site.api.answers import ApiError
from portal_site.api.parameters import Filled, Hash, Text, Whole, longest
from portal_site.db.json_columns import JsonObject

TEST_ONLY = (
    "This portal makes payments of programs in test mode only: use a key that begins with sk_test_ or rk_test_. Invoices are "
    "collected in live mode, too."
)


def _unset(value: Any) -> Any:
    return None if value == "" else value


UNSET = BeforeValidator(_unset)  # the empty text stands for none, in the place of a hash, too


def _metadata(value: Any) -> Any:
    if value == "" or value is None:
        return None
    if not isinstance(value, Mapping) or not all(isinstance(one, str) for one in value.values()):
        raise PydanticCustomError("invalid_string", "Invalid string")
    if any("\0" in name + one for name, one in value.items()):
        raise PydanticCustomError("invalid_string", "Invalid string: it holds a NUL character")
    return dict(value)


# Keys to set, with an empty text those to remove; None to remove all.
Metadata = Annotated[dict[str, str] | None, BeforeValidator(_metadata)]


class Address(Hash):
    """A postal address."""

    city: Text = None
    country: Text = None
    line1: Text = None
    line2: Text = None
    postal_code: Text = None
    state: Text = None


class Shipping(Hash):
    """Where something is sent."""

    address: Annotated[Address | None, UNSET] = None
    name: Text = None
    phone: Text = None
    carrier: Text = None
    tracking_number: Text = None


class BillingDetails(Hash):
    """Whose payment method it is."""

    address: Annotated[Address | None, UNSET] = None
    email: Text = None
    name: Text = None
    phone: Text = None


class Token(Hash):
    """A card by a token of the sandbox's or, of the published test numbers, by its number."""

    token: Text = None
    number: Text = None
    exp_month: Whole | None = None
    exp_year: Whole | None = None
    cvc: Annotated[Text, longest(4)] = None


class Iban(Hash):
    """A bank account of the sandbox's."""

    iban: Filled


def given(model: BaseModel) -> JsonObject:
    """The parameters that were sent, but `expand`; what was sent empty is None."""
    found = model.model_dump(exclude_unset=True)
    found.pop("expand", None)
    return found


def refuse_live() -> None:
    """Raise ApiError for a live key: no program moves real money here without an invoice."""
    if g.caller.livemode:
        raise ApiError(400, TEST_ONLY, "livemode_mismatch")
