"""Search queries: clauses such as `email:'hedda@acme.example' AND metadata['plan']:'old'`, as conditions of a select.

The language and what its operators mean are Stripe's: `:` finds words or a whole phrase, `~` a part of at least three letters,
`null` what is not set; `-` negates. Clauses are joined by AND, which may be left out, or by OR, not by both.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from lark import Lark, Token, Transformer
from lark.exceptions import LarkError
from sqlalchemy import ColumnElement, and_, false, func, literal, not_, or_

from portal_site.api.answers import ApiError

MOST_CLAUSES = 10
LONGEST = 2000
SHORTEST_PART = 3
GRAMMAR = r"""
?start: every | some
every: clause (_AND? clause)*
some: clause (_OR clause)+
clause: [NOT] field OPERATOR value
field: NAME | "metadata" "[" QUOTED "]" -> metadata
value: QUOTED | NUMBER | NULL
_AND.3: /and\b/i
_OR.3: /or\b/i
NULL.2: /null\b/i
NOT: "-"
OPERATOR: ":" | "~" | ">=" | "<=" | ">" | "<"
NAME: /[a-z_]+/
NUMBER: /\d{1,18}/
QUOTED: /"(\\.|[^"\\])*"|'(\\.|[^'\\])*'/
%ignore /\s+/
"""
Value = str | int | None
Condition = Callable[
    [str, Value], ColumnElement[bool]
]  # of an operator and a value; raises ValueError if they do not fit


@dataclass(frozen=True)
class Clause:
    """One comparison. `key` is that of the metadata."""

    is_negated: bool
    field: str
    key: str | None
    operator: str
    value: Value


class _Clauses(Transformer[Token, Any]):
    """The clauses of a parsed query, and how they are joined."""

    def every(self, clauses: list[Clause]) -> tuple[Any, list[Clause]]:
        return and_, clauses

    def some(self, clauses: list[Clause]) -> tuple[Any, list[Clause]]:
        return or_, clauses

    def clause(self, parts: list[Any]) -> Clause:
        negation, (field, key), operator, value = parts
        return Clause(negation is not None, field, key, str(operator), value)

    def field(self, parts: list[Token]) -> tuple[str, None]:
        return str(parts[0]), None

    def metadata(self, parts: list[Token]) -> tuple[str, str]:
        return "metadata", _unquoted(parts[0])

    def value(self, parts: list[Token]) -> Value:
        [token] = parts
        if token.type == "NULL":
            return None
        return int(token) if token.type == "NUMBER" else _unquoted(token)


def _unquoted(token: str) -> str:
    return re.sub(r"\\(.)", r"\1", token[1:-1])


@cache
def _parser() -> Lark:
    return Lark(GRAMMAR, parser="lalr", maybe_placeholders=True, transformer=_Clauses())


def words(column: Any) -> Condition:
    """The conditions of a text: a phrase of it, or a part."""

    def condition(operator: str, value: Value) -> ColumnElement[bool]:
        text = _text(operator, value)
        if text is None:
            return column.is_(None)  # type: ignore[no-any-return]
        if operator == "~":
            return func.lower(column).contains(text, autoescape=True)
        around = literal(" ") + func.lower(column) + literal(" ")
        return around.contains(f" {text} ", autoescape=True)

    return condition


def exactly(column: Any) -> Condition:
    """The conditions of a token: the whole of it in upper or lower case, or a part."""

    def condition(operator: str, value: Value) -> ColumnElement[bool]:
        text = _text(operator, value)
        if text is None:
            return column.is_(None)  # type: ignore[no-any-return]
        lowered = func.lower(column)
        return lowered.contains(text, autoescape=True) if operator == "~" else lowered == text

    return condition


def _text(operator: str, value: Value) -> str | None:
    """The value in lower case. Raises ValueError for what cannot be compared with a text."""
    if value is None and operator == ":":
        return None
    if not isinstance(value, str) or operator not in (":", "~") or "\0" in value:
        raise ValueError("takes a quoted text with : or ~, or null with :")
    if operator == "~" and len(value) < SHORTEST_PART:
        raise ValueError(f"needs at least {SHORTEST_PART} characters for ~")
    return value.lower()


def number(column: Any) -> Condition:
    """The conditions of a number."""
    compare = {":": column.__eq__, ">": column.__gt__, ">=": column.__ge__, "<": column.__lt__, "<=": column.__le__}

    def condition(operator: str, value: Value) -> ColumnElement[bool]:
        digits = str(value)
        if value is None or operator not in compare or not (digits.isdecimal() and len(digits) < 19):
            raise ValueError("takes a number with :, >, >=, < or <=")
        return compare[operator](int(digits))  # type: ignore[no-any-return]

    return condition


def conditions(query: str, fields: Mapping[str, Condition], metadata: Any, noun: str) -> ColumnElement[bool]:
    """What a query asks for. Raises ApiError for one that cannot be understood."""
    try:
        parsed: Any = _parser().parse(query[:LONGEST])
    except LarkError:
        raise _refused(f"We were unable to understand the search query: {query[:100]}") from None
    join, clauses = parsed
    if len(clauses) > MOST_CLAUSES:
        raise _refused(f"A search query has at most {MOST_CLAUSES} clauses.")
    return join(*(_condition(clause, fields, metadata, noun) for clause in clauses))  # type: ignore[no-any-return]


def _condition(clause: Clause, fields: Mapping[str, Condition], metadata: Any, noun: str) -> ColumnElement[bool]:
    if clause.key is not None:
        if re.search(r'["\\\0]', clause.key):  # no path into a document can name such a key
            return false()
        make = exactly(metadata[clause.key].as_string())
    elif clause.field in fields:
        make = fields[clause.field]
    else:
        raise _refused(f"Field `{clause.field}` is an unsupported search field for resource `{noun}s`.")
    try:
        found = make(clause.operator, clause.value)
    except ValueError as error:
        raise _refused(f"Field `{clause.field}` {error}.") from None
    return not_(func.coalesce(found, false())) if clause.is_negated else found


def _refused(words: str) -> ApiError:
    return ApiError(400, words, None, "query")
