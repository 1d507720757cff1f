"""Add-ons on the page for changing a plan: fields, quotes, refusals, and what a confirmation does."""

from typing import Any

from flask import Flask
from sqlalchemy import select

from portal_site.billing.models import Price, Product, SubscriptionItem
from portal_site.db import db
from tests import world
from tests.client import PortalClient, parse, text
from tests.conftest import enter
from tests.portal.changing import HALF, address, confirm, fields
from tests.world import reading


def _shop(app: Flask, **options: Any) -> tuple[world.Shop, PortalClient]:
    shop = world.shop(add_ons=True, **options)
    return shop, enter(app, shop.customer)


def _choice(shop: world.Shop, storage: Any = 0, support: bool = False) -> dict[str, str]:
    names = {name: shop.prices[name] for name in ("storage", "support")}
    return {
        f"price-{names['storage'].product_id}": names["storage"].id,
        f"quantity-{names['storage'].product_id}": str(storage),
        f"price-{names['support'].product_id}": names["support"].id if support else "none",
    }


def _items(shop: world.Shop) -> dict[str, int]:
    db.session.remove()
    names = {price.id: name for name, price in shop.prices.items()}
    query = select(SubscriptionItem.__table__).where(
        SubscriptionItem.subscription_id == shop.subscription.id,
        SubscriptionItem.account_id == shop.customer.account_id,
    )
    with reading() as reader:
        return {names[row.price_id]: row.quantity for row in reader.execute(query)}


@HALF
def test_the_page_offers_add_ons_beside_the_plan(app: Flask) -> None:
    shop, client = _shop(app)
    page = client.get(address(shop))
    words = text(page.text)
    assert "Add-ons" in words
    assert "€3.00 per month each" in words
    assert "Up to 10. Enter 0 for none." in words
    assert "Not included Current" in words
    assert "€5.00 per month" in words
    assert "Choose another plan or quantity to see what it costs." in words


@HALF
def test_one_quote_and_one_confirmation_for_plan_and_add_ons(app: Flask) -> None:
    shop, client = _shop(app)
    page = client.get(address(shop), query_string=fields(shop, "team", 2) | _choice(shop, storage=2, support=True))
    words = text(page.text)
    for line in ("Remaining time: 2 × Storage", "Remaining time: Support", "Change plan and pay €10.50"):
        assert line in words
    confirm(client, shop, page)
    assert _items(shop) == {"team": 2, "storage": 2, "support": 1}
    again = text(client.get(address(shop)).text)
    assert "€5.00 per month Current" in again


@HALF
def test_an_add_on_is_removed_with_the_field_that_added_it(app: Flask) -> None:
    shop, client = _shop(app)
    confirm(client, shop, client.get(address(shop), query_string=_choice(shop, storage=2, support=True)))
    page = client.get(address(shop), query_string=_choice(shop, storage=0, support=False))
    assert "Unused time: 2 × Storage" in text(page.text)
    confirm(client, shop, page)
    assert _items(shop) == {"team": 1}


@HALF
def test_what_is_not_sent_stays_as_it_is(app: Flask) -> None:
    shop, client = _shop(app)
    confirm(client, shop, client.get(address(shop), query_string=_choice(shop, storage=2, support=True)))
    confirm(client, shop, client.get(address(shop), query_string=fields(shop, "solo", 1)))
    assert _items(shop) == {"solo": 1, "storage": 2, "support": 1}


@HALF
def test_an_invalid_add_on_quantity_is_explained_at_its_field(app: Flask) -> None:
    shop, client = _shop(app)
    product_id = shop.prices["storage"].product_id
    for typed, words in (
        ("11", "Choose a quantity from 1 to 10."),
        ("-1", "Choose a quantity from 1 to 10."),
        ("", "Enter a quantity."),
        ("many", "Enter a whole number"),
    ):
        page = client.get(address(shop), query_string=_choice(shop, storage=typed))
        assert page.status_code == 422
        place = next(e for e in parse(page.text).iter("p") if e.get("data-error-of") == f"quantity-{product_id}")
        assert words in "".join(place.itertext())
        assert f'<a href="#quantity-{product_id}">Storage: {words}' in page.text
        assert 'name="quote"' not in page.text


@HALF
def test_a_price_of_something_else_is_refused(app: Flask) -> None:
    shop, client = _shop(app)
    page = client.get(
        address(shop), query_string={f"price-{shop.prices['support'].product_id}": shop.prices["team"].id}
    )
    assert page.status_code == 422
    assert "Choose one of the prices on this page." in text(page.text)


@HALF
def test_a_refused_confirmation_shows_the_same_choice_again(app: Flask) -> None:
    shop, client = _shop(app)
    confirm(client, shop, client.get(address(shop), query_string=_choice(shop, storage=0, support=True)))
    page = client.get(address(shop), query_string=_choice(shop, storage=3, support=False))
    confirm(client, shop, client.get(address(shop), query_string=fields(shop, "team", 4)))
    again = confirm(client, shop, page)
    assert again.status_code in (409, 422)
    root = parse(again.text)
    values = {
        e.get("name"): e.get("value")
        for e in root.iter("input")
        if e.get("type") in (None, "text") or e.get("checked") is not None
    }
    assert values[f"quantity-{shop.prices['storage'].product_id}"] == "3"
    assert values[f"price-{shop.prices['support'].product_id}"] == "none"


@HALF
def test_names_of_add_ons_are_data(app: Flask) -> None:
    shop, client = _shop(app)
    with world.transaction() as session:
        owned = Product.id == shop.prices["support"].product_id, Product.account_id == shop.customer.account_id
        session.scalars(select(Product).where(*owned)).one().name = '<script>alert("x")</script>'
    page = client.get(address(shop), query_string=_choice(shop, support=True))
    assert "<script>alert" not in page.text


def _pays_for_usage(shop: world.Shop) -> None:
    """The plan's price becomes one that only usage decides."""
    with world.transaction() as session:
        price = session.get(Price, shop.prices["team"].id)
        assert price
        price.usage_type, price.unit_amount, price.unit_amount_decimal = "metered", None, "0.02"
        mine = SubscriptionItem.id == shop.item_id, SubscriptionItem.account_id == shop.customer.account_id
        session.scalars(select(SubscriptionItem).where(*mine)).one().quantity = None


@HALF
def test_who_pays_for_usage_only_can_have_add_ons(app: Flask) -> None:
    shop, client = _shop(app)
    _pays_for_usage(shop)
    page = text(client.get(f"/subscriptions/{shop.subscription.id}").text)
    assert "there is nothing to change here" not in page
    assert "Add-ons" in text(client.get(address(shop)).text)
    storage = {key: value for key, value in _choice(shop, storage=2).items() if "support" not in key}
    quoted = client.get(address(shop), query_string=storage)
    assert "Remaining time: 2 × Storage" in text(quoted.text)
    assert confirm(client, shop, quoted).status_code == 303
    assert {name: quantity for name, quantity in _items(shop).items() if quantity} == {"storage": 2}


@HALF
def test_who_pays_for_usage_only_has_nothing_to_change_without_add_ons(app: Flask) -> None:
    shop = world.shop()
    _pays_for_usage(shop)
    client = enter(app, shop.customer)
    page = text(client.get(f"/subscriptions/{shop.subscription.id}").text)
    assert "You pay for what you use, so there is nothing to change here." in page
