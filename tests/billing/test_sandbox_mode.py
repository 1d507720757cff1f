"""The sandbox moves no money, so nothing of live mode may be paid with it, in whatever call."""

import json
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select, update

from portal_site import worker
from portal_site.billing.errors import BillingError
from portal_site.billing.gateways import ChargeRequest, CustomerDetails
from portal_site.billing.gateways.sandbox.models import SandboxCharge, SandboxSetup
from portal_site.billing.importing import importer
from portal_site.billing.importing.importer import Options
from portal_site.billing.importing.writing.renewals import LIVE as LEFT
from portal_site.billing.models import Customer, Invoice, PaymentAttempt, PaymentMethod, Subscription
from tests import world
from tests.billing.exports import EXPORT, NOW, SUBSCRIPTION
from tests.test_cli import Portal
from tests.world import reading

LIVE = json.dumps(EXPORT).replace('"livemode": false', '"livemode": true')


def _request(**members: Any) -> ChargeRequest:
    terms = {"payment_method": "pm_1", "amount": 100, "currency": "eur", "idempotency_key": "k", "created": 1}
    return ChargeRequest(**{**terms, "return_url": "http://127.0.0.1/", **members})


@pytest.mark.case("F26")
def test_each_call_refuses_live_mode(lite_app: Flask) -> None:
    gateway = lite_app.extensions["gateways"].shared("sandbox")
    live = _request(livemode=True)
    calls = (
        lambda: gateway.create_customer(CustomerDetails("cus_1", livemode=True), "key"),
        lambda: gateway.begin_setup("cus_1", True, "http://127.0.0.1/"),
        lambda: gateway.charge(live),
        lambda: gateway.find_charge(live, 1),
        lambda: gateway.cancel_charge(live),
    )
    with lite_app.test_request_context(base_url="http://127.0.0.1:8000"):
        for call in calls:
            with pytest.raises(BillingError) as refused:
                call()
            assert refused.value.code == "livemode_mismatch"
        assert gateway.charge(_request()).status == "declined"  # of test mode, without such a method
    with reading() as reader:
        assert reader.scalar(select(func.count()).select_from(SandboxCharge)) == 1
        assert reader.scalar(select(func.count()).select_from(SandboxSetup)) == 0


@pytest.mark.case("F26")
def test_an_invoice_of_live_mode_is_not_paid_by_the_sandbox(app: Flask) -> None:
    shop = world.shop()
    with world.transaction() as session:
        for kind in (Customer, Subscription, PaymentMethod):
            for row in session.scalars(select(kind).where(kind.account_id == shop.customer.account_id)):
                row.livemode = True
    worker.tick(app, world.END)
    with reading() as reader:
        mine = Invoice.customer_id == shop.customer.id, Invoice.cycle_at == world.END
        assert reader.scalar(select(Invoice.status).where(*mine)) == "open"
        tried = reader.execute(select(PaymentAttempt.status, PaymentAttempt.decline_code)).all()
        assert list(map(tuple, tried)) == [("declined", "payment_method_unactivated")]
        assert reader.scalar(select(func.count()).select_from(SandboxCharge)) == 0


@pytest.mark.case("F26")
def test_live_subscriptions_are_not_taken_over_with_the_sandbox_only(portal: Portal, tmp_path: Any) -> None:
    portal.with_database()
    (tmp_path / "live.json").write_text(LIVE)
    taken = portal("import", str(tmp_path / "live.json"), "--renew")
    assert taken.returncode == 0
    assert "it is of live mode, and no payment provider here can charge its payment method" in taken.stderr


def _take_over(live_gateways: str = "", **members: Any) -> tuple[int, list[str]]:
    """How many live subscriptions an import takes over, and why not the others."""
    document = json.loads(LIVE)
    document["subscription"][0] |= members
    document["payment_method"] = []
    options = Options(renew=True, live_gateways=frozenset(live_gateways.split()))
    report = importer.import_objects(json.dumps(document).encode(), NOW, options=options)
    return report.renewed, [finding.sentence for finding in report.findings() if finding.result == "not renewed"]


@pytest.mark.case("F26")
def test_what_no_provider_here_holds_is_not_taken_over_because_there_is_one(lite_app: Flask) -> None:
    importer.import_objects(LIVE.encode(), NOW)
    left = (0, [f"subscription {SUBSCRIPTION['id']} is not billed here: {LEFT}."])
    assert _take_over("bank") == left  # an imported card is not the bank's
    with world.transaction() as session:
        mine = PaymentMethod.customer_id == SUBSCRIPTION["customer"]
        session.execute(update(PaymentMethod).where(mine).values(gateway="bank"))
    assert _take_over() == _take_over("other") == left
    assert _take_over("bank") == (1, [])


@pytest.mark.case("F26")
@pytest.mark.parametrize(("providers", "renewed"), [("", 0), ("bank", 1)])
def test_what_is_paid_by_hand_needs_a_provider_to_pay_with(lite_app: Flask, providers: str, renewed: int) -> None:
    by_hand = {"collection_method": "send_invoice", "days_until_due": 14, "default_payment_method": None}
    importer.import_objects(LIVE.encode(), NOW)
    assert _take_over(providers, **by_hand)[0] == renewed


@pytest.fixture
def portal(tmp_path: Any) -> Portal:
    """The command on a folder of its own."""
    return Portal(tmp_path)
