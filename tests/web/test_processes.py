"""The program as it is run: `portal run` in processes of their own, on one file, with a full disk, and what they write down."""

import http.client
import os
import resource
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from sqlalchemy import func, select

from portal_site import clock, resources
from portal_site.billing.models import Customer, Event
from portal_site.billing.operations import portal_sessions
from portal_site.db import db
from tests import world
from tests.client import parse
from tests.conftest import SECRET, make_app
from tests.world import reading

EDIT = "/billing-information/edit"


class Browser:
    """One customer's browser, as far as a form needs one."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.cookie = ""
        self.token = ""

    def ask(self, method: str, path: str, data: dict[str, str] | None = None) -> tuple[int, str]:
        """The status and the text of the answer; the cookie and the form's token are kept."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        headers = {"Cookie": self.cookie, "Content-Type": "application/x-www-form-urlencoded", "Connection": "close"}
        connection.request(method, path, urlencode(data or {}) if method == "POST" else None, headers)
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        self.cookie = (response.getheader("Set-Cookie") or self.cookie).partition(";")[0]
        for field in parse(text).iter("input") if "csrf_token" in text else ():
            if field.get("name") == "csrf_token":
                self.token = str(field.get("value"))
        return response.status, text

    def save(self, name: str) -> int:
        """Send the form for billing information."""
        return self.ask("POST", EDIT, {"csrf_token": self.token, "email": "hedda@acme.example", "name": name})[0]


class Place:
    """A folder with a portal's data, and processes that serve it."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self.stack = folder, stack
        self.app = make_app(f"sqlite:///{folder / 'portal.db'}", folder)
        with self.app.app_context():
            self.customer_id = world.scene().customer.id
            db.session.remove()

    def serve(self) -> tuple[subprocess.Popen[bytes], int]:
        """One more process, and its port."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = int(free.getsockname()[1])
        process = self.stack.enter_context(_running(port, self.folder))
        _wait_for(port)
        return process, port

    def link(self) -> str:
        """A fresh link's token."""
        with self.app.app_context():
            token = portal_sessions.open_session(self.customer_id, clock.now()).token
            db.session.remove()
        return token

    def browser(self, port: int) -> Browser:
        """A browser that has followed a link and holds the form."""
        made = Browser(port)
        assert made.ask("GET", f"/p/session/{self.link()}")[0] == 303
        assert made.ask("GET", EDIT)[0] == 200
        return made

    def read(self, query: Any) -> Any:
        """One value from the database."""
        with self.app.app_context(), reading() as connection:
            return connection.scalar(query)

    def log(self) -> str:
        """What all processes have written to standard error."""
        return "".join(path.read_text() for path in self.folder.glob("stderr-*"))


@contextmanager
def _running(port: int, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    environment = {
        **os.environ,
        "PORTAL_SECRET_KEY": SECRET,
        "PORTAL_BASE_URL": f"http://127.0.0.1:{port}",
        "PORTAL_DATABASE_URL": f"sqlite:///{folder / 'portal.db'}",
        "PORTAL_DATA_DIR": str(folder),
        "PYTHONPATH": str(resources.TEMPLATES.parent),
    }
    command = [sys.executable, "-m", "portal_site.cli", "run", "--port", str(port)]
    with (folder / f"stderr-{port}").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=log)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)


def _wait_for(port: int) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the server did not start")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A portal's data, and its processes for as long as the test runs."""
    with ExitStack() as stack:
        yield Place(tmp_path, stack)


@pytest.mark.case("A4")
def test_what_the_server_writes_down_names_no_token_and_nobody(place: Place) -> None:
    _, port = place.serve()
    token = place.link()
    browser = Browser(port)
    paths = [
        f"/p/session/{token}",
        "/",
        f"/p/session/{token}/x",
        f"/p/session/{token}?token={token}",
        "/p/session/x",
        f"/{token}",
    ]
    statuses = [browser.ask("GET", path)[0] for path in paths]
    assert statuses == [303, 200, 404, 303, 403, 404]
    browser.ask("POST", f"/p/session/{token}")
    log = place.log()
    assert "GET /p/session/<token> 303" in log
    assert "GET (no route) 404" in log
    assert len(log.splitlines()) == len(paths) + 1
    assert token not in log
    assert browser.cookie.partition("=")[2] not in log
    assert "hedda" not in log.lower()


@pytest.mark.case("F6")
def test_a_disk_that_is_full_is_503_and_the_same_process_goes_on_once_there_is_room(place: Place) -> None:
    process, port = place.serve()
    browser = place.browser(port)
    assert browser.save("Before") == 303
    _, most = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (0, most))  # as `ulimit -f 0`: no file may grow
    status, text = browser.ask("POST", EDIT, {"csrf_token": browser.token, "email": "x@acme.example", "name": "Full"})
    assert status == 503
    assert "Nothing has been changed." in text
    assert browser.ask("GET", EDIT)[0] == 200  # what is only read can still be
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (most, most))
    assert place.read(select(Customer.name)) == "Before"
    assert browser.save("After") == 303
    assert place.read(select(Customer.name)) == "After"
    assert "Traceback" not in place.log()


@pytest.mark.case("F5")
def test_two_processes_that_write_at_once_lose_nothing_and_refuse_nobody(place: Place) -> None:
    ports = [place.serve()[1] for _ in range(2)]
    statuses: list[int] = []

    def customer(port: int) -> None:
        browser = place.browser(port)
        statuses.extend(browser.save(secrets.token_hex(8)) for _ in range(8))

    before = place.read(select(func.count()).select_from(Event))
    threads = [threading.Thread(target=customer, args=(port,)) for port in ports * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [303] * 48
    assert place.read(select(func.count()).select_from(Event)) == before + 48
