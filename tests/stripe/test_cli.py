"""`portal gateway`, and what `portal check` says of connections."""

from pathlib import Path

import click
import pytest

from tests.stripe.double import KEY, Double
from tests.test_cli import Portal


@pytest.fixture
def portal(tmp_path: Path, double: Double) -> Portal:
    """The command on a folder with one account, beside the double."""
    command = Portal(tmp_path)
    command.environment |= {"PORTAL_GATEWAY": "stripe,sandbox", "PORTAL_STRIPE_ADDRESS": double.address}
    command.with_database()
    assert command("account", "create", "--name", "Acme", "--country", "FR").returncode == 0
    return command


def _type(monkeypatch: pytest.MonkeyPatch, typed: str) -> None:
    monkeypatch.setattr(click, "prompt", lambda *_words, **_options: typed)


def test_an_account_is_connected_checked_and_disconnected(
    portal: Portal, double: Double, monkeypatch: pytest.MonkeyPatch
) -> None:
    _type(monkeypatch, KEY)
    assert portal("gateway", "check").stderr == "Stripe is not connected in this mode.\n"
    asked = portal("gateway", "connect", "--live")
    assert (asked.returncode, asked.stderr) == (1, "This key is for test mode. Enter one for live mode.\n")
    connected = portal("gateway", "connect")
    assert (connected.returncode, connected.stdout) == (0, "Connected to acct_double (FR, eur).\nEvents: we_1\n")
    assert portal("gateway", "check").stdout.endswith("Events: sent by Stripe at once.\n")
    double.lacks.add("refunds")
    checked = portal("gateway", "check")
    assert (checked.returncode, checked.stderr) == (
        1, "The key may not do all that is needed. It is missing: Charges and Refunds: write.\n"
    )  # fmt: skip
    attention = portal("check")
    assert attention.returncode == 1
    assert KEY not in connected.stdout + checked.stderr + attention.stderr
    double.lacks.clear()
    assert portal("gateway", "check").returncode == 0
    _type(monkeypatch, "whsec_double")
    assert portal("gateway", "events").stdout == "we_1\n"
    told = portal("gateway", "events", "--by-hand")
    assert told.returncode == 0
    assert "/webhooks/stripe/acct_" in told.stdout
    assert "whsec_double" not in told.stdout
    assert double.objects["we_1"]["url"].endswith(told.stdout.splitlines()[0].partition("/webhooks")[2])
    assert portal("gateway", "disconnect").stdout == "Stripe is not connected any more.\n"
    assert "we_1" not in double.objects
    assert portal("gateway", "disconnect").returncode == 1


def test_without_the_setting_it_is_not_installed(portal: Portal) -> None:
    refused = portal("gateway", "check", PORTAL_GATEWAY="sandbox")
    assert (refused.returncode, refused.stderr) == (1, "Stripe is not installed here: set PORTAL_GATEWAY=stripe.\n")
