"""Parameters: form-encoded text with brackets, as a typed model of the route; and errors that name the parameter."""

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, ClassVar, TypeVar

import qs_codec
from flask import request
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from portal_site.api.answers import ApiError
from portal_site.api.expansion import paths
from portal_site.api.expansion.paths import Tree

FORM = "application/x-www-form-urlencoded"
MOST = 1000  # parameters of a request
_OPTIONS = qs_codec.DecodeOptions(
    parse_lists=False,  # `metadata[0]` is a key named 0; what is a list is known from the model
    depth=8,
    strict_depth=True,
    parameter_limit=MOST,
    raise_on_limit_exceeded=True,
)


def _whole(value: Any) -> Any:
    text = str(value)
    if not (text.removeprefix("-").isdecimal() and text.isascii() and len(text) < 20):
        raise PydanticCustomError("parameter_invalid_integer", "Invalid integer: {value}", {"value": text[:100]})
    return int(text)


def _truth(value: Any) -> Any:
    if value not in ("true", "false", True, False):
        raise PydanticCustomError("invalid_boolean", "Invalid boolean: {value}", {"value": str(value)[:100]})
    return value in ("true", True)


def _sequence(value: Any) -> Any:
    """`a[0]=x&a[1]=y` and `a[]=x&a[]=y` as a list."""
    if not isinstance(value, Mapping):
        return value
    found: list[Any] = []
    for name in sorted(value, key=lambda key: int(key) if str(key).isdecimal() else -1):
        if not str(name).isdecimal():
            raise PydanticCustomError("invalid_array", "Invalid array")
        found += value[name] if isinstance(value[name], list) else [value[name]]
    return found


def _text(value: Any) -> Any:
    """A text; the empty one stands for none. Of one that was sent twice, the last counts."""
    if isinstance(value, list) and value:
        value = value[-1]
    if not isinstance(value, str):
        raise PydanticCustomError("invalid_string", "Invalid string")
    if "\0" in value:
        raise PydanticCustomError("invalid_string", "Invalid string: it holds a NUL character")
    return value or None


def _filled(value: Any) -> Any:
    text = _text(value)
    if text is None:
        raise PydanticCustomError("parameter_invalid_empty", "You passed an empty string where a value is needed")
    return text


def _choice(allowed: tuple[str, ...], value: Any) -> Any:
    text = _text(value)
    if text is not None and text not in allowed:
        raise PydanticCustomError("invalid_choice", "must be one of {allowed}", {"allowed": _either(allowed)})
    return text


def _either(allowed: tuple[str, ...]) -> str:
    return f"{', '.join(allowed[:-1])}, or {allowed[-1]}" if len(allowed) > 2 else " or ".join(allowed)


def _at_most(most: int, value: str | None) -> str | None:
    if value is not None and len(value) > most:
        raise PydanticCustomError("string_too_long", "too long")
    return value


Whole = Annotated[int, BeforeValidator(_whole)]
Truth = Annotated[bool, BeforeValidator(_truth)]
Text = Annotated[str | None, BeforeValidator(_text), AfterValidator(partial(_at_most, 5000))]
Filled = Annotated[str, BeforeValidator(_filled), Field(max_length=5000)]
SEQUENCE = BeforeValidator(_sequence)  # of a list
Texts = Annotated[list[Annotated[str, Field(max_length=5000)]], SEQUENCE]


def longest(most: int) -> Any:
    """A text of at most so many characters, or none."""
    return AfterValidator(partial(_at_most, most))


def choice(*allowed: str) -> Any:
    """A text that is one of these; none if it is empty."""
    return BeforeValidator(partial(_choice, allowed))


class Hash(BaseModel):
    """A parameter with members of its own; what it does not name is refused."""

    model_config = ConfigDict(extra="forbid", defer_build=True)


class Parameters(BaseModel):
    """The parameters of a route. Each route's are a subclass; what they do not name is refused.

    `KIND` is that of the answer, or of the objects in its list, whose members `expand` may name.
    """

    model_config = ConfigDict(extra="forbid", defer_build=True)

    KIND: ClassVar[str]
    IS_LIST: ClassVar[bool] = False
    IS_COUNTED: ClassVar[bool] = False
    expand: Texts = []

    @property
    def expanded(self) -> Tree:
        """The members to expand in each object."""
        tree = self.tree_of(self.expand)
        return tree.get("data", {}) if self.IS_LIST else tree

    @property
    def with_total(self) -> bool:
        """Whether the number of all objects is wanted."""
        return paths.TOTAL in self.expand

    @classmethod
    def tree_of(cls, wanted: list[str]) -> Tree:
        """What these paths name. Raises ApiError for one that cannot be expanded."""
        return paths.read(wanted, cls.KIND, of_list=cls.IS_LIST, counted=cls.IS_COUNTED)


