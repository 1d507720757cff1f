"""The connection to Stripe in the dashboard."""

import pytest

from portal_site import encryption
from portal_site.billing.gateways.registry import Gateways
from portal_site.billing.gateways.stripe.connections import StripeConnector
from tests.client import text
from tests.dashboard.counter import Counter
from tests.stripe.double import KEY, Double, running


def test_the_dashboard_connects_checks_and_disconnects(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Stripe is not installed here" in text(counter.get("gateway").text)
    counter.mode = "live"
    assert "customers can neither add a payment method nor pay in live mode" in text(counter.get("gateway").text)
    counter.mode = "test"
    with running() as double:
        sandbox = counter.app.extensions["gateways"].shared("sandbox")
        monkeypatch.setitem(counter.app.extensions, "gateways", Gateways(StripeConnector(double.address), sandbox))
        _connect_and_disconnect(counter, double)


def _connect_and_disconnect(counter: Counter, double: Double) -> None:
    refused = counter.send("gateway", key="sk_live_123")
    assert (refused.status_code, "This key is for live mode." in text(refused.text)) == (422, True)
    assert "sk_live_123" not in refused.text
    wrong = text(counter.send("gateway", key=KEY, acts_for="acct_…").text)
    assert "Connected account at Stripe: An account at Stripe is written like acct_1A2b3C4d5E6f." in wrong
    double.faults += ["drop"] * 20
    silent = counter.send("gateway", key=KEY)
    assert (silent.status_code, "Stripe does not answer at the moment." in text(silent.text)) == (422, True)
    double.faults.clear()
    assert counter.send("gateway", key=KEY).status_code == 303
    page = text(counter.get("gateway").text)
    assert "Connected" in page
    assert "acct_double" in page
    assert KEY not in page
    for fact in ("France", "EUR"):
        assert fact in page
    _without_its_secret_key(counter)
    double.lacks.add("refunds")
    assert counter.send("gateway/check").status_code == 303
    assert "It is missing: Charges and Refunds: write." in text(counter.get("gateway").text)
    assert "Disconnect Stripe?" in text(counter.get("gateway/end").text)
    assert counter.send("gateway/end").status_code == 303
    assert "Not connected." in text(counter.get("gateway").text)


def _without_its_secret_key(counter: Counter) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(encryption, "decrypt", lambda *_given: None)
        for action in ("check", "events"):
            refused = counter.send(f"gateway/{action}", page="gateway")
            assert refused.status_code == 422
            assert "was encrypted under another secret key: connect Stripe again." in text(refused.text)
