"""The clauses of a query as conditions, and the indexes by which their rows are found."""

import operator as operators
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, and_, false, func, literal, not_, or_

from portal_site.api.search.language import Clause, Query, Value, refused

SHORTEST_PART = 3
LONGEST_TERM = 200  # characters of a word or of a value of metadata by which rows are found
Test = ColumnElement[bool]


@dataclass(frozen=True)
class Way:
    """An index that has rows of a table in the order of the list, newest first, and the conditions on them.

    The table has the rows' own account, mode and `created`; `id` is the column with the id of what is searched.
    """

    table: Any
    id: Any
    conditions: tuple[Test, ...] = ()


@dataclass(frozen=True)
class Part:
    """What one clause asks for: its condition and, if there is an index for it, the way, or the bound of `created`.

    With `is_exact`, the way leads to no rows but those that are asked for.
    """

    test: Test
    way: Way | None = None
    bound: Callable[[Any], Test] | None = None
    is_exact: bool = True


@dataclass(frozen=True)
class Plan:
    """How the rows that a query asks for are found: each is on one of the ways, and meets `rest`, if that is not None."""

    ways: tuple[Way, ...]
    rest: Test | None


# Of an operator, a value, and what is searched; raises ValueError if operator and value do not fit.
Field = Callable[[str, Value, "Resource"], Part]


@dataclass(frozen=True)
class Resource:
    """What can be searched: a table, that of its terms, their column with the row's id, and the fields that queries may name."""

    noun: str
    table: Any
    terms: Any
    term_id: Any
    fields: Mapping[str, Field]

    def way(self, field: str, term: str) -> Way:
        """To the rows with this term."""
        return Way(
            self.terms, self.term_id, (self.terms.field == field, self.terms.term == func.lower(term[:LONGEST_TERM]))
        )


def _text_field(column: Any, exact: Callable[[str, "Resource"], Part]) -> Field:
    """A text: null, a part, or what `exact` makes of a value with `:`."""

    def field(operator: str, value: Value, resource: Resource) -> Part:
        wanted = _text(operator, value)
        if wanted is None:
            return Part(column.is_(None))
        return Part(_holds(column, wanted)) if operator == "~" else exact(wanted, resource)

    return field


def whole(column: Any) -> Field:
    """A text without words, the whole of it, for which the table has an index in lower case; or a part."""

    def exact(wanted: str, resource: Resource) -> Part:
        test = func.lower(column) == func.lower(wanted)
        return Part(test, Way(resource.table, resource.table.id, (test,)))

    return _text_field(column, exact)


def words(name: str, column: Any) -> Field:
    """A text with words, whose terms are those of the field `name`: a phrase of it, or a part."""

    def exact(wanted: str, resource: Resource) -> Part:
        longest = max(wanted.split(" "), key=len)
        # A word is as exact as its term, if that is all of it.
        is_exact = longest == wanted and len(wanted) <= LONGEST_TERM
        around = literal(" ") + column + literal(" ")
        return Part(_holds(around, f" {wanted} "), resource.way(name, longest) if longest else None, is_exact=is_exact)

    return _text_field(column, exact)


def _metadata(key: str, column: Any) -> Field:
    """The metadata under a key: the whole value, or a part."""

    def exact(wanted: str, resource: Resource) -> Part:
        way = resource.way(f"metadata.{key}", wanted) if len(key) <= LONGEST_TERM else None
        return Part(func.lower(column) == func.lower(wanted), way, is_exact=len(wanted) <= LONGEST_TERM)

    return _text_field(column, exact)


def _holds(column: Any, part: str) -> Test:
    """Whether a text holds this part. Both are put into lower case by the database: SQLite knows the letters of ASCII only."""
    escaped = re.sub(r"([%_/])", r"/\1", part)
    return func.lower(column).like(func.lower(f"%{escaped}%"), escape="/")


def created(operator: str, value: Value, _resource: Resource) -> Part:
    """The instant by which the list is ordered."""
    # An instant is a range, too: with `=` SQLite would not find the rows behind a place by the index.
    compare = {":": ("ge", "le"), ">": ("gt",), ">=": ("ge",), "<": ("lt",), "<=": ("le",)}.get(operator)
    digits = str(value)
    if value is None or compare is None or not (digits.isdecimal() and len(digits) < 19):
        raise ValueError("takes a number with :, >, >=, < or <=")
    return Part(
        false(), bound=lambda column: and_(*(getattr(operators, name)(column, int(digits)) for name in compare))
    )


def _text(operator: str, value: Value) -> str | None:
    """The value. Raises ValueError for what cannot be compared with a text."""
    if value is None and operator == ":":
        return None
    if not isinstance(value, str) or operator not in (":", "~") or "\0" in value:
        raise ValueError("takes a quoted text with : or ~, or null with :")
    if operator == "~" and len(value) < SHORTEST_PART:
        raise ValueError(f"needs at least {SHORTEST_PART} characters for ~")
    return value


def plan(query: Query, resource: Resource) -> Plan:
    """How to find what a query asks for. Raises ApiError for a clause that makes no sense."""
    parts = [_part(clause, resource) for clause in query.clauses]
    everything = Way(resource.table, resource.table.id)
    if query.is_any:
        test = or_(*(part.test for part in parts))
        if not all(part.way or part.bound for part in parts):
            return Plan((everything,), test)
        ways = tuple(part.way or _within(everything, part) for part in parts)
        return Plan(ways, None if all(part.is_exact for part in parts) else test)
    # The table's own index is the shortest way, and a term that is all that is asked for shorter than one of several words.
    found = [(way.table is resource.terms, not part.is_exact, way) for part in parts if (way := part.way)]
    bounds = [part for part in parts if part.bound]
    _, is_longer, shortest = min(found, key=lambda one: one[:2], default=(False, False, everything))
    is_exact = not is_longer and len(found) < 2 and len(found) + len(bounds) == len(parts)
    return Plan((_within(shortest, *bounds),), None if is_exact else and_(*(part.test for part in parts)))


def _within(way: Way, *bounds: Part) -> Way:
    limits = (part.bound(way.table.created) for part in bounds if part.bound)
    return replace(way, conditions=(*way.conditions, *limits))


def _part(clause: Clause, resource: Resource) -> Part:
    if clause.key is not None:
        if re.search(r'["\\\0]', clause.key):  # no path into a document can name such a key
            return Part(false())
        field = _metadata(clause.key, resource.table.metadata_[clause.key].as_string())
    elif clause.field in resource.fields:
        field = resource.fields[clause.field]
    else:
        raise refused(f"Field `{clause.field}` is an unsupported search field for resource `{resource.noun}s`.")
    try:
        part = field(clause.operator, clause.value, resource)
    except ValueError as error:
        raise refused(f"Field `{clause.field}` {error}.") from None
    if part.bound is not None:
        part = replace(part, test=part.bound(resource.table.created))
    return Part(not_(func.coalesce(part.test, false()))) if clause.is_negated else part
