"""Prices: what is stored of them, lookup keys, and that what one costs never changes."""

from dataclasses import replace
from typing import Any

import pytest
from flask import Flask

from portal_site.billing.catalog import prices, products
from portal_site.billing.changes import reactivations
from portal_site.billing.errors import NotFound
from portal_site.billing.loading import plans
from portal_site.billing.models import Price
from portal_site.billing.rules.amounts.pricing import amount
from portal_site.billing.rules.catalog.price_definitions import PriceTier
from tests.catalog.catalogue import AT, DAY, LIVE, TEN_A_MONTH, TEST, events, price, product, refusal
from tests.scenarios.history import History
from tests.world import reading

TIERS = replace(
    TEN_A_MONTH,
    unit_amount=None,
    tiers_mode="graduated",
    tiers=(PriceTier(2, 500), PriceTier(None, 300, flat_amount=50)),
)


def test_a_price_is_stored_and_offered(account_id: str) -> None:
    row = price(account_id, TIERS, nickname="Steps", lookup_key="team", metadata={"a": "1"})
    stored = prices.get(account_id, TEST, row.id)
    assert (stored.type, stored.billing_scheme, stored.interval, stored.interval_count) == (
        "recurring", "tiered", "month", 1
    )  # fmt: skip
    assert (stored.nickname, stored.lookup_key, stored.usage_type) == ("Steps", "team", "licensed")
    with reading() as reader:
        [offer] = plans.load_offers(reader, account_id, TEST, [row.id]).values()
    assert [amount(offer.terms, quantity) for quantity in (1, 2, 3)] == [500, 1000, 1350]
    assert [kind for kind, _ in events(account_id)] == ["product.created", "price.created"]
    assert events(account_id)[1][1]["object"]["recurring"]["interval"] == "month"


def _offered(row: Price) -> list[str]:
    with reading() as reader:
        return list(plans.load_offers(reader, row.account_id, TEST, [row.id]))


def test_an_archived_price_or_product_is_not_offered(account_id: str) -> None:
    row = price(account_id)
    prices.update(account_id, TEST, row.id, AT + DAY, active=False)
    assert _offered(row) == []
    kind, data = events(account_id)[-1]
    assert (kind, data["previous_attributes"]) == ("price.updated", {"active": True})
    prices.update(account_id, TEST, row.id, AT + DAY, active=True)
    assert _offered(row) == [row.id]
    products.update(account_id, TEST, row.product_id, AT + DAY, active=False)
    assert _offered(row) == []
    products.update(account_id, TEST, row.product_id, AT + DAY, active=True)
    assert _offered(row) == [row.id]


def test_what_is_archived_is_kept_and_does_not_come_back(lite_app: Flask) -> None:
    """Who has an archived product keeps paying for it; a subscription that has ended is not begun again with it."""
    history = History.start(lite_app)
    shop = history.shop
    products.update(shop.customer.account_id, TEST, shop.prices["team"].product_id, AT, active=False)
    history.advance_to("2026-05-02")
    assert (history.subscription.status, len(history.invoices())) == ("active", 1)
    history.cancel()
    history.advance_to("2026-06-02")
    assert history.subscription.status == "canceled"
    assert reactivations.preview(shop.customer.id, shop.subscription.id, history.now).refusal is not None
    products.update(shop.customer.account_id, TEST, shop.prices["team"].product_id, AT, active=True)
    assert reactivations.preview(shop.customer.id, shop.subscription.id, history.now).refusal is None


@pytest.mark.parametrize("member", ["unit_amount", "currency", "interval", "tiers", "transform_quantity", "product_id"])
def test_what_a_price_costs_cannot_be_changed(lite_account_id: str, member: str) -> None:
    row = price(lite_account_id)
    changes: Any = {member: 1}
    with pytest.raises(ValueError, match=member):
        prices.update(lite_account_id, TEST, row.id, AT, **changes)


def test_the_tax_behavior_is_chosen_once(account_id: str) -> None:
    row = price(account_id)
    assert prices.update(account_id, TEST, row.id, AT, tax_behavior="unspecified").tax_behavior == "unspecified"
    assert prices.update(account_id, TEST, row.id, AT, tax_behavior="inclusive").tax_behavior == "inclusive"
    assert events(account_id)[-1][1]["previous_attributes"] == {"tax_behavior": "unspecified"}
    for other in ("exclusive", "unspecified"):
        error = refusal(lambda: prices.update(account_id, TEST, row.id, AT, tax_behavior=other))  # noqa: B023
        assert error.param == "tax_behavior"
    prices.update(account_id, TEST, row.id, AT, tax_behavior="inclusive", nickname="Same")
    assert prices.get(account_id, TEST, row.id).tax_behavior == "inclusive"


def test_a_lookup_key_is_one_prices_at_a_time(account_id: str) -> None:
    first = price(account_id, lookup_key="team")
    error = refusal(lambda: price(account_id, lookup_key="team"))
    assert (error.code, error.param, first.id in str(error)) == ("resource_already_exists", "lookup_key", True)
    second = price(account_id, lookup_key="team", transfer_lookup_key=True)
    assert (prices.get(account_id, TEST, first.id).lookup_key, second.lookup_key) == (None, "team")
    told = [(kind, data["object"]["id"]) for kind, data in events(account_id)]
    assert told[-2:] == [("price.updated", first.id), ("price.created", second.id)]
    assert refusal(lambda: prices.update(account_id, TEST, first.id, AT, lookup_key="team")).param == "lookup_key"
    prices.update(account_id, TEST, first.id, AT, lookup_key="team", transfer_lookup_key=True)
    assert prices.get(account_id, TEST, second.id).lookup_key is None
    same = prices.update(account_id, TEST, first.id, AT, lookup_key="team", nickname="Kept")
    assert (same.lookup_key, same.nickname) == ("team", "Kept")
    live = prices.create(account_id, LIVE, AT, product(account_id, livemode=LIVE).id, TEN_A_MONTH, lookup_key="team")
    assert live.lookup_key == "team"


@pytest.mark.parametrize(
    ("members", "param"), [({"lookup_key": "x" * 201}, "lookup_key"), ({"nickname": "x" * 5001}, "nickname")]
)
def test_names_of_prices_have_limits(lite_account_id: str, members: Any, param: str) -> None:
    assert refusal(lambda: price(lite_account_id, **members)).param == param
    row = price(lite_account_id)
    assert refusal(lambda: prices.update(lite_account_id, TEST, row.id, AT, **members)).param == param


def test_a_price_of_the_other_mode_does_not_exist(account_id: str) -> None:
    row = price(account_id)
    assert isinstance(refusal(lambda: prices.get(account_id, LIVE, row.id)), NotFound)
    assert isinstance(refusal(lambda: prices.update(account_id, LIVE, row.id, AT, active=False)), NotFound)
