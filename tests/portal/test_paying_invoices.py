"""Whoever owes something can pay it wherever the portal says so, whatever a configuration switches off."""

import re
from typing import Any

import pytest
import time_machine
from flask import Flask
from sqlalchemy import select, update

from portal_site import clock
from portal_site.billing.models import (
    Customer,
    Invoice,
    PaymentMethod,
    PortalConfiguration,
    Subscription,
    SubscriptionItem,
)
from portal_site.billing.rules.portal.portal_features import (
    CustomerUpdate,
    Features,
    InvoiceHistory,
    PaymentMethodUpdate,
    SubscriptionCancel,
    SubscriptionPause,
    SubscriptionRestart,
    SubscriptionUpdate,
)
from tests import world
from tests.client import PortalClient, text
from tests.conftest import enter
from tests.portal.changing import HALF, confirm, quote
from tests.world import reading

OFF = Features(
    customer_update=CustomerUpdate(enabled=False),
    invoice_history=InvoiceHistory(enabled=False),
    payment_method_update=PaymentMethodUpdate(enabled=False),
    subscription_cancel=SubscriptionCancel(enabled=False),
    subscription_pause=SubscriptionPause(enabled=False),
    subscription_restart=SubscriptionRestart(enabled=False),
    subscription_update=SubscriptionUpdate(enabled=False),
)
THANKS = "Thank you. The invoice is paid."


def _put(customer: Customer, model: Any, *only: Any, **values: Any) -> None:
    """Set columns of a customer's rows."""
    with world.transaction() as session:
        mine = model.account_id == customer.account_id
        session.execute(update(model).where(mine, *only).values(**values).execution_options(synchronize_session=False))


def _open() -> str:
    with reading() as reader:
        return str(reader.scalar(select(Invoice.id).where(Invoice.status.in_(("open", "uncollectible")))))


def _status(invoice: str) -> str:
    with reading() as reader:
        return str(reader.scalar(select(Invoice.status).where(Invoice.id == invoice)))


def _buttons(client: PortalClient, place: str) -> list[str]:
    """The addresses of the pages for paying that a page leads to."""
    return re.findall(r'href="(/invoices/[^"]+/payment)"', client.get(place).text)


def _pays(client: PortalClient, place: str) -> Any:
    there = _buttons(client, place)[0]
    return client.send(there, client.form(there))


@pytest.mark.both_databases
@pytest.mark.parametrize("place", ["/", "/subscriptions/{}"])
def test_an_overdue_invoice_is_paid(app: Flask, place: str) -> None:
    scene = world.scene(last="open", features=OFF)
    client, invoice = enter(app, scene.customer), _open()
    done = _pays(client, place.format(scene.subscription.id))
    assert THANKS in text(client.get(done.location).text)
    assert _status(invoice) == "paid"
    assert _buttons(client, "/") == []
    assert client.get(f"/invoices/{invoice}").status_code == 404


def test_a_second_click_leads_to_the_overview(app: Flask) -> None:
    scene = world.scene(last="open", features=OFF)
    client = enter(app, scene.customer)
    there = _buttons(client, "/")[0]
    form = client.form(there)
    paid = there.replace("/payment", "/paid?what=invoice")
    assert [client.send(there, form).location for _ in range(2)] == [paid, "/"]


def test_what_is_owed_can_be_read_before_it_is_paid(app: Flask) -> None:
    client = enter(app, world.scene(last="open", features=OFF).customer)
    invoice = _open()
    assert "2 seats × Team" in text(client.get(f"/invoices/{invoice}").text)
    assert client.get("/invoices").status_code == 404
    assert "invoice history" not in text(client.get("/").text).lower()


@pytest.mark.both_databases
@pytest.mark.parametrize("card", [world.FAILS, None])
def test_paying_with_a_new_card(app: Flask, card: str | None) -> None:
    scene = world.scene(last="open", card=card or world.VISA, features=OFF)
    if card is None:
        _put(scene.customer, PaymentMethod, detached_at=1)
    client, invoice = enter(app, scene.customer), _open()
    there = f"/invoices/{invoice}/payment"
    if card:
        assert client.send(there, client.form(there)).location == there
        assert "Use another payment method" in text(client.get(f"/invoices/{invoice}").text)
    gone = client.send("/payment-methods", client.form(there, "/payment-methods")).location.removeprefix(
        "http://localhost"
    )
    back = client.send(gone, {"kind": "card", "number": "4242 4242 4242 4242", "expiry": "12/34", "cvc": "123"})
    assert client.get(back.location).location == there
    assert client.send(there, client.form(there)).location == f"/invoices/{invoice}/paid?what=invoice"
    assert _status(invoice) == "paid"
    assert client.get("/payment-methods").status_code == 404
    assert client.send("/payment-methods").status_code == 404  # nothing is owed any more


