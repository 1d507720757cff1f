"""The revision of the database's schema, and upgrading it."""

import logging

import flask_migrate
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import Flask
from sqlalchemy.exc import SQLAlchemyError

from portal_site import locations
from portal_site.db import db, engine
from portal_site.db.faults import described

log = logging.getLogger("portal_site")


def upgrade(app: Flask) -> None:
    """Apply all missing migrations, each in its own transaction."""
    logging.getLogger("alembic").setLevel(logging.WARNING)
    with app.app_context():
        flask_migrate.upgrade(directory=str(locations.MIGRATIONS))


def state(app: Flask) -> tuple[str | None, str | None]:
    """The database's current revision (None before the first migration) and the newest revision."""
    with app.app_context(), db.engine.connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    return current, ScriptDirectory(str(locations.MIGRATIONS)).get_current_head()


def warn_if_behind(app: Flask) -> bool:
    """Write to the log that the schema is older than the program, which answers 503 and bills nothing until it is upgraded.

    Whether the schema can be used.
    """
    with app.app_context():
        if engine.has_no_file(db.engine.url):
            log.error("there is no database yet: run `portal migrate`")
            return False
    try:
        current, head = state(app)
    except SQLAlchemyError as error:
        log.error("the database cannot be used: %s", described(error))
        return False
    known = {script.revision for script in ScriptDirectory(str(locations.MIGRATIONS)).walk_revisions()}
    if current != head and (current is None or current in known):  # a newer schema is what an upgrade begins with
        log.error("the schema is at %s and the program's is %s: run `portal migrate`", current or "nothing", head)
        return False
    return True
