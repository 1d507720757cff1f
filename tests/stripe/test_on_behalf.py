"""What is sold for a connected account can be paid to its own account at Stripe."""

from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, update

from portal_site.billing.accounts import connected
from portal_site.billing.accounts.accounts import NewAccount
from portal_site.billing.billing_run import runner
from portal_site.billing.errors import BillingError, NotFound
from portal_site.billing.events.actors import ActorType, acting_as
from portal_site.billing.gateways import ChargeRequest, RefundRequest
from portal_site.billing.gateways.registry import Gateways
from portal_site.billing.gateways.stripe.gateway import StripeGateway
from portal_site.billing.models import Account, Invoice, Subscription
from portal_site.billing.payments import refunds
from portal_site.billing.payments.refunds import RefundTerms
from portal_site.db.transactions import transaction
from tests import world
from tests.stripe.double import Double
from tests.world import reading

AT = world.HALF
BACK = "http://127.0.0.1:8000/back"
REQUEST = ChargeRequest("pm_ok", 2400, "eur", "attempt_1", AT, BACK, off_session=True, metadata={"attempt": "payatt_1"})


@pytest.mark.parametrize("account", [None, "acct_theirs"])
def test_the_money_goes_to_the_account_and_comes_from_there_again(
    gateway: StripeGateway, double: Double, account: str | None
) -> None:
    charge = gateway.charge(replace(REQUEST, on_behalf_of=account))
    intent = double.objects[charge.reference]
    assert (intent["on_behalf_of"], intent["transfer_data"]) == (account, account)
    refund = gateway.refund(RefundRequest(charge.reference, 400, "re_1", AT, is_on_behalf=True), AT)
    assert refund.status == "succeeded"
    assert double.objects[refund.reference]["reverse_transfer"] == ("true" if account else None)


class _Recorder:
    """The sandbox, with what it was asked for."""

    name = "sandbox"

    def __init__(self, sandbox: Any) -> None:
        self.sandbox, self.charges, self.refunds = sandbox, list[ChargeRequest](), list[RefundRequest]()

    def charge(self, request: ChargeRequest) -> Any:
        """See Gateway."""
        self.charges.append(request)
        return self.sandbox.charge(request)

    def refund(self, request: RefundRequest, at: int) -> Any:
        """See Gateway."""
        self.refunds.append(request)
        return self.sandbox.refund(request, at)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sandbox, name)


@pytest.mark.parametrize("is_sold_for", [True, False])
@pytest.mark.parametrize("account", ["acct_theirs", None])
def test_only_what_is_sold_for_an_account_is_paid_to_it(app: Flask, is_sold_for: bool, account: str | None) -> None:
    shop, recorder = world.shop(), _Recorder(app.extensions["gateways"].shared("sandbox"))
    platform_id, customer_id = shop.customer.account_id, shop.customer.id
    with acting_as(ActorType.OPERATOR):
        theirs = connected.create(platform_id, NewAccount("Studio Polaris", "DE", "eur", "Europe/Berlin"), AT)
        connected.set_provider_account(platform_id, theirs.id, account, AT)
    if is_sold_for:
        with transaction() as session:
            mine = Subscription.account_id == platform_id
            session.execute(update(Subscription).where(mine).values(on_behalf_of=theirs.id))
    gateways = Gateways(recorder)  # type: ignore[arg-type]
    with app.test_request_context(base_url="http://127.0.0.1:8000"), acting_as(ActorType.WORKER):
        runner.run(gateways, world.END, lambda _invoice: BACK)
        assert [one.on_behalf_of for one in recorder.charges] == [account if is_sold_for else None]
        with reading() as reader:
            newest = select(Invoice.id).where(Invoice.customer_id == customer_id).order_by(Invoice.number.desc())
            invoice_id = reader.execute(newest.limit(1)).scalar_one()
        _, attempt_id, at = refunds.payment_of(invoice_id, world.END)
        refunds.refund(gateways, customer_id, attempt_id, at, "one", RefundTerms(100))
    assert [one.is_on_behalf for one in recorder.refunds] == [is_sold_for]


def test_what_is_no_account_at_stripe_is_refused(app: Flask) -> None:
    platform_id = str(world.scene().account_id)
    with acting_as(ActorType.OPERATOR):
        theirs = connected.create(platform_id, NewAccount("Studio Polaris", "DE", "eur", "Europe/Berlin"), AT)
        for wrong in ("", "acct_", "acct_é", "cus_1", "acct_1\n", "acct_" + "x" * 65):
            with pytest.raises(BillingError, match="written like"):
                connected.set_provider_account(platform_id, theirs.id, wrong, AT)
        for owner in ("acct_none", theirs.id):
            with pytest.raises(NotFound):
                connected.set_provider_account(owner, theirs.id, "acct_1", AT)
    with reading() as reader:
        assert reader.scalar(select(Account.provider_account).where(Account.id == theirs.id)) is None
