"""Pages of a pending update: it can be completed or withdrawn, and the subscription can be cancelled meanwhile."""

import re
from dataclasses import replace
from typing import Any

import pytest
import time_machine
from flask import Flask
from sqlalchemy import select, update

from portal_site.billing.gateways.sandbox.models import SandboxCharge
from portal_site.billing.models import Invoice, PortalConfiguration, Subscription, SubscriptionItem
from portal_site.billing.rules.portal.portal_features import SubscriptionCancel
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
    assert "/sandbox/" in _changes(client, shop).location
    return client, shop, _place(shop)


def _place(shop: world.Shop) -> str:
    return f"/subscriptions/{shop.subscription.id}"


def _looks(client: PortalClient, shop: world.Shop) -> Any:
    """What three seats would cost."""
    wanted = {f"price-{shop.item_id}": shop.prices["team"].id, f"quantity-{shop.item_id}": "3"}
    return client.get(f"{_place(shop)}/plan-change", query_string=wanted)


def _changes(client: PortalClient, shop: world.Shop) -> Any:
    """Three seats, please."""
    return client.send(f"{_place(shop)}/plan-change", {"quote": _quote(_looks(client, shop).text)})


def _seats(shop: world.Shop) -> int | None:
    db.session.remove()
    with reading() as reader:
        return reader.scalar(select(SubscriptionItem.quantity).where(SubscriptionItem.id == shop.item_id))


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
@pytest.mark.both_databases
def test_a_declined_change_completes_with_another_card(app: Flask) -> None:
    shop = world.shop(card=world.FAILS)
    client = enter(app, shop.customer)
    _changes(client, shop)
    with world.transaction() as session:
        made = world.Merchant(session, world.HALF, session.get(world.Account, shop.customer.account_id))
        customer = session.merge(shop.customer)
        customer.default_payment_method_id = None
        made.method(customer, world.VISA)
    client.get("/")
    done = client.send(f"{_place(shop)}/plan-change/payment")
    assert "your plan was changed" in text(client.get(done.location).text)
    assert _seats(shop) == 3


@HALF
@pytest.mark.both_databases
def test_a_declined_change_can_be_taken_back(app: Flask) -> None:
    shop = world.shop(card=world.FAILS, customer={"balance": -200})
    client = enter(app, shop.customer)
    _changes(client, shop)
    done = client.send(f"{_place(shop)}/plan-change/withdrawal")
    shown = text(client.get(done.location).text)
    assert "Your plan stays as it is, and nothing was charged." in shown
    with reading() as reader:
        row = reader.execute(select(Invoice.status, Invoice.amount_due).order_by(Invoice.created.desc()).limit(1)).one()
        assert tuple(row) == ("void", 800)
        assert reader.scalar(select(Subscription.pending_update)) is None
        assert reader.scalar(select(world.Customer.balance)) == -200
    assert _looks(client, shop).status_code == 200


@HALF
def test_authentication_is_asked_for_and_completes_the_change(app: Flask) -> None:
    shop = world.shop(card=world.ASKS)
    client = enter(app, shop.customer)
    asked = _changes(client, shop)
    assert "/sandbox/" in asked.location
    assert _seats(shop) == 1
    client.get(asked.location)
    back = client.send(asked.location, {"answer": "complete"})
    landed = client.get(back.location)
    assert landed.status_code == 303
    assert "your plan was changed" in text(client.get(landed.location).text)
    assert _seats(shop) == 3


@HALF
@pytest.mark.parametrize("confirmed", [False, True])
@pytest.mark.both_databases
def test_a_change_is_undone_unless_it_was_authenticated_meanwhile(app: Flask, confirmed: bool) -> None:
    client, _shop, place = _asked(app)
    shown = client.get(place).text
    assert "Confirm with your bank" in text(shown)
    assert f"{place}/plan-change/withdrawal" in shown
    if confirmed:
        with world.transaction() as session:
            session.execute(update(SandboxCharge).values(status="succeeded"))
    after = text(client.get(client.send(f"{place}/plan-change/withdrawal").location).text)
    if confirmed:
        assert "There is no change left to undo." in after
        assert _states() == ("active", False, ["paid", "paid"], ["succeeded"])
    else:
        assert "Your plan stays as it is, and nothing was charged." in after
        assert _states() == ("active", False, ["paid", "void"], ["declined"])


@HALF
def test_cancelling_now_discards_a_change_awaiting_authentication(app: Flask) -> None:
    client, _shop, place = _asked(app)
    end = client.get(f"{place}/cancellation/end")
    assert client.send(f"{place}/cancellation", {"quote": _quote(end.text)}).status_code == 303
    assert _states() == ("canceled", False, ["paid", "void"], ["declined"])
