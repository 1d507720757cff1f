"""Tenant isolation check: refuses a statement on a merchant's table that does not restrict its rows to an owner.

Each operation and page scopes its queries itself; this check catches a query where that was forgotten. A statement that reads
all merchants on purpose, or that is plain SQL text, which cannot be analysed, must carry the execution option `unscoped` with
the reason as its value.
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

# Each of these columns identifies one owner: a customer belongs to one account, a token's hash to one session, the random id of a
# login page to one configuration, and that of a page for cancellations to one account; what is a user's or
# a platform's is nobody else's.
OWNERS = {
    "account_id",
    "platform_id",
    "customer_id",
    "user_id",
    "token_hash",
    "session_id",
    "login_page_id",
    "cancellation_page_id",
}
MOST_REMEMBERED = 2000  # statements with different SQL; the program has a few hundred
_QUERY = re.compile(r"\b(select|from|table)\b", re.IGNORECASE)
Sources = frozenset[Any]  # the elements of a FROM clause: tables, aliases and sub-selects
NAMED = "an owner that the condition itself names"  # marks a source whose owner is a bound value

_passed: set[Any] = set()


class Unscoped(AssertionError):
    """A statement on a merchant's table does not restrict its rows to an owner. It is a programming error, never a user's."""


def check_orm(state: ORMExecuteState) -> None:
    """Listener for the session. Refreshing rows by primary key is allowed: a scoped statement has found them before."""
    if not state.is_column_load and not state.is_relationship_load and not state.execution_options.get("unscoped"):
        check(state.statement)


def check_read(_connection: Any, statement: Any, _multi: Any, _params: Any, options: Mapping[str, Any]) -> None:
    """Listener for the engine, for read-only connections; `check_orm` has already checked the session's statements."""
    if options.get("readonly") and not options.get("unscoped"):
        check(statement)


def check(statement: Any) -> None:
    """Raise Unscoped unless every merchant's table in the statement is restricted to an owner that the statement names.

    A table is restricted if an owner column is compared with a value by = or IN in WHERE or in the ON of an inner join, and
    not as one branch of an OR. A table without such a condition must be joined by a key to a restricted one, directly or
    through other tables.
    """
    # Results are cached by SQLAlchemy's own cache key. It describes the statement without its values, and SQLAlchemy builds
    # it for each execution anyway.
    key = statement._generate_cache_key()
    if key is not None and key.key in _passed:
        return
    _check_all([statement], ())
    if key is not None:
        if len(_passed) >= MOST_REMEMBERED:
            _passed.clear()
        _passed.add(key.key)


def _check_all(elements: Iterable[Any], outer: tuple[Sources, ...]) -> None:
    """Check every query in these elements, at any depth. `outer` holds the FROM elements of each enclosing query."""
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
    scoped = frozenset().union(*outer) - sources | frozenset(filter(_is_own, sources))
    unscoped = {_name(source) for source in sources - _owned(conditions, scoped) if _is_merchants(source)}
    if unscoped:
        raise Unscoped(f"a statement on {', '.join(sorted(unscoped))} says nothing of whose rows it means")
    _check_all([*query.get_children(), *sources], (*outer, sources))


def _joined(query: Any, outer: tuple[Sources, ...]) -> list[Any]:
    """The query's own FROM elements, without correlated ones, determined by SQLAlchemy's rules of auto-correlation."""
    if not isinstance(query, Select):
        where = query.whereclause
        return [query.table] if where is None else [query.table, *where._from_objects]
    froms = query.get_final_froms()
    if query._correlate:
        correlated = frozenset().union(*outer) & frozenset(query._correlate)
    elif query._correlate_except is not None:
        correlated = frozenset().union(*outer) - frozenset(query._correlate_except)
    else:
        correlated = outer[-1] if outer and query._auto_correlate and len(froms) > 1 else frozenset()
    return [source for source in froms if source not in correlated]


def _leaves(sources: Iterable[Any]) -> Iterator[Any]:
    """The tables, aliases and sub-selects in these FROM elements, with joins taken apart."""
    for source in sources:
        if isinstance(source, Join):
            yield from _leaves([source.left, source.right])
        elif isinstance(source, FromGrouping):
            yield from _leaves([source.element])
        else:
            yield source


