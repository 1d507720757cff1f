"""The migrations yield the models' schema on both databases, and can be downgraded."""

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import flask_migrate
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import Flask
from sqlalchemy import inspect, text
from sqlalchemy.engine import Connection

from portal_site import clock, locations
from portal_site.billing.billing_run import runner
from portal_site.db import Base, db, migrations
from tests import world
from tests.conftest import make_app
from tests.scenarios.history import History

# Alembic does not see the order that PostgreSQL is to have an expression in; tests/dashboard/test_customer_search.py does.
UNSEEN = {"ix_customers_account_id_lower_email_bytes"}


def _is_ours(item: Any, name: str, kind: str, *_: Any) -> bool:
    """Whether it is of a table of ours: the worker's queue may have tables of its own in the same database."""
    if kind == "index" and name in UNSEEN:
        return False
    return not (name if kind == "table" else item.table.name).startswith("huey_")


def test_the_newest_schema_is_what_the_models_say(app: Flask) -> None:
    with db.engine.connect() as connection:
        options = {"compare_type": True, "include_object": _is_ours}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, Base.metadata) == []


def test_a_migrations_lock_timeout_ends_with_it(postgres_app: Flask) -> None:
    """Whoever waits for a lock longer than a migration would, such as one of many tabs on a slow machine, gets it."""
    migrations.upgrade(postgres_app)
    with postgres_app.app_context(), ExitStack() as stack:
        for _ in range(5):
            connection = stack.enter_context(db.engine.connect())
            assert connection.scalar(text("SHOW lock_timeout")) == "0"


def test_the_state_is_the_head(app: Flask) -> None:
    current, head = migrations.state(app)
    assert current == head
    assert head


def test_every_table_of_a_merchant_names_the_account() -> None:
    """The account stands on each row, so that no query needs a join to be scoped."""
    own = {
        "accounts",
        "event_counter",
        "followed_dates",
        "followed_events",
        "rate_limit_counts",
        "sandbox_charges",
        "sandbox_methods",
        "sandbox_refunds",
        "sandbox_setups",
        "workers",
        # A user may work for several merchants.
        "recovery_codes",
        "passkeys",
        "sign_in_tries",
        "used_challenges",
        "user_sessions",
        "users",
    }
    assert {table.name for table in Base.metadata.sorted_tables if "account_id" not in table.c} == own


ROLLING = "0003"  # from here on there are portals that run while they are replaced


def _steps() -> list[str]:
    scripts = ScriptDirectory(str(locations.MIGRATIONS)).walk_revisions()
    return [script.revision for script in reversed(list(scripts))]


def _columns(connection: Connection) -> dict[tuple[str, str], Any]:
    inspector = inspect(connection)
    return {
        (table, column["name"]): column
        for table in inspector.get_table_names()
        for column in inspector.get_columns(table)
    }


@pytest.mark.case("F13")
def test_the_previous_version_can_write_into_each_newer_schema(tmp_path: Path) -> None:
    """While many processes are replaced one by one, the old ones go on: no step may take away or demand what they do not know."""
    app = make_app(f"sqlite:///{tmp_path / 'steps.db'}", tmp_path)
    with app.app_context():
        flask_migrate.downgrade(directory=str(locations.MIGRATIONS), revision="base")
        before: dict[tuple[str, str], Any] = {}
        for revision in _steps():
            flask_migrate.upgrade(directory=str(locations.MIGRATIONS), revision=revision)
            with db.engine.connect() as connection:
                after = _columns(connection)
            tables = {table for table, _ in before}
            assert before.keys() <= after.keys(), f"{revision} takes columns away"
            demanded = [
                name
                for name, column in after.items()
                if name not in before and name[0] in tables and not column["nullable"] and column["default"] is None
            ]
            if revision >= ROLLING:
                assert demanded == [], f"{revision} demands what the program of before does not give"
            before = after
        db.engine.dispose()


