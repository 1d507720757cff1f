"""The choices on the plan change page, the reasons for unavailable ones, and the quote for each."""

import re
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest
import time_machine
from flask import Flask
from sqlalchemy import select

from portal_site.billing.models import Price, SubscriptionItem
from tests import world
from tests.client import parse, text
from tests.conftest import enter
from tests.portal.changing import HALF, address, fields, quote, untouched


@HALF
@pytest.mark.case("D2")
@pytest.mark.parametrize(
    ("quantity", "words"),
    [
        ("0", "Choose a quantity from 1 to 50."),
        ("51", "Choose a quantity from 1 to 50."),
        ("-1", "Choose a quantity from 1 to"),
        ("1.5", "Enter a whole number"),
        ("1000000000000", "Choose a quantity from 1 to"),
        ("9" * 5000, "Choose a quantity from 1 to"),
        ("999999999999", "Choose a quantity from 1 to 50."),
        ("", "Enter a quantity."),
        ("three", "Enter a whole number"),
        ("1e3", "Enter a whole number"),
    ],
)
def test_an_invalid_quantity_is_explained(app: Flask, quantity: str, words: str) -> None:
    shop = world.shop()
    with world.transaction() as session:
        configuration = session.scalar(
            select(world.PortalConfiguration).where(world.PortalConfiguration.account_id == shop.customer.account_id)
        )
        assert configuration is not None
        document = dict(configuration.features)
        update = dict(document["subscription_update"])
        limits = {"adjustable_quantity": {"enabled": True, "maximum": 50}}
        update["products"] = [{**product, **limits} for product in update["products"]]
        configuration.features = document | {"subscription_update": update}
    client = enter(app, shop.customer)
    page = quote(client, shop, quantity=quantity)
    assert page.status_code == 422
    assert words in text(page.text)
    assert 'name="quote"' not in page.text
    field = f"quantity-{shop.item_id}"
    assert "<title>Error: Change plan" in page.text
    assert f'<a href="#{field}">{words}' in page.text  # in the summary on top
    place = next(e for e in parse(page.text).iter("p") if e.get("data-error-of") == field)
    assert (place.get("id"), place.get("hidden")) == (f"{field}-error", None)
    assert words in "".join(place.itertext())
    if quantity:
        assert f'value="{quantity}"' in page.text
    assert untouched(shop)


@HALF
@pytest.mark.case("B6")
@pytest.mark.case("D8")
@pytest.mark.both_databases
def test_only_what_is_offered_can_be_chosen(app: Flask) -> None:
    shop, other = world.shop(), world.shop("Other")
    client = enter(app, shop.customer)
    for price in (other.prices["solo"].id, "price_none"):
        page = client.get(address(shop), query_string={f"price-{shop.item_id}": price, f"quantity-{shop.item_id}": "1"})
        assert page.status_code == 422
        assert "Choose one of the plans on this page." in text(page.text)
    assert untouched(shop)
    foreign = {f"price-{other.item_id}": shop.prices["solo"].id, f"quantity-{other.item_id}": "5"}
    page = client.get(address(shop), query_string=foreign)
    assert page.status_code == 422
    assert "Choose an item of your subscription." in text(page.text)
    assert untouched(shop)


@HALF
@pytest.mark.case("B6")
@pytest.mark.case("D8")
@pytest.mark.parametrize(
    "which", ["not in the configuration", "not sold any more", "in dollars", "taxed in another way"]
)
@pytest.mark.both_databases
def test_not_every_price_of_the_merchant_is_on_offer(app: Flask, which: str) -> None:
    """As typed into the address, not as the page offers it; and in a quote that was signed while it was on offer."""
    shop = world.shop()
    with world.transaction() as session:
        made = world.Merchant(session, world.START, session.get(world.Account, shop.customer.account_id))
        product = made.product("Other")
        price = made.price(product, 500, "usd" if which == "in dollars" else "eur")
        price.active = which != "not sold any more"
        if which == "taxed in another way":
            price.tax_behavior = "inclusive"
            mine = Price.id == shop.prices["team"].id, Price.account_id == price.account_id
            session.scalars(select(Price).where(*mine)).one().tax_behavior = "exclusive"
        if which != "not in the configuration":
            _offer(session, shop, {"product": product.id, "prices": [price.id]})
    client = enter(app, shop.customer)
    wanted = {f"price-{shop.item_id}": price.id, f"quantity-{shop.item_id}": "1"}
    page = client.get(address(shop), query_string=wanted)
    assert page.status_code == 422
    assert "Choose one of the plans on this page." in text(page.text)
    assert not re.search(rf'type="radio"[^>]+value="{price.id}"', page.text)
    assert untouched(shop)


def _offer(session: Any, shop: world.Shop, product: dict[str, Any]) -> None:
    """Put a product on offer in the shop's configuration."""
    mine = world.PortalConfiguration.account_id == shop.customer.account_id
    configuration = session.scalars(select(world.PortalConfiguration).where(mine)).one()
    update = configuration.features["subscription_update"]
    products = {"products": [*update["products"], product]}
    configuration.features = configuration.features | {"subscription_update": update | products}


