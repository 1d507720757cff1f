"""Pages that read wait for nobody who writes."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from flask import Flask
from sqlalchemy import func, select, text, update

from portal_site import clock
from portal_site.billing.models import PortalVisit
from portal_site.db import db
from tests import world
from tests.conftest import enter
from tests.test_access import ROUTES, own_things
from tests.world import reading

# What a payment provider sends the customer back to, which may write down how a payment went.
BACK = tuple(name for name in ROUTES if name.startswith("portal.finish_"))
LONGEST = 4  # seconds: who waits for the writer does so for 5 on SQLite, and without end on PostgreSQL
READS = {name: route for name, route in ROUTES.items() if route.method == "GET" and name not in BACK}


def _set_last_seen(at: int) -> None:
    with world.transaction() as session:
        everybody = update(PortalVisit).execution_options(unscoped="all visits of the test")
        session.execute(everybody.values(last_seen_at=at))
    db.session.remove()


def _last_seen() -> int:
    with reading() as reader:
        return reader.scalar(select(func.max(PortalVisit.last_seen_at))) or 0


@contextmanager
def _a_writer() -> Iterator[None]:
    """Somebody who writes for as long as the block takes, as a batch of a billing run does for a moment."""
    if db.engine.dialect.name == "sqlite":
        connection = sqlite3.connect(str(db.engine.url.database))
        connection.isolation_level = None
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE customers SET description = 'being billed'")
        try:
            yield
        finally:
            connection.rollback()
            connection.close()
        return
    with db.engine.connect() as other, other.begin():
        for table in ("customers", "subscriptions", "portal_visits", "portal_sessions", "invoices"):
            other.execution_options(unscoped="a writer").execute(text(f"SELECT 1 FROM {table} FOR UPDATE"))
        yield


@pytest.mark.case("F5")
def test_reading_pages_do_not_wait_for_a_writer(app: Flask) -> None:
    scene = world.scene(last="open")
    things = own_things(app, scene)
    client = enter(app, scene.customer)
    statuses = {name: client.get(route.address.format(**things)).status_code for name, route in READS.items()}
    _set_last_seen(clock.now() - 1800)
    with _a_writer():
        for name, route in READS.items():
            began = time.perf_counter()
            assert client.get(route.address.format(**things)).status_code == statuses[name]
            assert time.perf_counter() - began < LONGEST, name
    deadline = time.monotonic() + 10
    while _last_seen() < clock.now() - 60 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _last_seen() >= clock.now() - 60  # it was noted once the writer was done


def test_a_passing_write_leaves_the_connection_as_it_was(lite_app: Flask) -> None:
    scene = world.scene()
    client = enter(lite_app, scene.customer)
    _set_last_seen(clock.now() - 120)
    assert client.get("/").status_code == 200
    assert _last_seen() >= clock.now() - 60
    with db.engine.connect() as connection:
        assert connection.scalar(text("PRAGMA busy_timeout")) == 5000
        assert connection.scalar(text("PRAGMA synchronous")) == 0  # as the tests have set it
