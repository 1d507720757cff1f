"""Workers as processes: a queue on a server, and recovery after being killed."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask import Flask
from sqlalchemy import Engine, create_engine, make_url, text, update

from portal_site import clock
from portal_site.billing.models import (
    Subscription,
    SubscriptionItem,
)
from portal_site.db import db
from tests import world
from tests.conftest import SECRET, make_app


@pytest.fixture
def process(tmp_path: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Workers of this test, stopped at its end."""
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for one in started:
        one.kill()
        one.wait(10)


def _make_due(app: Flask, shops: int) -> None:
    """So many shops in the app's database, each with one subscription that has been due for a minute."""
    with app.app_context():
        for number in range(shops):
            shop = world.shop(f"Shop{number}")
        with world.transaction() as session:
            now = clock.now()
            for late in (
                update(Subscription).values(due_at=now - 60),
                update(SubscriptionItem).values(current_period_end=now - 60),
            ):
                session.execute(late.execution_options(unscoped="everybody is due", synchronize_session=False))
        db.session.remove()
        assert shop


def _start(
    folder: Path, url: str, *words: str, stderr: Any = subprocess.DEVNULL, **more: str
) -> subprocess.Popen[bytes]:
    """`portal worker` as a process of its own."""
    path = os.pathsep.join(filter(None, (str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH"))))
    environment = {
        **os.environ, "PORTAL_SECRET_KEY": SECRET, "PORTAL_BASE_URL": "http://127.0.0.1:8000",
        "PORTAL_DATA_DIR": str(folder), "PORTAL_DATABASE_URL": url, "PYTHONPATH": path, **more,
    }  # fmt: skip
    command = [sys.executable, "-m", "portal_site.cli", "worker", *words]
    return subprocess.Popen(command, env=environment, stderr=stderr)


def _paid(engine: Engine) -> int:
    with engine.connect() as connection:
        query = "SELECT count(*) FROM invoices WHERE status = 'paid' AND billing_reason = 'subscription_cycle'"
        return int(connection.execute(text(query)).scalar_one())


@pytest.fixture(params=["postgresql", "redis"])
def queue_url(request: pytest.FixtureRequest, postgres: str, tmp_path: Path) -> Iterator[str]:
    """A queue on a real server; Redis where this machine has one."""
    if request.param == "postgresql":
        yield make_url(postgres).set(drivername="postgresql").render_as_string(hide_password=False)
        return
    pytest.importorskip("redis")
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("there is no redis-server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [program, "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", str(tmp_path)]
    server = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    try:
        _wait(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait(10)


def test_two_threads_of_a_worker_share_a_queue_on_a_server(
    queue_url: str, postgres: str, tmp_path: Path, process: list[subprocess.Popen[bytes]]
) -> None:
    server = make_url(postgres).set(drivername="postgresql+psycopg")
    name = f"worker_{os.getpid()}_{urlsplit(queue_url).scheme}"
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    url = server.set(database=name).render_as_string(hide_password=False)
    engine = create_engine(url)
    try:
        own = make_app(url, tmp_path)
        _make_due(own, 8)
        with own.app_context():
            db.engine.dispose()
        with (tmp_path / "log").open("wb") as log:
            process.append(_start(tmp_path, url, "--threads", "2", stderr=log, PORTAL_QUEUE_URL=queue_url))
            _wait(lambda: _paid(engine) == 16)
            with engine.connect() as connection:
                assert connection.execute(text("SELECT count(*) FROM workers")).scalar_one() == 1
            process[0].terminate()
            process[0].wait(20)
        assert "Traceback" not in (tmp_path / "log").read_text()
    finally:
        for one in process:
            one.kill()
            one.wait(10)
        engine.dispose()
        with admin.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        admin.dispose()


@pytest.mark.case("F1")
@pytest.mark.long(70)
def test_a_worker_process_that_is_killed_is_replaced_by_the_next(
    sqlite_app: Flask, tmp_path: Path, process: list[subprocess.Popen[bytes]]
) -> None:
    """Real processes with a real queue: the first is killed as soon as it works, the second finishes."""
    url = f"sqlite:///{tmp_path}/portal.db"
    _make_due(make_app(url, tmp_path), 150)

    def start() -> subprocess.Popen[bytes]:
        process.append(_start(tmp_path, url))
        return process[-1]

    engine = create_engine(url)

    def paid() -> int:
        return _paid(engine)

    first = start()
    _wait(lambda: paid() > 155)
    first.send_signal(signal.SIGKILL)
    first.wait(10)
    start()
    # A payment that was under way when the first was killed is asked about after a minute, with the next tick.
    _wait(lambda: paid() == 300, 180)
    with engine.connect() as connection:
        twice = (
            "SELECT count(*) FROM (SELECT subscription_id FROM invoices GROUP BY subscription_id HAVING count(*) <> 2)"
        )
        assert connection.execute(text(twice)).scalar_one() == 0
        charges = "SELECT count(*) FROM sandbox_charges"
        assert connection.execute(text(charges)).scalar_one() == 150
    engine.dispose()


def _wait(done: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "the worker did not get there"
        time.sleep(0.05)