def test_returning_from_authentication(app: Flask) -> None:
    client = enter(app, world.scene(last="open", card=world.ASKS, features=OFF).customer)
    challenge = _pays(client, "/").location
    assert "/sandbox/charges/" in challenge
    assert "Your bank needs you" in text(client.get(f"/invoices/{_open()}").text)
    client.get(challenge)
    landed = client.get(client.send(challenge, {"answer": "complete"}).location)
    assert THANKS in text(client.get(landed.location).text)


def test_all_open_invoices_are_shown_without_a_history(app: Flask) -> None:
    scene = world.scene(invoices=7, features=OFF)
    _put(scene.customer, Invoice, status="open", amount_paid=0, amount_remaining=2400, paid_at=None)
    client = enter(app, scene.customer)
    assert len(_buttons(client, "/")) == len(_buttons(client, f"/subscriptions/{scene.subscription.id}")) > 3


@pytest.mark.both_databases
def test_what_was_written_off_can_be_paid_where_the_subscription_is_on_hold(app: Flask) -> None:
    scene = world.scene(last="open", features=OFF)
    _put(scene.customer, Invoice, Invoice.status == "open", status="uncollectible")
    _put(scene.customer, Subscription, status="unpaid")
    client, invoice = enter(app, scene.customer), _open()
    assert "/paid" in _pays(client, f"/subscriptions/{scene.subscription.id}").location
    assert _status(invoice) == "paid"
    assert "on hold" not in text(client.get("/").text)


def test_a_first_invoice_can_be_paid(app: Flask) -> None:
    scene = world.scene(last="open", features=OFF)
    _put(scene.customer, Subscription, status="incomplete")
    client, invoice = enter(app, scene.customer), _open()
    assert "It starts as soon as the first invoice is paid." in text(client.get("/").text)
    assert "/paid" in _pays(client, f"/subscriptions/{scene.subscription.id}").location
    assert _status(invoice) == "paid"


def test_a_first_invoice_can_be_paid_with_a_new_card(app: Flask) -> None:
    features = Features(
        subscription_restart=SubscriptionRestart(enabled=True), payment_method_update=PaymentMethodUpdate(enabled=False)
    )
    scene = world.scene(last="open", features=features)
    _put(scene.customer, Subscription, status="incomplete")
    _put(scene.customer, PaymentMethod, detached_at=1)
    client, invoice = enter(app, scene.customer), _open()
    assert _buttons(client, f"/subscriptions/{scene.subscription.id}") == [f"/invoices/{invoice}/payment"]
    assert client.form(f"/invoices/{invoice}/payment", "/payment-methods")["to"] == f"/invoices/{invoice}/payment"


@HALF
def test_a_change_that_waits_can_be_paid(app: Flask) -> None:
    shop = world.shop(card=world.FAILS)
    client = enter(app, shop.customer)
    confirm(client, shop, quote(client, shop, quantity=3))
    _put(shop.customer, PortalConfiguration, features=OFF.as_document())
    place = f"/subscriptions/{shop.subscription.id}"
    assert "Your plan change takes effect as soon as" in text(client.get(place).text)
    assert "/plan-change" not in client.get(place).text
    assert len(_buttons(client, place)) == 1


@pytest.mark.parametrize("history", [True, False])
def test_leaving_says_where_unpaid_invoices_are_found(app: Flask, history: bool) -> None:
    features = Features(
        invoice_history=InvoiceHistory(enabled=history), subscription_cancel=SubscriptionCancel(enabled=True)
    )
    scene = world.scene(last="open", features=features)
    page = text(enter(app, scene.customer).get(f"/subscriptions/{scene.subscription.id}/cancellation/end").text)
    assert ("You can find them in your invoice history." in page) is history
    assert ("You can find them on the overview." in page) is not history
    assert ("You will still find your invoices here." in page) is history


