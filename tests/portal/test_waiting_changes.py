"""A change that waits for the customer at the bank, on the pages: it can be taken back, and the subscription can be ended."""

import re
from dataclasses import replace

import pytest
import time_machine
from flask import Flask
from sqlalchemy import select, update

from portal_site.billing.gateways.sandbox.models import SandboxCharge
from portal_site.billing.models import Invoice, PortalConfiguration, Subscription
from portal_site.billing.rules.portal_features import SubscriptionCancel
from portal_site.db import db
from tests import world
from tests.client import PortalClient, text
from tests.conftest import enter
from tests.world import reading

HALF = time_machine.travel(world.HALF, tick=False)


def _asked(app: Flask) -> tuple[PortalClient, world.Shop, str]:
    """A customer who was sent to the bank and came back by the Back button; the address of the subscription."""
    shop = world.shop(card=world.ASKS)
    with world.transaction() as session:
        mine = PortalConfiguration.account_id == shop.customer.account_id
        features = replace(
            world.EVERYTHING,
            subscription_update=shop.features,
            subscription_cancel=SubscriptionCancel(enabled=True, mode="immediately"),
        )
        session.execute(update(PortalConfiguration).where(mine).values(features=features.as_document()))
    client = enter(app, shop.customer)
    place = f"/subscriptions/{shop.subscription.id}"
    wanted = {f"price-{shop.item_id}": shop.prices["team"].id, f"quantity-{shop.item_id}": "3"}
    page = client.get(f"{place}/plan-change", query_string=wanted)
    assert "/sandbox/" in client.send(f"{place}/plan-change", {"quote": _quote(page.text)}).location
    return client, shop, place


def _quote(page: str) -> str:
    found = re.search(r'name="quote" value="([^"]+)"', page)
    assert found, text(page)
    return found[1]


def _states() -> tuple[str, bool, list[str], list[str]]:
    """The subscription's status, whether a change waits, the invoices' states, and the charges'."""
    db.session.remove()
    with reading() as reader:
        everybody = {"unscoped": "a test's only customer"}
        row = reader.execute(
            select(Subscription.status, Subscription.pending_update), execution_options=everybody
        ).one()
        invoices = select(Invoice.status).order_by(Invoice.created, Invoice.id)
        charges = select(SandboxCharge.status)
        return (
            row.status,
            row.pending_update is not None,
            list(reader.scalars(invoices, execution_options=everybody)),
            list(reader.scalars(charges, execution_options=everybody)),
        )


@HALF
@pytest.mark.parametrize("confirmed", [False, True])
def test_it_is_taken_back_unless_it_was_confirmed_meanwhile(app: Flask, confirmed: bool) -> None:
    client, _shop, place = _asked(app)
    shown = client.get(place).text
    assert "Confirm at your bank" in text(shown)
    assert f"{place}/plan-change/withdrawal" in shown
    if confirmed:
        with world.transaction() as session:
            session.execute(update(SandboxCharge).values(status="succeeded"))
    after = text(client.get(client.send(f"{place}/plan-change/withdrawal").location).text)
    if confirmed:
        assert "There is no change to take back any more." in after
        assert _states() == ("active", False, ["paid", "paid"], ["succeeded"])
    else:
        assert "Your plan stays as it is, and nothing is charged." in after
        assert _states() == ("active", False, ["paid", "void"], ["declined"])


@HALF
def test_the_subscription_is_ended_all_the_same(app: Flask) -> None:
    client, _shop, place = _asked(app)
    end = client.get(f"{place}/cancellation/end")
    assert client.send(f"{place}/cancellation", {"quote": _quote(end.text)}).status_code == 303
    assert _states() == ("canceled", False, ["paid", "void"], ["declined"])
