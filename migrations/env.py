"""Runs migrations on the app's database; batch mode, since SQLite cannot alter a column in place."""

from contextlib import ExitStack

from alembic import context
from flask import current_app

database = current_app.extensions["migrate"].db
LOCK_TIMEOUT = "500ms"


def run_migrations() -> None:
    """Each migration in a transaction, so that one that fails leaves nothing behind."""
    with ExitStack() as stack:
        connection = stack.enter_context(database.engine.connect())
        # It does not go back to the pool with what is set here: what the program does later may wait for its locks.
        stack.callback(connection.invalidate)
        if connection.dialect.name == "postgresql":
            # Rather give up and be run again than make every customer wait behind a lock on a busy table.
            connection.exec_driver_sql(f"SET lock_timeout = '{LOCK_TIMEOUT}'")
            connection.commit()
        context.configure(
            connection=connection,
            target_metadata=database.metadata,
            render_as_batch=True,
            transaction_per_migration=True,
            transactional_ddl=True,  # SQLite too: the engine sends BEGIN itself
            compare_type=True,
        )
        with context.begin_transaction():
            context.run_migrations()


if context.is_offline_mode():
    raise SystemExit("Migrations need a database: set PORTAL_DATABASE_URL and run `portal migrate`.")
run_migrations()
