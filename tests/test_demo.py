"""`portal demo`: data is created once, replaced when stale, and never while another demo uses it."""

import fcntl
import threading
import time
from pathlib import Path

import pytest
import time_machine
from flask import Flask
from sqlalchemy import select

from portal_site import worker
from portal_site.billing.models import Customer
from portal_site.cli import demo_server, serving
from portal_site.db import db
from tests.world import reading

AT = 1_790_000_000


class Demo:
    """Runs `portal demo` on a folder, without serving."""

    def __init__(self, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.data = data
        self.names: set[str] = set()
        monkeypatch.setattr(worker, "run_in_thread", lambda _app: threading.Event())
        monkeypatch.setattr(serving, "serve", self._look)

    def _look(self, app: object, *_where: object) -> None:
        with app.app_context():  # type: ignore[attr-defined]
            with reading() as connection:
                query = select(Customer.id).execution_options(unscoped="the demo's own")
                self.names = set(map(str, connection.scalars(query)))
            db.session.remove()
            db.engine.dispose()

    def at(self, second: int) -> set[str]:
        """The ids of its customers when it is run at that time."""
        with time_machine.travel(second, tick=False):
            demo_server.run(8999, self.data)
        return self.names


@pytest.fixture
def demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Demo:
    """A demo in an empty folder."""
    return Demo(tmp_path / "demo", monkeypatch)


def test_demo_data_is_kept_for_a_week_and_then_created_again(demo: Demo, capsys: pytest.CaptureFixture[str]) -> None:
    made = demo.at(AT)
    assert made
    assert demo.at(AT + demo_server.STALE - 1) == made
    assert "out of date" not in capsys.readouterr().err
    assert not demo.at(AT + demo_server.STALE) & made
    assert capsys.readouterr().err == "The demo's data is out of date; it is made anew.\n"


@pytest.mark.parametrize("made_at", [str(AT + 60), "nonsense", ""], ids=["the future", "nonsense", "nothing"])
def test_unreadable_demo_data_is_created_again(demo: Demo, made_at: str) -> None:
    made = demo.at(AT)
    (demo.data / "made-at").write_text(made_at)
    assert not demo.at(AT) & made


def test_demo_data_served_by_another_process_is_kept(demo: Demo) -> None:
    made = demo.at(AT)
    with (demo.data / "lock").open() as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        assert demo.at(AT + demo_server.STALE) == made
    assert not demo.at(AT + demo_server.STALE) & made


def test_its_worker_works_while_it_is_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a thread of the same process, which is over with it."""
    seen: list[bool] = []

    def serve(app: Flask, *_where: object) -> None:
        deadline = time.monotonic() + 30
        with app.app_context():
            while worker.last_seen() is None and time.monotonic() < deadline:
                time.sleep(0.05)
            seen.append(worker.last_seen() is not None)
            db.session.remove()

    monkeypatch.setattr(serving, "serve", serve)
    demo_server.run(8998, tmp_path / "demo")
    assert seen == [True]
