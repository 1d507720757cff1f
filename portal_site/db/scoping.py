"""The net under every query: a merchant's table is never read or changed without saying whose rows are meant.

Each operation and page scopes its queries itself; this refuses the one in which that was forgotten. A statement that is about
all merchants on purpose, or in plain text, which nobody can look into, carries the execution option `unscoped` with its reason.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sqlalchemy import Column, Delete, Select, Table, Update
from sqlalchemy.orm import ORMExecuteState
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import (
    BinaryExpression,
    BindParameter,
    BooleanClauseList,
    ClauseList,
    ColumnClause,
    Grouping,
    TextClause,
)
from sqlalchemy.sql.functions import coalesce
from sqlalchemy.sql.selectable import (
    AliasedReturnsRows,
    CompoundSelect,
    FromGrouping,
    Join,
    ScalarSelect,
    SelectStatementGrouping,
    TableClause,
)

# A customer belongs to one account, and the hash of a token to one session: each says whose rows are meant.
OWNERS = {"account_id", "customer_id", "token_hash", "session_id"}
MOST_REMEMBERED = 2000  # statements of different shape; the program has some hundreds
_QUERY = re.compile(r"\b(select|from|table)\b", re.IGNORECASE)
Sources = frozenset[Any]  # what stands in a FROM: tables, their aliases, sub-selects
NAMED = "an owner that the condition itself names"

_passed: set[Any] = set()


class Unscoped(AssertionError):
    """A statement on a merchant's table that does not say whose rows it means: a defect, never a user's fault."""


def check_orm(state: ORMExecuteState) -> None:
    """The session's hook. Rows that were found by a scoped statement may be loaded anew by their key."""
    if not state.is_column_load and not state.is_relationship_load and not state.execution_options.get("unscoped"):
        check(state.statement)


def check_read(_connection: Any, statement: Any, _many: Any, _given: Any, options: Mapping[str, Any]) -> None:
    """The engine's hook, for connections that only read: the session's statements were seen before they came here."""
    if options.get("readonly") and not options.get("unscoped"):
        check(statement)


def check(statement: Any) -> None:
    """Raise Unscoped unless each row of a merchant's that the statement reads or changes belongs to an owner it names.

    An owner counts where all rows have to have it: compared by = or IN with a value, in WHERE or in an inner join's ON, and
    not as one alternative of several. A table without such is joined by a key to one that has it, directly or by others.
    """
    # By the key under which SQLAlchemy keeps the SQL: it says all but the values, and is made for each execution anyway.
    key = statement._generate_cache_key()
    if key is not None and key.key in _passed:
        return
    _check_all([statement], ())
    if key is not None:
        if len(_passed) >= MOST_REMEMBERED:
            _passed.clear()
        _passed.add(key.key)


def _check_all(elements: Iterable[Any], outer: tuple[Sources, ...]) -> None:
    """Check each query among these elements and within them; `outer` is what the queries around it have in their FROM."""
    for element in elements:
        if _is_text(element):
            raise Unscoped(f"nobody can tell whose rows are meant by the text “{element}”")
        if isinstance(element, Select | Update | Delete):
            _check_one(element, outer)
        elif isinstance(element, AliasedReturnsRows):
            _check_all([element.element], ())
        elif not isinstance(element, ColumnClause):
            _check_all(element.get_children(), outer)


def _is_text(element: Any) -> bool:
    if isinstance(element, ColumnClause):
        return element.is_literal and _QUERY.search(element.name) is not None
    return isinstance(element, TextClause) or (isinstance(element, TableClause) and not isinstance(element, Table))


def _check_one(query: Any, outer: tuple[Sources, ...]) -> None:
    joined = _joined(query, outer)
    sources = frozenset(_leaves(joined))
    conditions = [(part, sources) for part in _ands(query.whereclause)]
    for source in joined:
        conditions += _on(source)
    known = frozenset().union(*outer) - sources | frozenset(filter(_is_own, sources))
    lost = {_name(source) for source in sources - _owned(conditions, known) if _is_merchants(source)}
    if lost:
        raise Unscoped(f"a statement on {', '.join(sorted(lost))} says nothing of whose rows it means")
    _check_all([*query.get_children(), *sources], (*outer, sources))


def _joined(query: Any, outer: tuple[Sources, ...]) -> list[Any]:
    """The query's own FROM: without what it refers to of a query around it, by the rules by which SQLAlchemy writes it."""
    if not isinstance(query, Select):
        where = query.whereclause
        return [query.table] if where is None else [query.table, *where._from_objects]
    found = query.get_final_froms()
    if query._correlate:
        theirs = frozenset().union(*outer) & frozenset(query._correlate)
    elif query._correlate_except is not None:
        theirs = frozenset().union(*outer) - frozenset(query._correlate_except)
    else:
        theirs = outer[-1] if outer and query._auto_correlate and len(found) > 1 else frozenset()
    return [source for source in found if source not in theirs]