@HALF
@pytest.mark.both_databases
def test_more_than_ten_products_are_all_on_offer(app: Flask) -> None:
    shop = world.shop()
    with world.transaction() as session:
        made = world.Merchant(session, world.START, session.get(world.Account, shop.customer.account_id))
        for number in range(16):
            product = made.product(f"Plan {number:02}")
            _offer(session, shop, {"product": product.id, "prices": [made.price(product, 500 + number, "eur").id]})
    page = text(enter(app, shop.customer).get(address(shop)).text)
    assert all(f"Plan {number:02}" in page for number in range(16))


@HALF
def test_what_usage_adds_to_the_next_invoice_is_said(app: Flask) -> None:
    shop = world.shop()
    with world.transaction() as session:
        made = world.Merchant(session, world.START, session.get(world.Account, shop.customer.account_id))
        metered = {"usage_type": "metered", "unit_amount": None, "unit_amount_decimal": "0.02"}
        price = made.price(made.product("Calls"), 0, "eur", **metered)
        mine = SubscriptionItem.id == shop.item_id, SubscriptionItem.account_id == shop.customer.account_id
        item = session.scalars(select(SubscriptionItem).where(*mine)).one()
        span = {"current_period_start": item.current_period_start, "current_period_end": item.current_period_end}
        known = {"account_id": item.account_id, "subscription_id": item.subscription_id, "tax_rates": []}
        session.add(SubscriptionItem(id="si_calls", price_id=price.id, created=world.START + 1, **known, **span))
    client = enter(app, shop.customer)
    page = client.get(address(shop), query_string=fields(shop, quantity=3))
    assert "Your next invoice, on May 1, 2026, will be €30.00 plus your usage." in text(page.text)


@HALF
def test_the_credit_that_is_used_is_said(app: Flask) -> None:
    shop = world.shop(customer={"balance": -300, "currency": "eur"})
    page = text(quote(enter(app, shop.customer), shop, quantity=3).text)
    assert "Total €10.00 Credit used −€3.00 Due today €7.00" in page


@HALF
@pytest.mark.parametrize("typed", ["3", " 3 ", "٣", "３", "+3"[1:], "003"])
def test_a_quantity_is_taken_however_it_is_written(app: Flask, typed: str) -> None:
    shop = world.shop()
    assert "Due today €10.00" in text(quote(enter(app, shop.customer), shop, quantity=typed).text)


@HALF
@pytest.mark.parametrize(
    ("language", "typed", "difference"),
    [
        ("en", "1,000", "999 more seats"),
        ("fr", "1 000", "999 seats en plus"),
        ("fr", "1\u202f000", "999 seats en plus"),
    ],
)
def test_a_large_quantity_is_taken_as_the_language_groups_it(
    app: Flask, language: str, typed: str, difference: str
) -> None:
    shop = world.shop()
    client = enter(app, shop.customer)
    client.get("/")
    client.send("/language", {"language": language})
    assert difference in text(quote(client, shop, quantity=typed).text)


@HALF
@pytest.mark.parametrize(("step", "amount"), [("+1", "€10.00"), ("-1", "€0.00")])
def test_a_quantity_steps_without_a_script(app: Flask, step: str, amount: str) -> None:
    shop = world.shop()
    field = f"quantity-{fields(shop, quantity=2).popitem()[0].partition('-')[2]}"
    page = enter(app, shop.customer).get(address(shop), query_string={field: "2", "step": f"{field} {step}"})
    assert f'value="{2 + int(step)}"' in page.text
    assert (f"Due today {amount}" in text(page.text)) == (step == "+1")


@HALF
@pytest.mark.parametrize(
    ("behavior", "words"),
    [
        ("end_trial", "Your free trial ends now, and €30.00 is charged today."),
        ("continue_trial", "Your free trial continues until May 1, 2026."),
    ],
)
def test_what_happens_to_a_trial_is_said(app: Flask, behavior: str, words: str) -> None:
    trial = {"status": "trialing", "trial_start": world.START, "trial_end": world.END}
    shop = world.shop(**trial, billing_cycle_anchor=world.END, policy={"trial_update_behavior": behavior})
    assert words in text(quote(enter(app, shop.customer), shop, quantity=3).text)


@HALF
def test_the_displayed_lines_add_up(app: Flask) -> None:
    """Days with as many decimals as that takes: 14.99 of 30 days × €3,600.00 would be 1,798.80."""
    shop = world.shop()
    with world.transaction() as session:
        session.merge(shop.prices["team"]).unit_amount = 360_000
    with time_machine.travel(world.HALF + 777, tick=False):
        page = text(quote(enter(app, shop.customer), shop, quantity=2).text)
    found = re.search(r"([\d.]+) of 30 days × €7,200.00 = €([\d.,]+)", page)
    assert found
    assert len(found[1].partition(".")[2]) > 2
    shown = Decimal(found[1]) / 30 * 7200
    assert shown.quantize(Decimal("0.01"), ROUND_HALF_UP) == Decimal(found[2].replace(",", ""))
