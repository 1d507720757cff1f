"""Search queries: clauses such as `email:'hedda@acme.example' AND metadata['plan']:'old'`.

The language and what its operators mean are Stripe's: `:` finds words, a whole phrase or a whole value, `~` a part of at least
three characters, `null` what is not set; `-` negates. Clauses are joined by AND, which may be left out, or by OR, not by both.
"""

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from lark import Lark, Token, Transformer
from lark.exceptions import LarkError

from portal_site.api.answers import ApiError

MOST_CLAUSES = 10
LONGEST = 2000
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


@dataclass(frozen=True)
class Clause:
    """One comparison. `key` is that of the metadata."""

    is_negated: bool
    field: str
    key: str | None
    operator: str
    value: Value


@dataclass(frozen=True)
class Query:
    """Clauses, of which every one or any one has to hold."""

    is_any: bool
    clauses: list[Clause]


class _Clauses(Transformer[Token, Any]):
    """The query that a text is parsed to."""

    def every(self, clauses: list[Clause]) -> Query:
        return Query(False, clauses)

    def some(self, clauses: list[Clause]) -> Query:
        return Query(True, clauses)

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


def parse(text: str) -> Query:
    """The query that a text is. Raises ApiError for one that cannot be understood."""
    try:
        query: Any = _parser().parse(text[:LONGEST])
    except LarkError:
        raise refused(f"We were unable to understand the search query: {text[:100]}") from None
    if len(query.clauses) > MOST_CLAUSES:
        raise refused(f"A search query has at most {MOST_CLAUSES} clauses.")
    return query  # type: ignore[no-any-return]


def refused(words: str) -> ApiError:
    """A query that is refused."""
    return ApiError(400, words, None, "query")
