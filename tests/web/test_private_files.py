"""The database's file under a running portal: deleted, replaced, read-only; and who on the machine can read it."""

import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import select, text

from portal_site import worker
from portal_site.billing.models import Customer
from portal_site.db import db
from portal_site.db.transactions import reading, transaction
from tests import world
from tests.conftest import make_app
from tests.test_cli import Portal
from tests.web.processes import EDIT, SERVERS, Place


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A portal's data, and its processes for as long as the test runs."""
    with ExitStack() as stack:
        yield Place(tmp_path, stack)


def _delete(folder: Path) -> None:
    for ending in ("", "-wal", "-shm"):
        (folder / f"portal.db{ending}").unlink(missing_ok=True)


def _stored(folder: Path) -> str:
    with sqlite3.connect(folder / "portal.db") as connection:
        return str(connection.execute("SELECT name FROM customers").fetchone()[0])


@pytest.mark.case("F24")
@pytest.mark.parametrize("server", SERVERS)
def test_a_backup_that_is_put_back_is_written_into_from_then_on(place: Place, server: str) -> None:
    _, port = place.serve(server)
    browser = place.browser(port)
    assert browser.save("Before") == 303
    with sqlite3.connect(place.folder / "portal.db") as source, sqlite3.connect(place.folder / "backup.db") as copy:
        source.backup(copy)
    _delete(place.folder)
    shutil.copy(place.folder / "backup.db", place.folder / "portal.db")
    for name in ("After", "And again"):
        done = browser.save(name)
        assert (done, _stored(place.folder)) in ((303, name), (503, "Before"))
    assert browser.save("In the end") == 303
    assert _stored(place.folder) == "In the end"


@pytest.mark.case("F24")
@pytest.mark.parametrize("server", SERVERS)
def test_a_file_that_is_deleted_is_503_and_is_not_made_anew(place: Place, server: str) -> None:
    _, port = place.serve(server)
    browser = place.browser(port)
    moved = place.folder / "moved.db"
    with sqlite3.connect(place.folder / "portal.db") as source, sqlite3.connect(moved) as copy:
        source.backup(copy)
    _delete(place.folder)
    for _ in range(3):
        assert browser.save("Lost") == 503
        assert browser.ask("GET", EDIT)[0] == 503
    assert not (place.folder / "portal.db").exists()
    moved.rename(place.folder / "portal.db")
    assert browser.save("Found") == 303
    assert _stored(place.folder) == "Found"


@pytest.mark.case("F24")
def test_a_file_that_is_replaced_in_the_middle_of_a_change_keeps_nothing_of_it(tmp_path: Path) -> None:
    app = make_app(f"sqlite:///{tmp_path / 'portal.db'}", tmp_path)
    with app.app_context():
        scene = world.scene()
        with sqlite3.connect(tmp_path / "portal.db") as source, sqlite3.connect(tmp_path / "backup.db") as copy:
            source.backup(copy)
        with pytest.raises(Exception, match="replaced"), transaction() as session:
            mine = select(Customer).where(Customer.id == scene.customer.id)
            session.scalars(mine).one().name = "Into the old file"
            session.flush()
            (tmp_path / "backup.db").rename(tmp_path / "portal.db")
        assert _stored(tmp_path) == "Hedda Berg"
        db.session.remove()
        db.engine.dispose()


def test_nobody_else_on_the_machine_can_read_the_data(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    portal = Portal(folder)
    assert portal("migrate").returncode == 0
    with sqlite3.connect(folder / "portal.db") as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO workers VALUES ('a', 1, 1, NULL)")
        connection.commit()
        worker.make_queue(f"sqlite:///{folder}/queue.db").storage.put_data("key", b"value")
        rights = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert rights.keys() >= {"portal.db", "portal.db-wal", "queue.db"}
    assert set(rights.values()) == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_check_makes_nothing(tmp_path: Path) -> None:
    portal = Portal(tmp_path / "data")
    checked = portal("check")
    assert checked.returncode == 1
    assert checked.stdout.startswith("settings: ok\n")
    assert checked.stderr == f"database: there is no file {tmp_path / 'data' / 'portal.db'}. Run `portal migrate`.\n"
    assert not (tmp_path / "data").exists()


def test_another_process_leaves_the_write_ahead_log_alone(tmp_path: Path) -> None:
    """The last process to close a database removes its log. Locks say which is the last; a new connection must not drop them."""
    database = tmp_path / "portal.db"
    app = make_app(f"sqlite:///{database}", tmp_path)
    with app.app_context(), reading() as first:
        first.execute(text("SELECT 1").execution_options(unscoped="nobody's"))
        with reading() as second:  # a connection of its own, which the pool opens now
            second.execute(text("SELECT 1").execution_options(unscoped="nobody's"))
        look = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('SELECT count(*) FROM accounts').fetchall()"
        subprocess.run([sys.executable, "-c", look, database], check=True)
        assert database.with_name("portal.db-wal").exists()
