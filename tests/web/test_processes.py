"""`portal run` in separate processes: on one database file, with a full disk, and its log."""

import resource
import secrets
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import func, select

from portal_site.billing.models import Customer, Event
from tests.web.processes import EDIT, Browser, Place


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
