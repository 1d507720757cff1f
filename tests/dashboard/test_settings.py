"""The settings: each is stored, has its effect in the portal, is kept as history, and is never overwritten in silence."""

from dataclasses import replace
from typing import Any

import pytest
import time_machine
from sqlalchemy import select

from portal_site.billing.accounts import portal_configurations
from portal_site.billing.models import Event, Price, Product
from portal_site.billing.rules.portal.portal_features import (
    Features,
    Retention,
    RetentionCondition,
    RetentionOffer,
    RetentionRule,
    SubscriptionCancel,
    SubscriptionPause,
)
from portal_site.db.transactions import reading, transaction
from tests import world
from tests.client import text
from tests.dashboard.desk import Desk, typed
from tests.dashboard.effects import CANCEL, EFFECTS, SECTIONS
from tests.dashboard.staff import employ, sign_in


def _store(desk: Desk, features: Features) -> None:
    with desk.app.app_context(), transaction() as session:
        query = select(world.PortalConfiguration).where(world.PortalConfiguration.account_id == desk.account_id)
        session.scalars(query).one().features = features.as_document()


@pytest.mark.parametrize("section", SECTIONS)
def test_a_form_that_is_saved_as_it_is_changes_nothing(desk: Desk, section: str) -> None:
    before = desk.settings()
    response = desk.save(section)
    assert response.status_code == 303
    assert desk.settings() == before
    assert desk.configuration().version == 1


@pytest.mark.parametrize("section", SECTIONS)
def test_what_the_forms_do_not_show_is_kept(desk: Desk, section: str) -> None:
    """Options of an import, which have no field, or values that cannot be chosen here."""
    rule = RetentionRule(
        RetentionOffer("pause", message="Stay"),
        RetentionCondition(reasons=("unused",), minimum_monthly_amount=500, currency="eur", minimum_age_days=30),
    )
    ends = SubscriptionCancel(retention=Retention(enabled=True, rules=(rule, rule), holdout_percent=10))
    pause = SubscriptionPause(enabled=True, interval_options=({"interval": "day", "interval_count": 45},))
    own = replace(
        world.EVERYTHING, subscription_cancel=ends, subscription_pause=pause, subscription_update=desk.shop.features
    )
    _store(desk, own)
    before = desk.settings()
    assert desk.save(section).status_code == 303
    assert desk.settings() == before


@pytest.mark.case("A15")
@pytest.mark.parametrize(("section", "changed", "address", "words", "there"), EFFECTS)
def test_each_setting_has_its_effect_with_the_customers_next_click(
    desk: Desk, section: str, changed: dict[str, Any], address: str, words: str, there: bool
) -> None:
    customer = desk.portal()
    things = {"subscription": desk.shop.subscription.id, "solo": desk.shop.prices["solo"].id, "item": desk.shop.item_id}
    if changed.get("methods", "y") is None:  # who may not add a payment method may not change plans either
        assert desk.save("subscriptions", update=None).status_code == 303
    response = desk.save(section, **changed)
    assert response.status_code == 303, text(response.text)
    shown = text(customer.get(address.format(**things)).text)
    assert (words in shown) == there, shown


def test_the_look_of_a_configuration(desk: Desk) -> None:
    customer = desk.portal()
    usual = customer.get("/").text
    assert desk.save("appearance", own="y", background="#102030", button="#00aa55", shape="pill").status_code == 303
    assert "/theme/102030-00aa55-system-pill-" in customer.get("/").text
    assert desk.save("appearance", own=None).status_code == 303
    assert desk.settings()["branding"] is None
    assert usual.partition("/theme/")[2][:40] == customer.get("/").text.partition("/theme/")[2][:40]


