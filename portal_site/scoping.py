"""The net under every query: a merchant's table is never read or changed without saying whose rows are meant.

Each operation and page scopes its queries itself; this refuses the one in which that was forgotten. A statement that is about
all merchants on purpose carries the execution option `unscoped` with its reason.
"""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Delete, Select, Table, Update
from sqlalchemy.orm import ORMExecuteState
from sqlalchemy.sql import visitors
from sqlalchemy.sql.elements import BinaryExpression, BindParameter, ColumnClause, Grouping
from sqlalchemy.sql.selectable import CompoundSelect

# A customer belongs to one account, and the hash of a token to one session: each says whose rows are meant.
OWNERS = {"account_id", "customer_id", "token_hash", "session_id"}


class Unscoped(AssertionError):
    """A statement on a merchant's table that does not say whose rows it means: a defect, never a user's fault."""


def check_orm(state: ORMExecuteState) -> None:
    """The session's hook. Rows that were found by a scoped statement may be loaded anew by their key."""
    if not state.is_column_load and not state.is_relationship_load and not state.execution_options.get("unscoped"):
        check(state.statement)


def check(statement: Any) -> None:
    """Raise Unscoped for a select, update or delete on a merchant's table without its owner."""
    if not isinstance(statement, Select | CompoundSelect | Update | Delete):
        return
    elements = list(visitors.iterate(statement))
    tables = {element.name for element in elements if isinstance(element, Table) and "account_id" in element.c}
    if tables and not any(_owners(elements)):
        raise Unscoped(f"a statement on {', '.join(sorted(tables))} says nothing of whose rows it means")


def _owners(elements: list[Any]) -> Iterator[bool]:
    for element in elements:
        if isinstance(element, BinaryExpression):
            sides = (element.left, element.right)
            yield any(map(_is_owner, sides)) and any(isinstance(side, BindParameter | Grouping) for side in sides)


def _is_owner(side: Any) -> bool:
    if not isinstance(side, ColumnClause):
        return False
    table = getattr(side.table, "name", "")
    return side.name in OWNERS or (side.name == "id" and table in ("accounts", "customers"))