def _on(source: Any) -> Iterator[tuple[Any, Sources]]:
    """Each ON condition with the sources that it restricts: all for an inner join, the right side for an outer join."""
    if isinstance(source, FromGrouping):
        yield from _on(source.element)
    elif isinstance(source, Join):
        yield from _on(source.left)
        yield from _on(source.right)
        restricted = [] if source.full else [source.right] if source.isouter else [source]
        for part in _ands(source.onclause):
            yield part, frozenset(_leaves(restricted))


def _ands(clause: Any) -> Iterator[Any]:
    """The operands of a conjunction, with nested ANDs flattened."""
    if isinstance(clause, Grouping):
        yield from _ands(clause.element)
    elif isinstance(clause, BooleanClauseList) and clause.operator is operators.and_:
        for part in clause.clauses:
            yield from _ands(part)
    else:
        yield clause


def _owned(conditions: Iterable[tuple[Any, Sources]], scoped: Sources) -> Sources:
    """`scoped`, and all sources that the conditions restrict to an owner or join to a scoped source, transitively."""
    links = [
        (source, via) for part, restricted in conditions for source, via in _restrictions(part) if source in restricted
    ]
    scoped |= {NAMED}
    while added := {source for source, via in links if via in scoped} - scoped:
        scoped |= added
    return scoped


def _restrictions(part: Any) -> Iterator[tuple[Any, Any]]:
    """Each table that a condition restricts, with NAMED for an owner's value, or with the table that it is joined to."""
    if not isinstance(part, BinaryExpression):
        return
    left, right = part.left, part.right
    if part.operator is operators.in_op and isinstance(left, Column):
        if (_is_owner(left) and _is_value(right)) or (_is_key(left) and _is_scoped_subquery(right)):
            yield left.table, NAMED
    elif part.operator is operators.eq:
        for side, other in ((left, right), (right, left)):
            if isinstance(side, Column) and _is_owner(side) and isinstance(other, BindParameter):
                yield side.table, NAMED
            elif isinstance(side, Column) and (_is_key(side) or _is_key(other)):
                yield side.table, _origin(other)


def _origin(side: Any) -> Any:
    """The table of a column, or of a COALESCE whose columns all come from one table; None for anything else."""
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
    """Whether a value of the column identifies one row: a single-column primary or foreign key.

    A status does not, nor does an id that is unique per account only.
    """
    if not isinstance(column, Column):
        return False
    if column.primary_key and len(column.table.primary_key) == 1:
        return True
    return any(key.constraint is not None and len(key.constraint.columns) == 1 for key in column.foreign_keys)


def _is_scoped_subquery(query: Any) -> bool:
    """Whether a sub-select is scoped by itself, and selects only columns."""
    try:
        _check_all([query], ())
    except Unscoped:
        return False
    columns = (column for select in _selects(query) for column in select.selected_columns)
    return _has_owner(query) and all(isinstance(column, Column) for column in columns)


def _has_owner(query: Any) -> bool:
    """Whether each select of a checked sub-select reads a merchant's table, directly or in a sub-select of its own."""
    froms = [list(_leaves(select.get_final_froms())) for select in _selects(query)]
    return bool(froms) and all(any(_is_merchants(source) or _is_own(source) for source in sources) for sources in froms)


def _is_own(source: Any) -> bool:
    """Whether the source is a sub-select that is scoped by its own conditions."""
    return isinstance(source, AliasedReturnsRows) and _has_owner(source.element)


def _selects(query: Any) -> Iterator[Any]:
    """The selects that a union or a wrapped select consists of."""
    if isinstance(query, CompoundSelect):
        for part in query.selects:
            yield from _selects(part)
    elif isinstance(query, ScalarSelect | SelectStatementGrouping | Grouping):
        yield from _selects(query.element)
    elif isinstance(query, Select):
        yield query


def _is_merchants(source: Any) -> bool:
    """Whether the source is a table whose rows belong to an account, or the accounts themselves."""
    table = _bottom(source)
    return isinstance(table, Table) and ("account_id" in table.c or table.name == "accounts")


def _name(source: Any) -> str:
    return str(_bottom(source).name)


def _bottom(source: Any) -> Any:
    """The table below any number of aliases."""
    while isinstance(source, AliasedReturnsRows):
        source = source.element
    return source
