"""Runs the program in separate processes, with `portal run` or gunicorn, and submits forms like a browser."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from portal_site import clock, locations
from portal_site.billing.portal_access import portal_sessions
from portal_site.db import db
from tests import world
from tests.client import parse
from tests.conftest import SECRET, empty_all, make_app
from tests.world import reading

EDIT = "/billing-information/edit"
CHECKOUT = locations.TEMPLATES.parent
README = (CHECKOUT / "README.md").read_text()


def _gunicorn() -> list[str]:
    """The README's own line, on another port, and with two of its processes: each takes seconds to load the program."""
    words = next(line for line in README.splitlines() if line.strip().startswith("gunicorn wsgi:app")).split()
    assert words[2:4] == ["--workers", "4"]
    here = ["127.0.0.1:{port}" if word == "127.0.0.1:8000" else word for word in words]
    return [sys.executable, "-m", *here, "--workers", "2"]


# The servers that the README names, by the words that it starts them with.
SERVERS = {
    "portal run": [sys.executable, "-m", "portal_site.cli", "run", "--port", "{port}"],
    "gunicorn": _gunicorn(),
}

# Runs a module as `python -m` does, in a program in which each answer takes so many seconds of a processor at least.
_SLOWLY = """
import runpy, sys, time
from flask import Flask

def dispatch(app, answer=Flask.full_dispatch_request):
    began = time.thread_time()
    response = answer(app)
    while time.thread_time() - began < {seconds}:
        pass
    return response

Flask.full_dispatch_request = dispatch
del sys.argv[0]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


class Browser:
    """One customer's browser, as far as a form needs one."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.cookie = ""
        self.token = ""

    def ask(self, method: str, path: str, data: dict[str, str] | None = None) -> tuple[int, str]:
        """The status and the text of the answer; the cookie and the form's token are kept."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
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
        self.fill()

    def fill(self) -> None:
        """Replace all data by one customer's."""
        with self.app.app_context():
            empty_all()
            self.customer_id = world.scene().customer.id
            db.session.remove()

    def serve(
        self, server: str = "portal run", also: Sequence[str] = (), **environment: str
    ) -> tuple[subprocess.Popen[bytes], int]:
        """One more process of one of SERVERS, with `also` as further options and these settings, and its port."""
        return self._serve(server, [*SERVERS[server], *also], **environment)

    def serve_slowly(
        self, server: str, seconds: float, also: Sequence[str] = ()
    ) -> tuple[subprocess.Popen[bytes], int]:
        """As `serve`, but an answer takes a thread so many seconds at least, however fast the machine is.

        Without rate limits, since one customer stands for all.
        """
        python, _, *words = SERVERS[server]
        command = [python, "-c", _SLOWLY.replace("{seconds}", str(seconds)), *words, *also]
        return self._serve(server, command, PORTAL_RATE_LIMIT_STORAGE="none")

    def _serve(self, server: str, command: Sequence[str], **environment: str) -> tuple[subprocess.Popen[bytes], int]:
        port = free_port()
        process = self.start(command, port, f"stderr-{port}", **environment)
        if (
            server == "gunicorn"
        ):  # it listens before its workers have loaded the program, which takes long on a busy machine
            with socket.create_connection(("127.0.0.1", port), timeout=90) as early:
                early.sendall(b"nonsense\r\n\r\n")
                early.recv(1)
        return process, port

    def start(self, command: Sequence[str], port: int, log: str, **environment: str) -> subprocess.Popen[bytes]:
        """A process that listens on a port; what it writes to standard error is in the folder, under the log's name."""
        given = {
            **os.environ,
            "PORTAL_SECRET_KEY": SECRET,
            "PORTAL_BASE_URL": f"http://127.0.0.1:{port}",
            "PORTAL_DATABASE_URL": f"sqlite:///{self.folder / 'portal.db'}",
            "PORTAL_DATA_DIR": str(self.folder),
            "PYTHONPATH": str(CHECKOUT),
            **environment,
        }
        words = [word.replace("{port}", str(port)) for word in command]
        process = self.stack.enter_context(_running(words, given, self.folder / log))
        wait_for(port)
        return process

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
def _running(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as errors:
        process = subprocess.Popen(command, env=environment, cwd=CHECKOUT, stdout=subprocess.DEVNULL, stderr=errors)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def wait_for(port: int) -> None:
    """Wait until it is listened on; on a busy machine a start can take a minute."""
    for _ in range(1_200):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the server did not start")
