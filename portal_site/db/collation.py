"""Texts in the order of their bytes, in which those that begin alike stand together. SQLite's own order is that one."""

from typing import Any

from sqlalchemy import String
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction

BYTEWISE = String().with_variant(String(collation="C"), "postgresql")  # the type of a column that is searched so
LAST = "\U0010ffff"  # behind whatever begins with a text is the text with this


class in_bytes(GenericFunction[str]):
    """An expression in the order of its bytes, for an index and for the conditions that it serves."""

    type = String()
    inherit_cache = True


@compiles(in_bytes)
def _as_it_is(element: Any, compiler: Any, **options: Any) -> str:
    return str(compiler.process(element.clauses, **options))


@compiles(in_bytes, "postgresql")
def _collated(element: Any, compiler: Any, **options: Any) -> str:
    return f'({compiler.process(element.clauses, **options)} COLLATE "C")'
