"""`portal import --from-stripe`, `portal migrate-billing`, what the worker finishes, and what `portal check` says."""

import csv
import json
import time
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from flask import Flask

from portal_site import clock
from portal_site.billing.gateways.registry import Gateways
from portal_site.billing.migration import rows, undoing
from portal_site.billing.migration.checks import Method
from portal_site.billing.migration.comparison import CONSEQUENCE
from portal_site.billing.migration.stripe_api import Pace
from portal_site.cli import checks
from tests.plans import plan
from tests.stripe.billing_double import DAY, NOW, BillingDouble
from tests.stripe.double import KEY, running
from tests.stripe.migrating import moving
from tests.test_cli import Portal


@pytest.fixture
def double() -> Iterator[BillingDouble]:
    with running(BillingDouble()) as started:
        assert isinstance(started, BillingDouble)
        started.fill(6)
        yield started


@pytest.fixture
def portal(tmp_path: Path, double: BillingDouble, monkeypatch: pytest.MonkeyPatch) -> Portal:
    """The command on a folder with one account, beside the double, whose calls wait for nobody."""
    monkeypatch.setattr(clock, "now", lambda: double.now)
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    monkeypatch.setattr(click, "prompt", lambda *_words, **_options: KEY)
    command = Portal(tmp_path)
    command.environment |= {"PORTAL_GATEWAY": "stripe,sandbox", "PORTAL_STRIPE_ADDRESS": double.address}
    command.with_database()
    assert command("account", "create", "--name", "Acme", "--country", "FR").returncode == 0
    return command