def test_an_offer_is_made_to_whom_it_is_for(desk: Desk) -> None:
    changed = {
        "offers": "y",
        "rules-0-type": "pause",
        "rules-0-reasons": ["unused"],
        "rules-0-message": "Rest a while?",
    }
    assert desk.save("offers", **changed).status_code == 303
    rules = desk.settings()["features"]["subscription_cancel"]["retention"]["rules"]
    assert [(rule["offer"]["type"], rule["when"]["reasons"]) for rule in rules] == [("pause", ["unused"])]
    customer, address = desk.portal(), CANCEL.format(subscription=desk.shop.subscription.id)
    form = customer.form(address, f"{address}/reason")
    offered = customer.post(f"{address}/reason", data={**form, "reason": "unused"}, follow_redirects=True)
    assert "Rest a while?" in offered.text
    assert desk.save("offers", **{"rules-0-type": ""}).status_code == 303
    assert desk.settings()["features"]["subscription_cancel"]["retention"]["rules"] == []


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("information", {"methods": None}, "must be able to add a payment method"),
    ("subscriptions", {"allowed": [], "products-2-use": "", "products-3-use": ""}, "Choose what customers may change."),
    ("subscriptions", {"products-0-use": "", "products-1-use": ""}, "Choose the plans"),
    ("subscriptions", {"products-0-prices": []}, "Choose at least one price"),
    ("subscriptions", {"products-0-prices": ["price_unknown"]}, "is not a valid choice"),
    ("subscriptions", {"products-0-product": "prod_unknown"}, "are not valid choices"),
    ("subscriptions", {"products-0-minimum": "0", "products-0-adjustable": "y"}, "between 1 and 999999"),
    ("subscriptions", {"products-0-minimum": "many"}, "Not a valid integer"),
    ("subscriptions", {"proration": "sometimes"}, "Not a valid choice"),
    ("cancellation", {"ask": "y", "reasons": []}, "Choose at least one reason"),
    ("cancellation", {"reasons": ["boredom"]}, "is not a valid choice"),
    ("cancellation", {"mode": "at_period_end", "proration": "create_prorations"}, "no unused time"),
    ("cancellation", {"pause": "y", "duration": "interval_options", "spans": []}, "for how long customers may pause"),
    ("cancellation", {"link_label": "x" * 101}, "at most 100 characters"),
    ("offers", {"rules-0-type": "coupon"}, "Choose what is offered."),
    ("offers", {"offers": "y", "rules-0-type": "coupon", "rules-0-coupon": "none"}, "There is no such coupon: none."),
    ("offers", {"offers": "y", "fallback": "none"}, "There is no such coupon: none."),
    ("offers", {"offers": "y", "rules-0-type": "price", "rules-0-price": "price_x"}, "There is no such price: price_x."),
    ("offers", {"rules-0-type": "contact", "rules-0-url": "javascript:alert(1)"}, "not an address to send customers to"),
    ("offers", {"rules-0-type": "trial", "rules-0-days": "731"}, "between 1 and 730"),
    ("offers", {"rules-0-type": "pause", "rules-0-message": "x" * 501}, "at most 500 characters"),
    ("offers", {"months_between": "0"}, "between 1 and 120"),
    ("words", {"headline": "x" * 61}, "at most 60 characters"),
    ("words", {"headline": "<b>Hello</b>"}, "A headline is plain text"),
    ("words", {"default_return_url": "javascript:alert(1)"}, "must begin with http"),
    ("words", {"default_return_url": "//evil.example"}, "must begin with http"),
    ("words", {"terms_of_service_url": "data:text/html,x"}, "must begin with http"),
    ("words", {"name": "4242 4242 4242 4242"}, "looks like a card number"),
    ("appearance", {"own": "y", "background": "red;}"}, "Enter a value such as"),
    ("appearance", {"own": "y", "button": "#12345"}, "Enter a value such as"),
    ("appearance", {"own": "y", "font": "Comic Sans"}, "Not a valid choice"),
]  # fmt: skip


@pytest.mark.case("C7")
@pytest.mark.case("C8")
@pytest.mark.parametrize(("section", "changed", "words"), REFUSED)
def test_what_cannot_be_is_refused_with_the_reason_and_nothing_is_stored(
    desk: Desk, section: str, changed: dict[str, Any], words: str
) -> None:
    before = desk.settings()
    response = desk.save(section, **changed)
    assert response.status_code == 422
    assert words in text(response.text), text(response.text)[:3000]
    assert desk.settings() == before
    for name, value in changed.items():  # what was typed is still there
        if isinstance(value, str) and value and not name.endswith("product"):
            assert value in typed(response.text).getlist(name) or name in ("proration", "font")


def test_two_prices_with_one_interval_are_refused(desk: Desk) -> None:
    with desk.app.app_context(), transaction() as session:
        account = session.get(world.Account, desk.account_id)
        made = world.Merchant(session, world.START, account)
        team = select(Product).where(Product.account_id == desk.account_id, Product.name == "Team")
        twin = made.price(session.scalars(team).one(), 1100, "eur").id
    data = desk.form("subscriptions")
    response = desk.save("subscriptions", **{"products-0-prices": [*data.getlist("products-0-prices"), twin]})
    assert (response.status_code, "Two prices of Team have the same interval" in response.text) == (422, True)


