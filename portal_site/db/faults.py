"""Errors by their reason: what the database, the disk and the system are to blame for, and what a row may be."""

import sqlite3

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, TimeoutError

from portal_site.db.transactions import is_conflict

# The classes of SQLSTATE that no row is the reason of: connection, transaction state (read-only), name or right that is
# missing, resources, a lock that is not free, an operator's intervention, the system, and the server's own errors.
SURROUNDINGS = ("08", "25", "42", "53", "55", "57", "58", "XX")
# SQLite's results that a row may be the reason of, and those of triggers; all others are of the file and the disk.
OF_A_ROW = (sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_RANGE)


def is_of_surroundings(error: Exception) -> bool:
    """Whether an error tells by itself that no row is the reason. Conflicts and lost connections are among them."""
    if not isinstance(error, DBAPIError):
        return isinstance(error, OSError | MemoryError | TimeoutError)
    sqlstate, code = getattr(error.orig, "sqlstate", None), getattr(error.orig, "sqlite_errorcode", None)
    if error.connection_invalidated or is_conflict(error):
        return True
    if sqlstate is not None:
        return str(sqlstate).startswith(SURROUNDINGS)
    if code == sqlite3.SQLITE_ERROR:
        return "no such" in str(error.orig) or "has no column" in str(error.orig)
    return isinstance(error, OperationalError) if code is None else code & 0xFF not in OF_A_ROW


def is_unavailable(error: DBAPIError | TimeoutError) -> bool:
    """Whether a request failed because the database cannot be reached, is busy or is full: it can be sent again later."""
    return is_of_surroundings(error) or isinstance(error, OperationalError | InterfaceError)


def described(error: Exception) -> str:
    """The error in one line, without the statement and its values. A database's own first line holds no values of rows."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return f"{type(cause).__name__}: {(str(cause).splitlines() or [''])[0]}"[:500]
