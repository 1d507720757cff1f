"""The sandbox moves no money, so nothing of live mode may be paid with it, in whatever call."""

import json
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select

from portal_site import worker
from portal_site.billing.errors import BillingError
from portal_site.billing.gateways import ChargeRequest, CustomerDetails
from portal_site.billing.gateways.sandbox.models import SandboxCharge, SandboxSetup
from portal_site.billing.models import Customer, Invoice, PaymentAttempt, PaymentMethod, Subscription
from tests import world
from tests.billing.exports import EXPORT
from tests.test_cli import Portal
from tests.world import reading


def _request(**members: Any) -> ChargeRequest:
    terms = {"payment_method": "pm_1", "amount": 100, "currency": "eur", "idempotency_key": "k", "created": 1}
    return ChargeRequest(**{**terms, "return_url": "http://127.0.0.1/", **members})


@pytest.mark.case("F26")
def test_each_call_refuses_live_mode(lite_app: Flask) -> None:
    gateway = lite_app.extensions["gateways"].default
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
    portal("migrate")
    live = json.dumps(EXPORT).replace('"livemode": false', '"livemode": true')
    (tmp_path / "live.json").write_text(live)
    taken = portal("import", str(tmp_path / "live.json"), "--renew")
    assert taken.returncode == 0
    assert "it is of live mode, and no payment provider here can charge it" in taken.stderr


@pytest.fixture
def portal(tmp_path: Any) -> Portal:
    """The command on a folder of its own."""
    return Portal(tmp_path)
