"""The migration that numbers the stored events."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import flask_migrate
import pytest
from flask import Flask
from sqlalchemy import select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import PendingRollbackError

from portal_site import locations
from portal_site.billing.events.reading import events_after
from portal_site.billing.models import Event, EventCounter
from portal_site.db import db
from portal_site.db.transactions import transaction
from tests import world
from tests.conftest import make_app, own_database
from tests.named_events import emit_named
from tests.proofs.kills import Killed, killing
from tests.world import reading


@pytest.fixture(params=["sqlite", "postgresql"])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """An app whose database is as the revision before the sequence left it, with events of that program."""
    if request.param == "sqlite":
        yield _with_events(f"sqlite:///{tmp_path / 'stored.db'}", tmp_path)
        return
    with own_database(request.getfixturevalue("postgres")) as url:
        address = make_url(url).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
        app = _with_events(address, tmp_path)
        yield app
        with app.app_context():
            db.engine.dispose()


BEFORE, NUMBERED = "0010", "0011"
STORED = 40
ADD = text(
    "INSERT INTO events (id, account_id, livemode, created, type, data)"
    " VALUES (:id, :account, false, :created, 'customer.updated', '{}')"
)


def _with_events(url: str, folder: Path) -> Flask:
    app = make_app(url, folder)
    with app.app_context():
        account_id = world.scene().account_id
        db.session.remove()
        flask_migrate.downgrade(directory=str(locations.MIGRATIONS), revision=BEFORE)
        with db.engine.begin() as connection:
            for number in range(STORED):
                row = {"id": f"evt_{number % 4}_{number:02}", "account": account_id, "created": number // 8 % 3}
                connection.execute(ADD, row)
    return app


def _numbered() -> list[tuple[int, str]]:
    with reading() as reader:
        rows = reader.execute(select(Event.created, Event.id).order_by(Event.sequence)).all()
        assert list(reader.scalars(select(Event.sequence).order_by(Event.sequence))) == list(range(1, STORED + 1))
    return [(row.created, row.id) for row in rows]


@pytest.fixture
def small_batches(tmp_path: Path) -> str:
    """The folder of a copy of the migrations that numbers a few stored events at once."""
    copied = shutil.copytree(
        locations.MIGRATIONS, tmp_path / "migrations", ignore=shutil.ignore_patterns("__pycache__")
    )
    script = copied / "versions" / "0011_event_sequence.py"
    whole = script.read_text()
    script.write_text(whole.replace("AT_ONCE = 5000", "AT_ONCE = 9"))
    assert script.read_text() != whole
    return str(copied)


def test_stored_events_are_numbered_in_the_order_of_their_time(stored: Flask, small_batches: str) -> None:
    with stored.app_context():
        flask_migrate.upgrade(directory=small_batches)
        numbered = _numbered()
        assert numbered == sorted(numbered)
        with reading() as reader:
            assert reader.scalar(select(EventCounter.last)) == STORED
        customer = world.scene("Two").customer
        with transaction() as session:
            emit_named(session, customer, "new")
        assert [event.sequence for event in events_after(STORED)] == [STORED + 1]


def _way_back(migrations: str) -> Callable[[], None]:
    """A function that brings the database back to what it is now, at the revision before the sequence.

    SQLite's file is copied: to downgrade it, which writes each table anew, takes as long as all the rest.
    """
    if db.engine.dialect.name == "postgresql":
        return lambda: flask_migrate.downgrade(directory=migrations, revision=BEFORE)
    path, kept = str(db.engine.url.database), sqlite3.connect(":memory:")
    with closing(sqlite3.connect(path)) as source:
        source.backup(kept)

    def restore() -> None:
        db.session.remove()
        db.engine.dispose()
        with closing(sqlite3.connect(path)) as target:
            kept.backup(target)

    return restore


def test_an_interrupted_migration_goes_on_where_it_was(stored: Flask, small_batches: str) -> None:
    with stored.app_context():
        go_back = _way_back(small_batches)
        with killing(None) as counted:
            flask_migrate.upgrade(directory=small_batches, revision=NUMBERED)
        whole = _numbered()
        for point in range(counted.points):
            go_back()
            # Alembic commits what the kill leaves of a block of its own, where the connection is gone already.
            with pytest.raises((Killed, PendingRollbackError)), killing(point):
                flask_migrate.upgrade(directory=small_batches, revision=NUMBERED)
            flask_migrate.upgrade(directory=small_batches, revision=NUMBERED)
            assert _numbered() == whole
