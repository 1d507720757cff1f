"""The words beside offers: what they cost before a quantity is chosen, whatever the price is made of."""

from decimal import Decimal
from typing import Any

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from portal_site.billing.models import Price, Product
from portal_site.billing.rules.amounts.items import PricedPlan
from portal_site.billing.rules.amounts.pricing import PriceTerms, Tier
from portal_site.portal.wording import prices
from tests import world
from tests.client import text
from tests.conftest import enter
from tests.portal.changing import HALF, address, quote


def _tiers(mode: str, *tiers: tuple[int | None, int, int]) -> dict[str, Any]:
    made = [{"up_to": up_to, "unit_amount": unit, "flat_amount": flat} for up_to, unit, flat in tiers]
    return {"billing_scheme": "tiered", "tiers_mode": mode, "tiers": made, "unit_amount": None}


PACKS = {"transform_quantity": {"divide_by": 25, "round": "up"}}
FULL_PACKS = {"transform_quantity": {"divide_by": 1000, "round": "down"}}
SUB_COIN = {"unit_amount": None, "unit_amount_decimal": "0.125"}
PRICED = [
    (PACKS, "Team €10.00 per month for each 25 seats"),
    (FULL_PACKS, "Team €10.00 per month for each full 1,000 seats"),
    (SUB_COIN, "Team €0.00125 per month each"),
    ({"unit_amount": None, "unit_amount_decimal": "1050.5"}, "Team €10.505 per month each"),
    (PACKS | SUB_COIN, "Team €0.00125 per month for each 25 seats"),
    (_tiers("graduated", (1, 0, 5000), (None, 300, 0)), "Team from €50.00 per month, depending on the quantity"),
    (_tiers("volume", (10, 1000, 0), (None, 50, 0)), "Team from €5.50 per month, depending on the quantity"),
    (_tiers("volume", (5, 0, 0), (None, 50, 0)) | PACKS, "Team from €0.00 per month, depending on the quantity"),
]


def _price(shop: world.Shop, name: str, **members: Any) -> None:
    with world.transaction() as session:
        mine = Price.account_id == shop.customer.account_id
        price = session.scalar(select(Price).where(mine, Price.id == shop.prices[name].id))
        for member, value in members.items():
            setattr(price, member, value)


@HALF
@pytest.mark.parametrize(("members", "words"), PRICED, ids=[words for _, words in PRICED])
def test_a_plan_says_how_its_price_comes_about(app: Flask, members: dict[str, Any], words: str) -> None:
    shop = world.shop(quantity=60)
    _price(shop, "team", **members)
    page = text(enter(app, shop.customer).get(address(shop)).text)
    assert words.replace("Team", "Team Current") in page


@HALF
@pytest.mark.parametrize(("members", "words"), PRICED, ids=[words for _, words in PRICED])
def test_an_add_on_says_how_its_price_comes_about(app: Flask, members: dict[str, Any], words: str) -> None:
    shop = world.shop(add_ons=True)
    _price(shop, "storage", **members)
    with world.transaction() as session:
        mine = Product.account_id == shop.customer.account_id
        for product in session.scalars(select(Product).where(mine, Product.name == "Storage")):
            product.unit_label = "seats"
    page = text(enter(app, shop.customer).get(address(shop)).text)
    expected = words.removeprefix("Team ").replace("€10.00", "€3.00")
    assert expected in page


@HALF
def test_the_price_of_one_unit_is_what_is_charged_for_one(app: Flask) -> None:
    shop = world.shop(add_ons=True)
    _price(shop, "support", **PACKS)
    assert "€5.00 per month" in (page := text(enter(app, shop.customer).get(address(shop)).text))
    assert "for each" not in page


@HALF
def test_the_overview_says_what_all_of_them_cost(app: Flask) -> None:
    shop = world.shop(quantity=60)
    _price(shop, "team", **PACKS)
    client = enter(app, shop.customer)
    assert "60 seats · €30.00 per month" in text(client.get("/").text)
    assert "€30.00 per month" in text(client.get(f"/subscriptions/{shop.subscription.id}").text)
    assert "€10.00" not in text(quote(client, shop, quantity=60).text).replace("€10.00 per month for each 25", "")


TIER = st.tuples(st.integers(1, 40), st.integers(0, 500), st.integers(0, 500))


@given(
    tiers=st.lists(TIER, min_size=1, max_size=4, unique_by=lambda tier: tier[0]),
    mode=st.sampled_from(["volume", "graduated"]),
    divide_by=st.integers(1, 5),
    round_up=st.booleans(),
    quantity=st.integers(1, 250),
)
def test_no_price_is_below_its_from_price(
    tiers: list[tuple[int, int, int]], mode: str, divide_by: int, round_up: bool, quantity: int
) -> None:
    ends = sorted(tier[0] for tier in tiers)[:-1]
    made = tuple(
        Tier(end, Decimal(unit), Decimal(flat)) for end, (_, unit, flat) in zip([*ends, None], tiers, strict=True)
    )
    terms = PriceTerms("eur", Decimal(0), "tiered", mode, made, divide_by, round_up)
    offer = PricedPlan("price_x", "prod_x", "X", terms)
    least = min(map(offer.amount, prices._cheapest_quantities(terms)))
    assert least <= offer.amount(quantity)
    assert any(offer.amount(one) == least for one in range(1, 300))