class ListParameters(Parameters):
    """Those of a list. A limit outside of 1 to 100 is moved to the nearest of these."""

    IS_LIST: ClassVar[bool] = True
    limit: Whole = 10
    starting_after: Text = None
    ending_before: Text = None


class SearchParameters(Parameters):
    """Those of a search, whose pages are named by the answer before."""

    IS_LIST: ClassVar[bool] = True
    IS_COUNTED: ClassVar[bool] = True
    query: Filled
    limit: Whole = 10
    page: Text = None


class Range(Hash):
    """Bounds of an instant, in seconds since 1970."""

    gt: Whole | None = None
    gte: Whole | None = None
    lt: Whole | None = None
    lte: Whole | None = None


def _instants(value: Any) -> Any:
    return {"gte": value, "lte": value} if isinstance(value, str) else value


Instants = Annotated[Range, BeforeValidator(_instants)]
Kind = TypeVar("Kind", bound=Parameters)


def decoded() -> dict[str, Any]:
    """The parameters of this request, still untyped: of the body for POST, else of the URL. Raises ApiError."""
    if request.method == "POST":
        body = request.get_data()
        if body and request.mimetype != FORM:
            raise ApiError(400, f"Send the parameters as {FORM}, not as {request.mimetype or 'something else'}.")
    else:
        body = request.query_string
    try:
        found: dict[str, Any] = qs_codec.decode(body.decode("utf-8"), _OPTIONS)
    except (UnicodeDecodeError, IndexError, ValueError):
        raise ApiError(400, "The parameters are not form-encoded UTF-8, nested too deeply, or too many.") from None
    return found


def read(kind: type[Kind]) -> Kind:
    """The parameters of this request as the route's model.

    Raises ApiError for the first fault, in the order of Stripe's API: expansions, unknown parameters, missing ones, wrong ones.
    """
    given = decoded()
    _check_expansions(given.get("expand", {}), kind)
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        faults = error.errors()
        unknown = [_bracketed(fault["loc"]) for fault in faults if fault["type"] == "extra_forbidden"]
        if unknown:
            words = "Received unknown parameter" + ("s" if len(unknown) > 1 else "")
            raise ApiError(400, f"{words}: {', '.join(unknown)}", "parameter_unknown", unknown[0]) from None
        first = min(faults, key=lambda fault: fault["type"] != "missing")
        raise _fault(first["type"], _bracketed(first["loc"]), first["msg"]) from None


def _check_expansions(given: Any, kind: type[Parameters]) -> None:
    try:
        wanted: list[Any] = _sequence(given)
    except PydanticCustomError:
        wanted = []
    if not (isinstance(given, Mapping) and len(wanted) >= len(given) and all(isinstance(path, str) for path in wanted)):
        raise ApiError(400, "Invalid array (expand)", None, "expand")
    kind.tree_of(wanted)


def _fault(kind: str, param: str, words: str) -> ApiError:
    if kind == "missing":
        return missing(param)
    if kind == "invalid_choice":
        return ApiError(400, f"Invalid {param}: {words}", None, param)
    if kind in ("parameter_invalid_integer", "parameter_invalid_empty"):
        return ApiError(400, words if kind.endswith("integer") else f"{words}: {param}.", kind, param)
    if kind in ("string_too_long", "too_long"):
        return ApiError(400, f"Invalid string: {param} is too long.", "parameter_invalid_string", param)
    if kind in ("invalid_boolean", "invalid_array", "invalid_string"):
        return ApiError(400, f"{words} ({param})" if ":" not in words else words, None, param)
    return ApiError(400, f"Invalid object: {param}", None, param)


def missing(param: str) -> ApiError:
    """A parameter that is needed was not sent."""
    return ApiError(400, f"Missing required param: {param}.", "parameter_missing", param)


def _bracketed(path: tuple[int | str, ...]) -> str:
    first, *others = path or ("",)
    return f"{first}{''.join(f'[{name}]' for name in others)}"