def test_who_saves_second_sees_both_versions(desk: Desk) -> None:
    other = sign_in(desk.app, employ(desk.account_id, email="bob@lumen.example", name="Bob"))
    mine, theirs = desk.form("words"), typed(other.get(desk.address("words")).text)
    theirs["headline"] = "Bob’s words"
    assert other.post(desk.address("words"), data=theirs).status_code == 303
    mine["headline"] = "Ada’s words"
    refused = desk.client.post(desk.address("words"), data=mine)
    shown = text(refused.text)
    assert refused.status_code == 409
    assert "Somebody else has changed these settings in the meantime." in shown
    assert "Headline Bob’s words Ada’s words" in shown
    assert desk.settings()["headline"] == "Bob’s words"
    again = typed(refused.text)
    assert again["headline"] == "Ada’s words"
    assert desk.client.post(desk.address("words"), data=again).status_code == 303
    assert desk.settings()["headline"] == "Ada’s words"


def test_the_history_says_who_and_what_and_leads_back(desk: Desk) -> None:
    assert "Nothing has been changed yet." in desk.client.get(desk.address("history")).text
    first = desk.settings()
    desk.save("words", headline="One")
    with time_machine.travel(world.HALF + 3600, tick=False):
        desk.save("cancellation", mode="immediately")
    shown = text(desk.client.get(desk.address("history")).text)
    assert shown.index("at_period_end immediately".replace("_", " ")) < shown.index("Headline none One")
    assert shown.count("Ada Byron") >= 2
    page = desk.client.get(desk.address("history"))
    assert page.text.count("Restore") == 3
    assert desk.client.send(desk.address("history/1/restoration"), {"version": "3"}).status_code == 303
    assert desk.settings() == first
    assert desk.configuration().version == 4
    assert "Headline One none" in text(desk.client.get(desk.address("history")).text)
    assert desk.client.send(desk.address("history/99/restoration"), {"version": "4"}).status_code == 404
    assert desk.client.send(desk.address("history/2/restoration"), {"version": "3"}).status_code == 303
    assert "Somebody else has changed these settings" in desk.client.get(desk.address("history")).text
    assert desk.settings() == first


def test_what_cannot_be_any_more_cannot_be_restored(desk: Desk) -> None:
    desk.save("subscriptions", **{"products-1-use": ""})
    with desk.app.app_context(), transaction() as session:
        solo = select(Price).where(Price.account_id == desk.account_id, Price.id == desk.shop.prices["solo"].id)
        session.scalars(solo).one().active = False
    desk.client.get(desk.address("history"))
    back = desk.client.send(desk.address("history/1/restoration"), {"version": "2"}, follow_redirects=True)
    assert "These settings cannot be restored. Only active, recurring prices" in text(back.text)
    assert desk.configuration().version == 2


def test_a_change_is_an_event_with_the_user_and_what_was_before(desk: Desk) -> None:
    desk.save("words", headline="One")
    with reading() as reader:
        query = select(Event.actor_type, Event.actor_id, Event.data).where(
            Event.account_id == desk.account_id, Event.type == "billing_portal.configuration.updated"
        )
        actor_type, actor_id, data = reader.execute(query).one()
    assert (actor_type, actor_id) == ("user", "user_ada@lumen.example")
    assert data["object"]["business_profile"]["headline"] == "One"
    assert data["previous_attributes"]["business_profile"]["headline"] is None


def test_a_copy_is_a_configuration_of_its_own(desk: Desk) -> None:
    desk.client.get(desk.address("words"))
    assert desk.client.send(desk.address("copies"), {"name": " "}).status_code == 422
    made = desk.client.send(desk.address("copies"), {"name": "Partners"})
    copied = made.location.split("/")[4]
    there = Desk(desk.app, desk.client, desk.shop, copied)
    there.save("words", headline="For partners")
    assert (there.settings()["headline"], desk.settings()["headline"]) == ("For partners", None)
    page = text(desk.client.get(desk.address(f"comparison?with={copied}")).text)
    assert "2 differences" in page
    assert "Headline none For partners" in page
    assert "Partners (test mode)" in text(desk.client.get(f"/dashboard/{desk.account_id}/settings").text)


def test_an_inactive_configuration_lets_nobody_in_and_the_default_stays(desk: Desk) -> None:
    desk.client.get(desk.address("words"))
    copied = desk.client.send(desk.address("copies"), {"name": "Partners"}).location.split("/")[4]
    from tests.conftest import enter

    customer = enter(desk.app, desk.shop.customer, configuration_id=copied)
    assert customer.get("/").status_code == 200
    there = f"/dashboard/{desk.account_id}/settings/{copied}/activity"
    desk.client.get(desk.address("words"))
    assert desk.client.send(there, {"active": "no"}).status_code == 303
    assert customer.get("/").status_code == 403
    refused = desk.client.send(desk.address("activity"), {"active": "no"})
    assert (refused.status_code, "The default configuration stays active" in refused.text) == (422, True)
    with desk.app.app_context():
        assert portal_configurations.get(desk.account_id, copied).active is False