def _leaves(sources: Iterable[Any]) -> Iterator[Any]:
    for source in sources:
        if isinstance(source, Join):
            yield from _leaves([source.left, source.right])
        elif isinstance(source, FromGrouping):
            yield from _leaves([source.element])
        else:
            yield source


def _on(source: Any) -> Iterator[tuple[Any, Sources]]:
    """The conditions of the joins, each with the tables whose rows it restricts: of an outer join those on the right."""
    if isinstance(source, FromGrouping):
        yield from _on(source.element)
    elif isinstance(source, Join):
        yield from _on(source.left)
        yield from _on(source.right)
        restricted = [] if source.full else [source.right] if source.isouter else [source]
        for part in _ands(source.onclause):
            yield part, frozenset(_leaves(restricted))


def _ands(clause: Any) -> Iterator[Any]:
    if isinstance(clause, Grouping):
        yield from _ands(clause.element)
    elif isinstance(clause, BooleanClauseList) and clause.operator is operators.and_:
        for part in clause.clauses:
            yield from _ands(part)
    else:
        yield clause


def _owned(conditions: Iterable[tuple[Any, Sources]], known: Sources) -> Sources:
    """`known` and all that the conditions join to it, or name the owner of."""
    links = [(source, via) for part, restricted in conditions for source, via in _says(part) if source in restricted]
    known |= {NAMED}
    while found := {source for source, via in links if via in known} - known:
        known |= found
    return known


def _says(part: Any) -> Iterator[tuple[Any, Any]]:
    """The tables whose rows a condition restricts, each with NAMED, or the table to whose rows it restricts them."""
    if not isinstance(part, BinaryExpression):
        return
    left, right = part.left, part.right
    if part.operator is operators.in_op and isinstance(left, Column):
        if (_is_owner(left) and _is_value(right)) or (_is_key(left) and _stands_alone(right)):
            yield left.table, NAMED
    elif part.operator is operators.eq:
        for side, other in ((left, right), (right, left)):
            if isinstance(side, Column) and _is_owner(side) and isinstance(other, BindParameter):
                yield side.table, NAMED
            elif isinstance(side, Column) and (_is_key(side) or _is_key(other)):
                yield side.table, _origin(other)


def _origin(side: Any) -> Any:
    """The table of a column, or of all the columns of which the first that is not null counts; None for anything else."""
    if isinstance(side, coalesce):
        origins = [_origin(part) for part in side.clauses]
        return origins[0] if all(origin is origins[0] for origin in origins) else None
    return side.table if isinstance(side, Column) else None


def _is_owner(column: Any) -> bool:
    return column.name in OWNERS or any(_is_owner_itself(base) for base in column.base_columns)


def _is_owner_itself(column: Any) -> bool:
    return column.name == "id" and getattr(column.table, "name", "") in ("accounts", "customers")


def _is_value(side: Any) -> bool:
    if isinstance(side, Grouping):
        return _is_value(side.element)
    if isinstance(side, ClauseList):
        return all(map(_is_value, side.clauses))
    return isinstance(side, BindParameter)


def _is_key(column: Any) -> bool:
    """Whether a value of it names one row of one merchant: not a status, and not an id that is unique per account only."""
    if not isinstance(column, Column):
        return False
    if column.primary_key and len(column.table.primary_key) == 1:
        return True
    return any(key.constraint is not None and len(key.constraint.columns) == 1 for key in column.foreign_keys)


def _stands_alone(query: Any) -> bool:
    """Whether a sub-select yields columns of an owner's rows only, whatever query it stands in."""
    try:
        _check_all([query], ())
    except Unscoped:
        return False
    columns = (column for select in _selects(query) for column in select.selected_columns)
    return _has_owner(query) and all(isinstance(column, Column) for column in columns)


def _has_owner(query: Any) -> bool:
    """Whether the rows of a checked sub-select come from a merchant's table, or from a sub-select of which that is true."""
    froms = [list(_leaves(select.get_final_froms())) for select in _selects(query)]
    return bool(froms) and all(any(_is_merchants(source) or _is_own(source) for source in each) for each in froms)


def _is_own(source: Any) -> bool:
    return isinstance(source, AliasedReturnsRows) and _has_owner(source.element)


def _selects(query: Any) -> Iterator[Any]:
    if isinstance(query, CompoundSelect):
        for part in query.selects:
            yield from _selects(part)
    elif isinstance(query, ScalarSelect | SelectStatementGrouping | Grouping):
        yield from _selects(query.element)
    elif isinstance(query, Select):
        yield query


def _is_merchants(source: Any) -> bool:
    table = _bottom(source)
    return isinstance(table, Table) and ("account_id" in table.c or table.name == "accounts")


def _name(source: Any) -> str:
    return str(_bottom(source).name)


def _bottom(source: Any) -> Any:
    while isinstance(source, AliasedReturnsRows):
        source = source.element
    return source
