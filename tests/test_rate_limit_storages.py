"""Counting in memory and in the database: exact among threads and processes, and never in the way when it fails."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import time_machine
from flask import Flask
from limits.storage import Storage
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError

from portal_site import create_app, worker
from portal_site.config import Settings, SettingsError
from portal_site.db.transactions import reading
from portal_site.rate_limits import storages
from portal_site.rate_limits.models import RateLimitCount
from portal_site.rate_limits.storages import LocalStorage, SqlStorage
from tests import world
from tests.conftest import SECRET, make_app

AT = world.HALF
NOW = time_machine.travel(AT, tick=False)
both_storages = pytest.mark.parametrize("make", [LocalStorage, SqlStorage])


@NOW
@both_storages
def test_a_window_begins_with_the_first_request_and_ends(app: Flask, make: Callable[[], Storage]) -> None:
    storage = make()
    assert [storage.incr("a", 60), storage.incr("a", 60), storage.incr("b", 60)] == [1, 2, 1]
    with time_machine.travel(AT + 59, tick=False):
        assert (storage.incr("a", 60), storage.get("a"), storage.get_expiry("a")) == (3, 3, AT + 60)
    with time_machine.travel(AT + 60, tick=False):
        assert (storage.get("a"), storage.get_expiry("a")) == (0, AT + 60)
        assert (storage.incr("a", 60), storage.get_expiry("a")) == (1, AT + 120)
    assert storage.check()


@NOW
@both_storages
def test_a_window_of_a_clock_that_was_wrong_does_not_last(app: Flask, make: Callable[[], Storage]) -> None:
    storage = make()
    with time_machine.travel(AT + 86400, tick=False):
        assert storage.incr("a", 60) == 1
    assert (storage.incr("a", 60), storage.get_expiry("a")) == (1, AT + 60)


@both_storages
def test_requests_at_the_same_time_are_all_counted(app: Flask, make: Callable[[], Storage]) -> None:
    storage = make()
    start = threading.Barrier(8)

    def count(_number: int) -> list[int]:
        with app.app_context():
            start.wait()
            return [storage.incr("a", 3600) for _ in range(25)]

    with ThreadPoolExecutor(8) as pool:
        counts = [hits for found in pool.map(count, range(8)) for hits in found]
    assert sorted(counts) == list(range(1, 201))


@NOW
def test_the_worker_removes_windows_that_are_over(app: Flask) -> None:
    storage = SqlStorage()
    storage.incr("short", 60)
    storage.incr("long", 3600)
    with time_machine.travel(AT + 60, tick=False):
        worker.tick(app, AT + 60)
    with reading() as reader:
        assert reader.scalar(select(func.count()).select_from(RateLimitCount)) == 1
    assert storage.get("long") == 1


@NOW
def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storages, "MOST_CLIENTS", 100)
    storage = LocalStorage()
    for number in range(1000):
        storage.incr(f"client {number}", 60)
        assert len(storage._windows) <= 102
    with time_machine.travel(AT + 120, tick=False):
        storage.incr("another", 60)
        assert list(storage._windows) == ["another"]


@NOW
def test_requests_go_on_while_the_database_cannot_count_and_it_is_logged_once(
    lite_app: Flask, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    app = make_app(lite_app.config["SQLALCHEMY_DATABASE_URI"], tmp_path)
    app.extensions["rate_limits"].set_rate("links", "5 per minute")

    def fail(*_given: Any, **_options: Any) -> Any:
        raise OperationalError("INSERT", {}, Exception("gone"))

    client = app.test_client()
    with monkeypatch.context() as patched, caplog.at_level(logging.WARNING, "portal_site"):
        patched.setattr(storages, "passing_write", fail)
        assert [client.get("/p/session/none").status_code for _ in range(4)] == [403] * 4
        assert [record.getMessage() for record in caplog.records] == [
            "Rate limit storage unreachable - falling back to in-memory storage"
        ]
        assert [client.get("/p/session/none").status_code for _ in range(2)] == [403, 429]
    with time_machine.travel(AT + 120, tick=False):
        assert client.get("/p/session/none").status_code == 403
        assert SqlStorage().get("LIMITER/127.0.0.1/links/5/1/minute") == 1


def _settings(folder: Path, storage: str) -> Settings:
    return Settings(
        database_url=f"sqlite:///{folder / 'portal.db'}",
        secret_key=SECRET,
        base_url="http://127.0.0.1:8000",
        data_dir=folder,
        rate_limit_storage=storage,
    )


def test_redis_has_to_be_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portal_site.rate_limits.find_spec", lambda _name: None)
    with pytest.raises(SettingsError, match=r"pip install portal-site\[redis\]"):
        create_app(_settings(tmp_path, "redis://127.0.0.1:1"))


def test_it_can_be_left_to_a_proxy(tmp_path: Path) -> None:
    app = create_app(_settings(tmp_path, "none"))
    assert {app.test_client().get("/logged-out").status_code for _ in range(400)} == {200}


@pytest.mark.parametrize("storage", ["memory", "sql"])
def test_a_public_page_is_never_counted_in_the_database(tmp_path: Path, storage: str) -> None:
    """So it needs none: this one has no tables."""
    app = create_app(_settings(tmp_path, storage))
    assert [app.test_client().get("/logged-out").status_code for _ in range(301)] == [200] * 300 + [429]
