"""Flows through the API: each type is accepted and echoed, and what a customer could not do is refused by name."""

from dataclasses import replace
from typing import Any

import pytest
import time_machine
from flask import Flask
from sqlalchemy import update

from portal_site.billing.models import PortalConfiguration, PortalSession, Subscription
from portal_site.billing.rules.portal import flows
from portal_site.billing.rules.portal.flows import Flow
from tests import world
from tests.api.calls import SESSIONS, Program, error

HALF = time_machine.travel(world.HALF, tick=False)


def _shop(**members: Any) -> world.Shop:
    return world.shop(**members)


def _ask(app: Flask, shop: world.Shop, type_: str, **more: str) -> Any:
    """The answer to the request for a flow. `more` are members of flow_data, with `__` for the flow's own hash."""
    data = {"customer": shop.customer.id, "flow_data[type]": type_}
    for name, value in more.items():
        head, *rest = name.replace("__", f"{type_}.").split(".")
        data[f"flow_data[{head}]" + "".join(f"[{part}]" for part in rest)] = value
    return Program(app, shop.customer.account_id).post(SESSIONS, data)


def _of(shop: world.Shop, type_: str) -> dict[str, str]:
    """The least that a flow of this type needs."""
    if type_ not in flows.OF_SUBSCRIPTIONS:
        return {}
    given = {"__subscription": shop.subscription.id}
    if type_ == flows.SUBSCRIPTION_UPDATE_CONFIRM:
        given |= {"__items.0.id": shop.item_id, "__items.0.quantity": "3"}
    return given


@HALF
@pytest.mark.both_databases
@pytest.mark.parametrize("type_", flows.TYPES)
def test_each_type_is_made_and_echoed(app: Flask, type_: str) -> None:
    shop = _shop()
    answer = _ask(app, shop, type_, **_of(shop, type_))
    assert answer.status_code == 200, answer.text
    flow = answer.json["flow"]
    assert flow["type"] == type_
    assert flow["after_completion"] == {
        "type": "hosted_confirmation", "hosted_confirmation": {"custom_message": None}, "redirect": None
    }  # fmt: skip
    for name in flows.OF_SUBSCRIPTIONS:
        assert (flow[name] is not None) is (name == type_)
    if type_ == flows.SUBSCRIPTION_UPDATE_CONFIRM:
        assert flow[type_]["items"] == [{"id": shop.item_id, "price": None, "quantity": 3}]


@pytest.mark.parametrize("type_", flows.TYPES)
def test_what_is_stored_is_read_again(type_: str) -> None:
    flow = Flow(type_, flows.Completion(flows.REDIRECT, return_url="https://shop.example"), "sub_1")
    if type_ not in flows.OF_SUBSCRIPTIONS:
        flow = replace(flow, subscription_id=None)
    if type_ == flows.SUBSCRIPTION_CANCEL:
        flow = replace(flow, retention_coupon="stay")
    if type_ == flows.SUBSCRIPTION_UPDATE_CONFIRM:
        flow = replace(flow, items=(flows.WantedItem("si_1", "price_1", 2),), promotion_code="promo_1")
    assert Flow.of(flows.document(flow)) == flow


