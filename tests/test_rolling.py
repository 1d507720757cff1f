"""Upgrades: a failing migration changes nothing, a blocking one gives up, and a restart drops no request."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import flask_migrate
import pytest
from flask import Flask
from sqlalchemy import inspect, text

from portal_site import locations
from portal_site.db import db, migrations
from tests.conftest import SECRET
from tests.web.processes import free_port, wait_for

BAD = '''
"""Fails half way."""
import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = "9999", "{head}", None, None


def upgrade():
    op.create_table("half_done", sa.Column("id", sa.String(), primary_key=True))
    op.add_column("accounts", sa.Column("half_done", sa.String()))
    op.execute("INSERT INTO nowhere VALUES (1)")


def downgrade():
    pass
'''

WAITS = '''
"""Needs a table to itself."""
import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = "9999", "{head}", None, None


def upgrade():
    op.execute("SET statement_timeout = '10s'")
    op.add_column("accounts", sa.Column("waits", sa.String()))


def downgrade():
    pass
'''


@pytest.fixture
def versions(tmp_path: Path) -> Path:
    """The folder of a copy of all migrations, for one more: the checkout's own are read by others at the same time."""
    copied = shutil.copytree(
        locations.MIGRATIONS, tmp_path / "migrations", ignore=shutil.ignore_patterns("__pycache__")
    )
    return copied / "versions"


@pytest.mark.case("F13")
def test_a_migration_that_fails_half_way_leaves_the_schema_as_it_was(app: Flask, versions: Path) -> None:
    """One more migration, which fails after it has changed two things."""
    before, head = migrations.state(app)
    (versions / "9999_fails.py").write_text(BAD.format(head=head))
    db.session.remove()
    with pytest.raises(Exception, match="nowhere"):
        flask_migrate.upgrade(directory=str(versions.parent))
    found = inspect(db.engine)
    assert "half_done" not in found.get_table_names()
    assert "half_done" not in {column["name"] for column in found.get_columns("accounts")}
    assert migrations.state(app)[0] == before


@pytest.mark.case("F13")
def test_a_migration_gives_up_rather_than_making_customers_wait(postgres_app: Flask, versions: Path) -> None:
    with postgres_app.app_context(), db.engine.connect() as customer:
        (versions / "9999_waits.py").write_text(WAITS.format(head=migrations.state(postgres_app)[1]))
        customer.execute(text("LOCK TABLE accounts IN ACCESS SHARE MODE"))
        began = time.perf_counter()
        with pytest.raises(Exception, match="lock timeout"):
            flask_migrate.upgrade(directory=str(versions.parent))
        assert time.perf_counter() - began < 5


@pytest.mark.case("F16")
@pytest.mark.long(40)
def test_a_restart_under_load_fails_no_request(tmp_path: Path) -> None:
    port = free_port()
    environment = {
        **os.environ,
        "PORTAL_SECRET_KEY": SECRET,
        "PORTAL_BASE_URL": f"http://127.0.0.1:{port}",
        "PORTAL_DATA_DIR": str(tmp_path),
        "PORTAL_RATE_LIMIT_STORAGE": "none",  # one client asks as many would
        "PYTHONPATH": str(locations.TEMPLATES.parent),
    }
    subprocess.run(
        [sys.executable, "-m", "portal_site.cli", "migrate"], env=environment, check=True, capture_output=True
    )
    options = f"--bind 127.0.0.1:{port} --workers 2 --worker-class gthread --threads 4 --graceful-timeout 20 --no-control-socket"
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "wsgi:app",
        *options.split(),
        "--chdir",
        str(locations.TEMPLATES.parent),
    ]
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(port)
        answers: list[Any] = []
        threads = [threading.Thread(target=_load, args=(port, 1500, answers)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for reached in (500, 2_300, 4_100):
            while len(answers) < reached and any(thread.is_alive() for thread in threads):
                time.sleep(0.05)
            server.send_signal(signal.SIGHUP)
        for thread in threads:
            thread.join()
        assert len(answers) == 6_000
        assert set(answers) == {200}
    finally:
        server.terminate()
        server.wait(20)


def _load(port: int, count: int, answers: list[Any]) -> None:
    """Plain sockets: what reads the answers must not cost more than what gives them."""
    asked = f"GET /logged-out HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode()
    for _ in range(count):
        answer = bytearray()
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
                connection.sendall(asked)
                while data := connection.recv(65_536):
                    answer += data
        except OSError as error:
            answers.append(repr(error))
        else:
            answers.append(_status(bytes(answer)))


def _status(answer: bytes) -> int | str:
    """The status of an answer that came completely."""
    head, _, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"\r\ncontent-length: (\d+)", head, re.IGNORECASE)
    whole = length is not None and len(body) == int(length[1])
    return int(head.split()[1]) if whole else f"cut off: {head!r}"
