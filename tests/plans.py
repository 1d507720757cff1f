"""How the databases find rows."""

from typing import Any

from sqlalchemy import text

from portal_site.db import db


def plan(query: Any, table: str, *, unused: bool = False) -> str:
    """The plan of a query on a table; with `unused`, if it may not read the whole table, as it does while that is small."""
    is_server = db.engine.dialect.name == "postgresql"
    words = query.compile(dialect=db.engine.dialect, compile_kwargs={"literal_binds": True})
    with db.engine.connect() as connection:
        if is_server:
            connection.exec_driver_sql(f"ANALYZE {table}")
            connection.exec_driver_sql(f"SET LOCAL enable_seqscan = {'off' if unused else 'on'}")
        explain = "EXPLAIN " if is_server else "EXPLAIN QUERY PLAN "
        statement = text(explain + str(words)).execution_options(unscoped="a plan has no rows")
        return "\n".join(map(str, connection.execute(statement)))
