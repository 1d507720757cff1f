"""A large export is read by two processes: it brings what one process brings, whatever becomes of the second one."""

import json
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from portal_site.billing.importing import importer
from portal_site.billing.importing.importer import Options
from portal_site.billing.importing.reading import ahead
from portal_site.billing.importing.report import ImportReport
from tests.billing.exports import CUSTOMER, EXPORT, INVOICE, METHOD, NOW, PRICE, PRODUCT, SUBSCRIPTION

CUSTOMERS = 120
OF_CUSTOMERS = {"customer": CUSTOMER, "payment_method": METHOD, "subscription": SUBSCRIPTION, "invoice": INVOICE}
KILLED = """
import os, signal, sys
from pathlib import Path
from portal_site.billing.importing.reading import ahead, building, sources
from portal_site.billing.importing.reading.index import Index

ahead.LARGE = 0
ahead.MOST_AHEAD = 40
with Index() as index:
    sources.read(Path(sys.argv[1]), index)
    batches = ((index.of_customer(customer), False) for customer in index.customers())
    with ahead.Ahead(building.Builder(index, "acct_1"), index, "acct_1") as built:
        for number, _ in enumerate(built.build(batches)):
            if number == 40:
                print(len(os.listdir(os.environ["TMPDIR"])), flush=True)
                os.kill(os.getpid(), signal.SIGKILL)
"""


def _objects(number: int) -> Iterator[dict[str, Any]]:
    """A customer's objects. Some prices are only inside subscriptions, and some objects cannot be taken."""
    for kind, one in OF_CUSTOMERS.items():
        text = json.dumps(one)
        for name in ("cus_one", "pm_one", "sub_one", "si_one", "si_tiers", "in_one", "il_one", "di_", "ONE-0001"):
            text = text.replace(f'"{name}', f'"{name}{number:03}')
        document = json.loads(text)
        if kind == "subscription":
            product = {**PRODUCT, "id": f"prod_archived_{number % 7}"}
            archived = {**PRICE, "id": f"price_archived_{number % 7}", "lookup_key": None, "product": product}
            document["items"]["data"][0]["price"] = {**archived, "hat": "unknown"}
        if number % 10 == 3 and kind in ("payment_method", "invoice"):
            document["livemode"] = "unclear"
        yield document


@pytest.fixture
def export(tmp_path: Path) -> Path:
    shared = [one for kind, some in EXPORT.items() if kind not in OF_CUSTOMERS for one in some if "customer" not in one]
    objects = [*shared, *(one for number in range(CUSTOMERS) for one in _objects(number))]
    path = tmp_path / "export.jsonl"
    path.write_text("\n".join(map(json.dumps, objects)))
    return path


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importer, "BATCH", 12)
    monkeypatch.setattr(ahead, "MOST_AHEAD", 120)


def _take(
    export: Path, advance: Callable[[int, int], None] = lambda done, total: None, **options: bool
) -> ImportReport:
    return importer.import_objects(export, NOW, advance=advance, options=Options(**options))


def _is_as_one_process_has_it(export: Path, report: ImportReport, told: ImportReport) -> None:
    """Whether it brought what a dry run in one process had `told`, so that nothing is left to be brought by another one."""
    assert list(report.findings()) == list(told.findings())
    assert (report.added, report.unknown_members) == (told.added, told.unknown_members)
    again = _take(export)
    assert (again.added, again.updated) == ({}, {})
    assert report.added["subscriptions"] == CUSTOMERS


def test_two_processes_bring_what_one_brings(app: Flask, export: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = _take(export, dry_run=True)
    assert told.unknown_members == 7  # an archived price that many subscriptions hold is looked at once
    assert sum("livemode" in finding.sentence for finding in told.findings()) == 24
    monkeypatch.setattr(ahead, "LARGE", 0)
    seen: set[int] = set()
    report = _take(export, lambda done, total: seen.update(one.pid or 0 for one in multiprocessing.active_children()))
    assert len(seen) == 1
    monkeypatch.setattr(ahead, "LARGE", 10**6)
    _is_as_one_process_has_it(export, report, told)
    assert multiprocessing.active_children() == []


def test_an_import_goes_on_alone_when_its_second_process_is_killed(
    lite_app: Flask, export: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = _take(export, dry_run=True)
    monkeypatch.setattr(ahead, "LARGE", 0)
    killed: list[int] = []

    def kill(done: int, total: int) -> None:
        if done > total // 4 and not killed:
            for one in multiprocessing.active_children():
                one.kill()
                killed.append(one.pid or 0)

    report = _take(export, kill)
    assert len(killed) == 1
    monkeypatch.setattr(ahead, "LARGE", 10**6)
    _is_as_one_process_has_it(export, report, told)


def test_a_killed_import_leaves_no_process_and_no_temporary_file(export: Path, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environment = {**os.environ, "TMPDIR": str(temporary)}
    command = [sys.executable, "-c", KILLED, str(export)]
    ended = subprocess.run(command, env=environment, stdout=subprocess.PIPE, timeout=60, check=False)
    # Its output ends only when the second process has closed it as well.
    assert (ended.returncode, ended.stdout.strip()) == (-9, b"0")


@pytest.mark.parametrize("refuses", ["ProcessPoolExecutor", "get_context"])
def test_an_import_is_made_alone_where_no_second_process_can_be(
    lite_app: Flask, export: Path, monkeypatch: pytest.MonkeyPatch, refuses: str
) -> None:
    def refuse(*_arguments: object) -> None:
        raise PermissionError("No semaphores here.")

    monkeypatch.setattr(ahead, "LARGE", 0)
    monkeypatch.setattr(ahead, refuses, refuse)
    assert _take(export).added["subscriptions"] == CUSTOMERS
