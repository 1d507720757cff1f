"""Migrations and models say the same on both databases, and go down again as they came up."""

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from flask import Flask

from portal_site import migrating
from portal_site.db import Base, db


def test_the_newest_schema_is_what_the_models_say(app: Flask) -> None:
    with db.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_the_state_is_the_head(app: Flask) -> None:
    current, head = migrating.state(app)
    assert current == head
    assert head


def test_every_table_of_a_merchant_names_the_account() -> None:
    """The account stands on each row, so that no query needs a join to be scoped."""
    own = {"accounts", "sandbox_charges", "sandbox_methods", "sandbox_setups", "workers"}
    assert {table.name for table in Base.metadata.sorted_tables if "account_id" not in table.c} == own