def test_an_account_is_read_once_for_the_dry_run_and_the_import(
    portal: Portal, double: BillingDouble, tmp_path: Path
) -> None:
    assert portal("gateway", "connect").returncode == 0
    dry = portal("import", "--from-stripe", "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert "First invoices in 2026-10, were they billed here: 6, " in dry.stderr
    foreseen = list(csv.reader((tmp_path / "import-forecast.csv").open()))
    assert len(foreseen) == 7
    assert foreseen[1][0].startswith("sub_")
    calls = len(double.calls)
    done = portal("import", "--from-stripe")
    assert "Going on with what was read since" in done.stderr
    assert "Imported" in done.stderr
    assert len(double.calls) == calls  # what the dry run had read
    assert not list(tmp_path.rglob("customers.jsonl"))
    assert KEY not in dry.stdout + dry.stderr + done.stdout + done.stderr


def test_comparing_taking_over_and_undoing(portal: Portal, double: BillingDouble, tmp_path: Path) -> None:
    portal("gateway", "connect")
    portal("import", "--from-stripe")
    same = portal("migrate-billing", "compare", "--output", str(tmp_path / "all.jsonl"))
    assert (same.returncode, same.stderr) == (0, "6 compared, 6 equal, 0 differ.\n")
    double.objects["sub_0003"]["items"]["data"][0]["quantity"] += 1
    other = portal("migrate-billing", "compare")
    assert other.returncode == 1
    assert "sub_0003 (cus_0003): 51.84 EUR here, 64.80 EUR at Stripe" in other.stdout
    assert f"1 × {CONSEQUENCE}" in other.stderr
    double.objects["sub_0003"]["items"]["data"][0]["quantity"] -= 1

    assert portal("migrate-billing", "status").stdout == "with Stripe: 6\n"
    would = portal("migrate-billing", "take-over", "--method", "pause", "--dry-run")
    assert (would.returncode, would.stderr) == (0, "6 would take\n")
    assert "sub_0003 (cus_0003): would take, billed here on 2026-10-1" in would.stdout
    taken = portal("migrate-billing", "take-over", "--method", "pause", "--limit", "2")
    assert (taken.returncode, taken.stderr) == (0, "2 taken\n")
    status = portal("migrate-billing", "status")
    assert (status.returncode, status.stdout) == (0, "with Stripe: 4\ntaken over: 2\n")
    assert portal("migrate-billing", "undo").returncode == 1
    undone = portal("migrate-billing", "undo", "--all")
    assert (undone.returncode, undone.stderr) == (0, "2 undone\n")
    double.objects["sub_0003"]["status"] = "past_due"
    left = portal("migrate-billing", "take-over", "--method", "cancel")
    assert left.returncode == 1
    assert left.stderr.splitlines()[0] == "5 taken, 1 refused"
    none = portal("migrate-billing", "take-over", "--method", "cancel", "--only", "sub_0000")
    assert (none.returncode, none.stderr) == (0, "There is nothing to do.\n")


@pytest.mark.parametrize("end", ["csv", "jsonl"])
def test_a_comparison_goes_on_where_its_file_ends(
    portal: Portal, double: BillingDouble, tmp_path: Path, end: str
) -> None:
    portal("gateway", "connect")
    portal("import", "--from-stripe")
    double.objects["sub_0002"]["discounts"] = [{"id": "di_new", "source": {"coupon": "coupon_ten"}}]
    file = tmp_path / f"all.{end}"
    whole = portal("migrate-billing", "compare", "--output", str(file))
    assert whole.stderr.startswith("6 compared, 5 equal, 1 differ.\n")
    text = file.read_text()
    for cut in (len(text) // 3, len(text) // 2, len(text) - 5, 3):
        file.write_text(text[:cut])
        again = portal("migrate-billing", "compare", "--output", str(file), "--continue")
        assert (again.returncode, again.stderr.splitlines()[0]) == (1, "6 compared, 5 equal, 1 differ."), cut
        assert file.read_text() == text
    if end == "jsonl":
        assert {json.loads(line)["subscription"] for line in text.splitlines()} == {
            f"sub_000{number}" for number in range(6)
        }
    assert portal("migrate-billing", "compare", "--output", "all.txt").returncode == 1


def test_an_account_that_is_not_connected_is_read_with_a_key_that_is_typed(
    portal: Portal, double: BillingDouble
) -> None:
    assert portal("import", "--from-stripe", "--live").stderr.startswith("This key is for test mode.")
    done = portal("import", "--from-stripe")
    assert done.returncode == 0, done.stderr
    refused = portal("migrate-billing", "take-over", "--method", "pause")
    assert refused.stderr.startswith("Stripe is not connected in test mode, so nothing could be charged here")
    assert portal("gateway", "connect").returncode == 0
    unclaimed = portal("migrate-billing", "take-over", "--method", "pause")
    assert unclaimed.stderr.startswith("6 refused\n6 × its customer has no payment method")
    assert portal("import", "--from-stripe").returncode == 0
    assert portal("migrate-billing", "take-over", "--method", "pause").stderr == "6 taken\n"


@pytest.mark.parametrize("words", [(), ("export", "--from-stripe"), ("--from-stripe", "--renew")])
def test_an_import_says_where_from_and_bills_nothing_that_stripe_bills(portal: Portal, words: tuple[str, ...]) -> None:
    refused = portal("import", *words)
    assert refused.returncode == 1
    assert len(refused.stderr.splitlines()) == 1


def test_what_the_worker_looks_for_has_an_index(app: Flask) -> None:
    assert "ix_take_overs_unfinished" in plan(rows.left_behind_query(NOW, 20), "take_overs", unused=True)


@pytest.mark.parametrize("state", ["stopping", "undoing"])
def test_the_worker_finishes_what_a_command_left(
    app: Flask, tmp_path: Path, state: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with moving(2) as move:
        move.bring(tmp_path / "read")
        document = move.double.objects["sub_0000"]
        boundary = document["items"]["data"][0]["current_period_end"]
        if state == "stopping":
            rows.plan(move.account_id, "cus_0000", "sub_0000", boundary, Method.PAUSE, document, NOW)
        else:
            move.take(only=frozenset({"sub_0000"}))
            rows.stop(move.account_id, "sub_0000", NOW)
        gateways, pace = Gateways(move.connector), Pace(20, move.waiting.monotonic, move.waiting.sleep)
        assert undoing.finish_interrupted(gateways, NOW + undoing.SILENT, pace) == []
        monkeypatch.setattr(clock, "now", lambda: NOW + undoing.SILENT + 1)
        with pytest.raises(SystemExit):
            checks._check_gateways()
        assert f"migration: sub_0000 of {move.account_id}: {state}\n" in capsys.readouterr().err
        move.double.faults[:] = ["drop"]
        silent = undoing.finish_interrupted(gateways, NOW + undoing.SILENT + 1, pace)
        assert [one.result for one in silent] == ["waits"]
        done = undoing.finish_interrupted(gateways, NOW + undoing.SILENT + 1, pace)
        assert [one.result for one in done] == ["taken" if state == "stopping" else "undone"]
        assert undoing.finish_interrupted(gateways, NOW + DAY, pace) == []
        checks._check_gateways()


def test_the_status_names_what_is_with_neither_side(portal: Portal, double: BillingDouble) -> None:
    portal("gateway", "connect")
    portal("import", "--from-stripe")
    double.faults[:] = [*[""] * 5, "500", *["500"] * 20]
    assert portal("migrate-billing", "take-over", "--method", "pause", "--limit", "1").returncode == 1
    double.faults.clear()
    left = portal("migrate-billing", "status")
    assert left.returncode == 1
    assert left.stderr.startswith("sub_0000: stopping (planned ")
    assert portal("migrate-billing", "take-over", "--method", "pause", "--limit", "1").stderr == "2 taken\n"