@HALF
@pytest.mark.parametrize(
    ("type_", "more", "param", "words"),
    [
        ("upgrade", {}, "flow_data[type]", "must be one of"),
        ("subscription_cancel", {}, "flow_data[subscription_cancel]", "Missing required param"),
        ("subscription_cancel", {"subscription_cancel": ""}, "flow_data[subscription_cancel]", "Invalid object"),
        (
            "subscription_cancel",
            {"__subscription": "sub_none"},
            "flow_data[subscription_cancel][subscription]",
            "No such subscription: 'sub_none'",
        ),
        ("customer_update", {"customer_update.email": "x"}, "flow_data[customer_update]", "unknown parameter"),
        (
            "customer_update",
            {"after_completion.type": "redirect"},
            "flow_data[after_completion][redirect]",
            "Missing required param",
        ),
        (
            "customer_update",
            {"after_completion.type": "redirect", "after_completion.redirect.return_url": "javascript:alert(1)"},
            "flow_data[after_completion][redirect][return_url]",
            "Not a valid URL",
        ),
        (
            "customer_update",
            {"after_completion.type": "portal_homepage", "after_completion.redirect.return_url": "https://a.example"},
            "flow_data[after_completion]",
            "can only be used with",
        ),
        (
            "customer_update",
            {"after_completion.type": "hosted_confirmation", "after_completion.hosted_confirmation.custom_message": "x" * 501},
            "flow_data[after_completion][hosted_confirmation][custom_message]",
            "too long",
        ),
        ("customer_update", {"subscription_pause.subscription": "sub_1"}, "flow_data[subscription_pause]", "same name"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_by_name(
    lite_app: Flask, type_: str, more: dict[str, str], param: str, words: str
) -> None:
    refused = error(_ask(lite_app, _shop(), type_, **more))
    assert (refused[0], refused[3]) == (400, param)
    assert words in refused[1]


@HALF
@pytest.mark.case("A6")
@pytest.mark.parametrize("type_", sorted(flows.OF_SUBSCRIPTIONS))
def test_a_subscription_of_somebody_else_does_not_exist(lite_app: Flask, type_: str) -> None:
    shop, other = _shop(), _shop(name="Other")
    given = {**_of(shop, type_), "__subscription": other.subscription.id}
    refused = error(_ask(lite_app, shop, type_, **given))
    assert refused[1:] == (
        f"No such subscription: '{other.subscription.id}'", "resource_missing", f"flow_data[{type_}][subscription]"
    )  # fmt: skip


@HALF
@pytest.mark.parametrize("type_", flows.TYPES)
def test_a_feature_that_is_off_refuses_its_flow(lite_app: Flask, type_: str) -> None:
    shop = _shop()
    with world.transaction() as session:
        features = {name: {"enabled": False} for name in set(flows.FEATURES.values())}
        mine = PortalConfiguration.account_id == shop.customer.account_id
        session.execute(update(PortalConfiguration).where(mine).values(features=features))
    refused = error(_ask(lite_app, shop, type_, **_of(shop, type_)))
    assert refused[1].endswith("in the portal configuration is disabled.")
    assert refused[3] == "flow_data[type]"


def test_the_sentence_about_a_disabled_update_is_the_apis(lite_app: Flask) -> None:
    shop = _shop(policy={"enabled": False})
    refused = error(_ask(lite_app, shop, "subscription_update", __subscription=shop.subscription.id))
    assert refused[1] == (
        "This subscription cannot be updated because the subscription update feature in the portal configuration is disabled."
    )


@HALF
def test_what_is_to_end_already_cannot_be_canceled(lite_app: Flask) -> None:
    shop = _shop(cancel_at_period_end=True, cancel_at=world.END)
    refused = error(_ask(lite_app, shop, "subscription_cancel", __subscription=shop.subscription.id))
    assert refused[1] == f"The subscription `{shop.subscription.id}` is already set to be canceled at period end."


def _confirm(app: Flask, shop: world.Shop, **more: str) -> Any:
    given = {"__subscription": shop.subscription.id, "__items.0.id": shop.item_id, **more}
    return _ask(app, shop, "subscription_update_confirm", **given)


@HALF
def test_a_price_outside_the_configuration_is_refused(lite_app: Flask) -> None:
    shop = _shop()
    with world.transaction() as session:
        made = world.Merchant(session, world.START, session.get(world.Account, shop.customer.account_id))
        price = made.price(made.product("Gold"), 9000, "eur").id
        configuration = made.session.scalar(
            world.select(PortalConfiguration.id).where(PortalConfiguration.account_id == shop.customer.account_id)
        )
    refused = error(_confirm(lite_app, shop, **{"__items.0.price": price}))
    assert refused[1] == (
        f"The item `{shop.item_id}` cannot be updated to price `{price}` because the configuration `{configuration}` does not "
        "include the price in its `features[subscription_update][products]`."
    )
    assert refused[3] == "flow_data[subscription_update_confirm][items][0][price]"


@HALF
def test_items_that_change_nothing_or_do_not_exist_are_refused(lite_app: Flask) -> None:
    shop = _shop()
    nothing = error(_confirm(lite_app, shop))
    assert nothing[1] == "Cannot update the subscription because there are no changes to confirm."
    unknown = error(_confirm(lite_app, shop, **{"__items.0.id": "si_none"}))
    assert unknown[1] == "No such subscription item: 'si_none'"
    two = error(_confirm(lite_app, shop, **{"__items.1.id": shop.item_id}))
    assert two[3] == "flow_data[subscription_update_confirm][items]"
    below = error(_confirm(lite_app, shop, **{"__items.0.quantity": "-1"}))
    assert below[3] == "flow_data[subscription_update_confirm][items][0][quantity]"


@HALF
def test_a_discount_is_one_coupon_or_one_code_of_the_account(lite_app: Flask) -> None:
    shop, other = _shop(), _shop(name="Other")
    with world.transaction() as session:
        made = world.Merchant(session, world.START, session.get(world.Account, other.customer.account_id))
        theirs = made.coupon("Theirs", percent_off="20")
    for given in ({"coupon": "none"}, {"coupon": theirs.id}, {"promotion_code": "promo_none"}):
        ((kind, name),) = given.items()
        refused = error(_confirm(lite_app, shop, **{"__items.0.quantity": "3", f"__discounts.0.{kind}": name}))
        assert refused[2:] == (
            "resource_missing", f"flow_data[subscription_update_confirm][discounts][0][{kind}]"
        )  # fmt: skip
    both = error(_confirm(lite_app, shop, **{"__discounts.0.coupon": "a", "__discounts.0.promotion_code": "b"}))
    assert both[3] == "flow_data[subscription_update_confirm][discounts]"


@HALF
def test_a_refused_flow_leaves_no_session(lite_app: Flask) -> None:
    shop = _shop()
    _ask(lite_app, shop, "subscription_cancel", __subscription="sub_none")
    with world.reading() as reader:
        mine = PortalSession.customer_id == shop.customer.id
        assert reader.execute(world.select(PortalSession.id).where(mine)).first() is None
        assert (
            reader.execute(
                world.select(Subscription.cancel_at).where(Subscription.customer_id == shop.customer.id)
            ).scalar()
            is None
        )
