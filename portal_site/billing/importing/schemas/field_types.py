"""Types of the members of exported objects: limited numbers, texts, links and references, and the base classes of schemas."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from portal_site.billing.rules.amounts.pricing import MOST_A_UNIT
from portal_site.billing.rules.portal import safe_urls
from portal_site.billing.rules.portal.portal_features import MOST

MOST_AN_AMOUNT = MOST_A_UNIT * 10**6  # a million of the most expensive units; the sum of dozens of them fits in 64 bits
FAR_FUTURE = 2**36  # the year 4147, so that adding the longest interval still yields a valid date

Amount = Annotated[int, Field(ge=-MOST_AN_AMOUNT, le=MOST_AN_AMOUNT)]
UnitAmount = Annotated[int, Field(ge=-MOST_A_UNIT, le=MOST_A_UNIT)]
Instant = Annotated[int, Field(ge=0, lt=FAR_FUTURE)]
Quantity = Annotated[int, Field(ge=0, le=MOST)]
Times = Annotated[int, Field(ge=0, lt=2**53)]
Days = Annotated[int, Field(ge=0, le=36_500)]
Count = Annotated[int, Field(ge=1, le=1200)]  # of intervals: up to a hundred years in months
Text = Annotated[str, Field(max_length=5000)]
Code = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]+$")]
# The id of an object that has its own page. It is part of the URL and must not contain slashes.
Id = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[A-Za-z0-9_-]+$")]
Currency = Annotated[str, Field(pattern=r"^[a-z]{3}$")]
Precise = Annotated[str, Field(pattern=r"^-?\d{1,15}(\.\d{1,12})?$")]


def _fits(amount: str) -> str:
    if abs(float(amount)) > MOST_A_UNIT:
        raise PydanticCustomError("amount", "Input should be at most {most}", {"most": MOST_A_UNIT})
    return amount


def _safe(address: str) -> str:
    if not safe_urls.is_safe(address):
        raise PydanticCustomError("link", "Not a valid URL: it must begin with http:// or https://")
    return address


def id_of(value: Any) -> Any:
    """The id in a reference, which may be expanded to the object itself; other values are returned unchanged."""
    return value["id"] if isinstance(value, dict) and "id" in value else value


def _data_of(value: Any) -> Any:
    return value["data"] if isinstance(value, dict) and isinstance(value.get("data"), list) else value


UnitAmountDecimal = Annotated[Precise, AfterValidator(_fits)]
Link = Annotated[str, AfterValidator(_safe)]
Reference = Annotated[Code, BeforeValidator(id_of)]
Metadata = Annotated[dict[str, str], BeforeValidator(lambda value: {} if value == [] else value)]
DATA = BeforeValidator(_data_of)  # a nested list may be given as a Stripe list object


class Part(BaseModel):
    """A part of an object. A null member has to be taken away before (`embedded.find`), so that its default applies."""

    # Strict: a number instead of a text, or a text instead of a number, means that the file is not a valid export.
    model_config = ConfigDict(extra="ignore", strict=True, defer_build=True)


class Shape(Part):
    """An exported object."""

    id: Id


class HasLivemode(Shape):
    """An exported object that belongs to test or live mode."""

    livemode: bool = False
    created: Instant = 0
