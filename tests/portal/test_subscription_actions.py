"""The actions that a subscription's card offers in each of its states, the likeliest first."""

import re

import pytest
from flask import Flask
from sqlalchemy import update

from portal_site.billing.models import Subscription
from portal_site.db.transactions import transaction
from portal_site.demo.builder import Merchant
from tests import world
from tests.client import parse
from tests.conftest import Visit, enter
from tests.scenarios.history import History

CHANGE = ["Change plan", "Change seats"]
ACTIONS = re.compile(r"^(?:Change|Cancel|Don’t|Undo|Pause|Resume|Resubscribe|See what)")


def _offered(page: str, product: str = "Team") -> list[str]:
    """The links and buttons of the card, without the product's name, which they say for screen readers."""
    links = (element for element in parse(page).iter() if element.tag in ("a", "button"))
    words = (" ".join("".join(link.itertext()).split()) for link in links)
    return [each.removesuffix(f" {product}") for each in words if ACTIONS.match(each) and each.endswith(f" {product}")]


@pytest.mark.parametrize(
    ("members", "offered"),
    [
        ({}, [*CHANGE, "Pause", "Cancel subscription"]),
        ({"status": "trialing", "trial_end": 1_890_000_000}, [*CHANGE, "Cancel subscription"]),
        ({"cancel_at_period_end": True}, ["Don’t cancel"]),
        ({"cancel_at": 1_890_000_000}, []),  # by the merchant, who alone can undo it
        ({"status": "paused"}, ["Resume subscription", "Cancel subscription"]),
        ({"status": "paused", "cancel_at_period_end": True}, ["Resume subscription", "Don’t cancel"]),
        ({"status": "unpaid"}, ["See what is due", "Cancel subscription"]),
        ({"status": "canceled", "ended_at": 1_790_000_000}, ["Resubscribe"]),
        ({"collection_method": "send_invoice"}, ["Pause", "Cancel subscription"]),
    ],
)
def test_each_state_has_its_actions(visit: Visit, members: dict[str, object], offered: list[str]) -> None:
    with world.merchant() as made:
        customer = made.customer("Hedda", "hedda@acme.example", "one state")
        _subscribe(made, customer, **members)
    assert _offered(visit(customer).get("/").text) == offered


def _subscribe(made: Merchant, customer: object, **members: object) -> None:
    price = made.price(made.product("Team", "seats"), 1200, "eur")
    made.subscription(customer, [(price, 2)], started=40, **members)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("members", "offered"),
    [
        ({}, ["Cancel subscription"]),
        ({"cancel_at_period_end": True, "cancel_at": world.END, "canceled_at": world.START}, ["Don’t cancel"]),
    ],
)
def test_while_a_change_waits_for_payment_only_the_end_can_be_chosen(
    lite_app: Flask, members: dict[str, object], offered: list[str]
) -> None:
    history = History.start(lite_app, card=world.FAILS).advance_to("2026-04-16")
    assert history.change_plan(quantity=3).outcome == "pending"
    with transaction() as session:
        owned = Subscription.customer_id == history.shop.customer.id, Subscription.id == history.shop.subscription.id
        if members:
            session.execute(update(Subscription).where(*owned).values(**members))
    client = enter(lite_app, history.shop.customer)
    assert _offered(client.get("/").text) == offered
    assert _offered(client.get(f"/subscriptions/{history.shop.subscription.id}").text) == offered


def test_what_is_due_for_a_subscription_on_hold_is_one_click_away(visit: Visit) -> None:
    scene = world.scene(last="uncollectible")
    with transaction() as session:
        owned = Subscription.customer_id == scene.customer.id, Subscription.id == scene.subscription.id
        session.execute(update(Subscription).where(*owned).values(status="unpaid"))
    client = visit(scene.customer)
    assert "See what is due" in _offered(client.get("/").text)
    page = client.get(f"/subscriptions/{scene.subscription.id}").text
    assert "See what is due" not in _offered(page)
    assert "Pay €24.00" in page
