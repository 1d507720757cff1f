"""Starts and stops servers: gunicorn with one sync worker, on a free port of 127.0.0.1."""

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench import data

CHECKOUT = Path(__file__).resolve().parent.parent
PATIENCE = 60


@dataclass(frozen=True)
class Server:
    """A running server. `pid` is gunicorn's master process; `start_seconds` is the time until the first response."""

    name: str
    port: int
    pid: int
    start_seconds: float

    @property
    def worker(self) -> psutil.Process:
        """The worker process."""
        return psutil.Process(self.pid).children()[0]

    def cpu_seconds(self) -> float:
        """The worker's CPU time so far."""
        times = self.worker.cpu_times()
        return times.user + times.system


def free_port() -> int:
    """A port that is currently free."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def serve(
    name: str, callable_: str, variables: dict[str, str], folder: Path, python: str = sys.executable, port: int = 0
) -> Iterator[Server]:
    """A server for a WSGI callable, stopped at the end of the block. Raises RuntimeError, with its log, if it does not start."""
    port = port or free_port()
    log = folder / f"{port}.log"
    command = [
        python, "-m", "gunicorn", callable_, "--bind", f"127.0.0.1:{port}", "--workers", "1", "--worker-class", "sync",
        "--no-control-socket", "--log-level", "warning", "--timeout", "120",
        "--config", os.devnull,  # the portal's own file in this folder is for its threads, and the twin has no portal
    ]  # fmt: skip
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PORTAL_", "DJANGO_", "GUNICORN_"))}
    environment = kept | data.environment("sqlite:////nowhere.db", port) | variables
    environment |= {"PYTHONPATH": str(CHECKOUT), "PORTAL_DATA_DIR": str(folder)}
    began = time.perf_counter()
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, cwd=CHECKOUT, stdout=output, stderr=subprocess.STDOUT)
    try:
        _wait(process, port, log)
        yield Server(name, port, process.pid, time.perf_counter() - began)
    finally:
        _stop(process)


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        try:
            connection.request("GET", "/")
            connection.getresponse().read()
            return
        except (ConnectionError, http.client.HTTPException):
            time.sleep(0.01)
        finally:
            connection.close()
    raise RuntimeError(f"a server did not start:\n{log.read_text()[-3000:]}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
