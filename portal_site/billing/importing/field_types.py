"""What the members of an export are made of: numbers that fit, texts, links, references. Which object has which is not here."""

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_serializer, model_validator
from pydantic_core import PydanticCustomError

from portal_site.billing.rules.amounts.pricing import MOST_A_UNIT
from portal_site.billing.rules.portal import safe_urls
from portal_site.billing.rules.portal.portal_features import MOST

MOST_AN_AMOUNT = MOST_A_UNIT * 10**6  # a million of the dearest unit: dozens of them add up in 64 bits
FAR_FUTURE = 2**36  # the year 4147: the longest interval after it still has a date

Amount = Annotated[int, Field(ge=-MOST_AN_AMOUNT, le=MOST_AN_AMOUNT)]
UnitAmount = Annotated[int, Field(ge=-MOST_A_UNIT, le=MOST_A_UNIT)]
Instant = Annotated[int, Field(ge=0, lt=FAR_FUTURE)]
Quantity = Annotated[int, Field(ge=0, le=MOST)]
Times = Annotated[int, Field(ge=0, lt=2**53)]
Days = Annotated[int, Field(ge=0, le=36_500)]
Count = Annotated[int, Field(ge=1, le=1200)]  # of intervals: a hundred years of months
Text = Annotated[str, Field(max_length=5000)]
Code = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]+$")]
# Of what has a page of its own: an address carries no slashes.
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
    """A reference comes as an id, or expanded as the object itself."""
    return value["id"] if isinstance(value, dict) and "id" in value else value


def _data_of(value: Any) -> Any:
    return value["data"] if isinstance(value, dict) and isinstance(value.get("data"), list) else value


UnitAmountDecimal = Annotated[Precise, AfterValidator(_fits)]
Link = Annotated[str, AfterValidator(_safe)]
Reference = Annotated[Code, BeforeValidator(id_of)]
Metadata = dict[str, str]
DATA = BeforeValidator(_data_of)  # a nested list comes as a list object


class Part(BaseModel):
    """A part of an object. It becomes a document of what it knows; whatever else it carries is counted, not read."""

    # Strict: a number in place of a text, or a text in place of a number, says that the file is not what it should be.
    model_config = ConfigDict(extra="allow", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_unsaid(cls, value: Any) -> Any:
        return {name: inner for name, inner in value.items() if inner is not None} if isinstance(value, dict) else value

    @model_serializer
    def _known(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in type(self).model_fields}

    def count_unknown(self) -> int:
        """How many members it has that we do not know, its parts included."""
        unknown = (self.model_extra or {}).keys() - {"object"}
        return len(unknown) + sum(part.count_unknown() for part in self._parts())

    def _parts(self) -> Iterator["Part"]:
        for value in vars(self).values():
            yield from (part for part in (value if isinstance(value, list) else (value,)) if isinstance(part, Part))


class Shape(Part):
    """An object of an export."""

    id: Id


class HasLivemode(Shape):
    """An object that lives in test or in live mode."""

    livemode: bool = False
    created: Instant = 0