@pytest.mark.case("F13")
def test_an_unresolved_payment_survives_the_upgrade(tmp_path: Path) -> None:
    """Until revision 0007, `processing` meant that the gateway is being called; now it means a debit that takes days."""
    app = make_app(f"sqlite:///{tmp_path / 'stored.db'}", tmp_path)
    with app.app_context():
        scene = world.scene(last="open")
        flask_migrate.downgrade(directory=str(locations.MIGRATIONS), revision="0006")
        with db.engine.begin() as connection:
            invoice_id = connection.scalar(text("SELECT id FROM invoices WHERE status = 'open'"))
            connection.execute(
                text(
                    "INSERT INTO payment_attempts (id, account_id, customer_id, invoice_id, payment_method_id, livemode, created,"
                    " amount, currency, status, idempotency_key, automatic) VALUES ('payatt_old', :account, :customer, :invoice,"
                    " :method, false, 1, 2400, 'eur', 'processing', 'charge_old', false)"
                ),
                {
                    "account": scene.account_id,
                    "customer": scene.customer.id,
                    "invoice": invoice_id,
                    "method": scene.method.id,
                },
            )
        migrations.upgrade(app)
        with db.engine.connect() as connection:
            assert connection.scalar(text("SELECT status FROM payment_attempts")) == "submitting"
        runner.run(app.extensions["gateways"], clock.now() + 3600, lambda _id: "http://127.0.0.1/back")
        with db.engine.connect() as connection:
            assert connection.scalar(text("SELECT status FROM payment_attempts")) == "succeeded"
        db.engine.dispose()


@pytest.mark.case("F13")
@pytest.mark.both_databases
def test_a_pending_update_survives_the_upgrade(app: Flask) -> None:
    """Until revision 0012, its document named no version, and could lack members that were added since."""
    history = History.start(app, card=world.FAILS).advance_to("2026-04-16")
    assert history.change_plan(quantity=3).outcome == "pending"
    history.add_card()
    db.session.remove()
    old = {"expires_at", "subscription_items", "billing_cycle_anchor", "trial_end", "discount", "spent", "invoice"}
    try:
        flask_migrate.downgrade(directory=str(locations.MIGRATIONS), revision="0011")
        with db.engine.begin() as connection:
            document = _pending_update(connection)
            assert "version" not in document
            stored = {name: value for name, value in document.items() if name in old}
            for item in stored["subscription_items"]:
                del item["created"]
            statement = text("UPDATE subscriptions SET pending_update = :document")
            connection.execute(statement, {"document": json.dumps(stored)})
    finally:
        migrations.upgrade(app)
    with db.engine.connect() as connection:
        assert _pending_update(connection)["version"] == 2
    history.pay()
    assert (history.item.quantity, history.subscription.pending_update) == (3, None)


def _pending_update(connection: Connection) -> dict[str, Any]:
    stored = connection.scalar(text("SELECT pending_update FROM subscriptions"))
    return json.loads(stored) if isinstance(stored, str) else stored  # type: ignore[no-any-return]


@pytest.mark.case("F13")
def test_a_renewal_postponed_by_an_older_version_is_billed_by_its_period(tmp_path: Path) -> None:
    """Until revision 0013, the next try of a renewal that had failed stood in the place of its date."""
    app = make_app(f"sqlite:///{tmp_path / 'stored.db'}", tmp_path)
    with app.app_context():
        failed, well = world.shop("Failed"), world.shop("Well")
        flask_migrate.downgrade(directory=str(locations.MIGRATIONS), revision="0012")
        with db.engine.begin() as connection:
            moved = text("UPDATE subscriptions SET due_at = :at, billing_failures = 1 WHERE id = :id")
            connection.execute(moved, {"at": world.END + 300, "id": failed.subscription.id})
        migrations.upgrade(app)
        with db.engine.connect() as connection:
            dates = text("SELECT id, due_at, overdue_since FROM subscriptions")
            assert {row[0]: (row[1], row[2]) for row in connection.execute(dates)} == {
                failed.subscription.id: (world.END + 300, world.END),
                well.subscription.id: (world.END, None),
            }
        db.engine.dispose()