# --- what paying brings about ---------------------------------------------------------------------------------------------


def _on_hold(shop: world.Shop, *invoices: tuple[int, int]) -> list[str]:
    """Put the subscription on hold for invoices of these periods."""
    _put(shop.customer, Subscription, status="unpaid")
    with world.transaction() as session:
        mine = Invoice.customer_id == shop.customer.id
        known = session.execute(select(Invoice.__table__).where(mine)).one()._mapping
        made = [
            {
                **known, "id": f"in_{number}", "number": f"N-{number}", "cycle_at": None, "status": "open", "paid_at": None,
                "amount_paid": 0, "amount_remaining": 1000, "amount_due": 1000, "created": start, "period_start": start,
                "period_end": end,
            }
            for number, (start, end) in enumerate(invoices)
        ]  # fmt: skip
        session.execute(Invoice.__table__.insert(), made)
    return [row["id"] for row in made]


def _says(client: PortalClient, invoice: str) -> str:
    return text(client.get(f"/invoices/{invoice}/payment").text)


def _periods() -> list[tuple[int, int]]:
    with reading() as reader:
        found = select(SubscriptionItem.current_period_start, SubscriptionItem.current_period_end)
        return [
            (row[0], row[1]) for row in reader.execute(found.order_by(SubscriptionItem.created, SubscriptionItem.id))
        ]


@pytest.mark.parametrize("days", [3, 12, 29])
def test_paying_within_the_period_starts_no_new_period(app: Flask, days: int) -> None:
    shop = world.shop()
    (invoice,) = _on_hold(shop, (world.START, world.END))
    with time_machine.travel(world.START + days * 86_400, tick=False):
        client = enter(app, shop.customer)
        said = _says(client, invoice)
        assert "The current period stays as it is, and nothing more is billed before May 1, 2026." in said
        assert "new period" not in said
        client.send(f"/invoices/{invoice}/payment", client.form(f"/invoices/{invoice}/payment"))
        assert _periods() == [(world.START, world.END)]


@pytest.mark.parametrize("days", [31, 45, 200])
def test_paying_after_the_period_starts_a_new_one(app: Flask, days: int) -> None:
    shop = world.shop()
    (invoice,) = _on_hold(shop, (world.START, world.END))
    with time_machine.travel(world.START + days * 86_400, tick=False):
        client = enter(app, shop.customer)
        said = _says(client, invoice)
        assert "Its period ended on May 1, 2026. With this payment it resumes: a new period starts" in said
        assert "nothing more is billed" not in said
        client.send(f"/invoices/{invoice}/payment", client.form(f"/invoices/{invoice}/payment"))
        assert _periods() == [(clock.now(), clock.now())]  # the next run bills from here


def test_one_of_several_debts_does_not_end_the_hold(app: Flask) -> None:
    shop = world.shop()
    first, second = _on_hold(shop, (world.START - 86_400, world.START), (world.START, world.END))
    with time_machine.travel(world.HALF, tick=False):
        client = enter(app, shop.customer)
        said = _says(client, first)
        assert "Your subscription is on hold. It resumes once its other unpaid invoice is paid too." in said
        assert "With this payment" not in said
        client.send(f"/invoices/{first}/payment", client.form(f"/invoices/{first}/payment"))
        assert "With this payment it resumes at once." in _says(client, second)


def test_items_with_periods_of_their_own_are_told_apart(app: Flask) -> None:
    shop = world.shop(also="year")
    later = world.END + 300 * 86_400
    _put(shop.customer, SubscriptionItem, SubscriptionItem.id != shop.item_id, current_period_end=later)
    (invoice,) = _on_hold(shop, (world.START, world.END))
    with time_machine.travel(world.END + 10 * 86_400, tick=False):
        client = enter(app, shop.customer)
        said = _says(client, invoice)
        assert "Team: its period ended on May 1, 2026; a new one starts and is billed then." in said
        assert "Team: the current period stays as it is, until February 25, 2027." in said
        client.send(f"/invoices/{invoice}/payment", client.form(f"/invoices/{invoice}/payment"))
        assert sorted(_periods()) == [(world.START, later), (clock.now(), clock.now())]


def test_a_subscription_not_on_hold_does_not_mention_it(app: Flask) -> None:
    scene = world.scene(last="open")
    assert "on hold" not in _says(enter(app, scene.customer), _open())
