"""Changing plan and quantity in the portal: the price before, the same price after, and every way to get it wrong."""

import re
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest
import time_machine
from flask import Flask
from sqlalchemy import func, select

from portal_site.billing.gateways.sandbox.models import SandboxCharge
from portal_site.billing.models import Invoice, PlanChange, Price, SubscriptionItem
from portal_site.billing.operations import pending_updates, test_clocks
from portal_site.db import db
from tests import world
from tests.client import PortalClient, text
from tests.conftest import enter
from tests.world import reading

HALF = time_machine.travel(world.HALF, tick=False)


def _fields(shop: world.Shop, price: str = "team", quantity: Any = 1) -> dict[str, str]:
    return {f"price-{shop.item_id}": shop.prices[price].id, f"quantity-{shop.item_id}": str(quantity)}


def _address(shop: world.Shop, end: str = "") -> str:
    return f"/subscriptions/{shop.subscription.id}/plan-change{end}"


def _quote(client: PortalClient, shop: world.Shop, price: str = "team", quantity: Any = 1, **more: str) -> Any:
    return client.get(_address(shop), query_string=_fields(shop, price, quantity) | more)


def _confirm(client: PortalClient, shop: world.Shop, page: Any, **changed: str) -> Any:
    found = re.search(r'name="quote" value="([^"]+)"', page.text)
    assert found, text(page.text)
    return client.send(_address(shop), {"quote": found[1], **changed})


def _apply(client: PortalClient, shop: world.Shop, quantity: int, code: str) -> Any:
    there = f"/subscriptions/{shop.subscription.id}/promotion-code"
    return client.send(there, _fields(shop, quantity=quantity) | {"promotion_code": code})


def _state(shop: world.Shop) -> tuple[Any, int, int]:
    """The item, how many invoices there are, and how many charges."""
    db.session.remove()
    with reading() as reader:
        item = reader.execute(select(SubscriptionItem.__table__).where(SubscriptionItem.id == shop.item_id)).one()
        mine = Invoice.customer_id == shop.customer.id
        invoices = reader.scalar(select(func.count()).select_from(Invoice).where(mine)) or 0
        return item, invoices, reader.scalar(select(func.count()).select_from(SandboxCharge)) or 0


def _untouched(shop: world.Shop) -> bool:
    item, invoices, charges = _state(shop)
    return (item.price_id, item.quantity, invoices, charges) == (shop.prices["team"].id, 1, 1, 0)


@HALF
def test_it_works(app: Flask) -> None:
    shop = world.shop()
    client = enter(app, shop.customer)
    page = _quote(client, shop, quantity=3)
    shown = text(page.text)
    for words in (
        "Unused time: Team 15 of 30 days × €10.00 = €5.00 credit -€5.00",
        "Remaining time: 3 seats × Team 15 of 30 days × €30.00 = €15.00 €15.00",
        "Due today €10.00",
        "Your next invoice comes on May 1, 2026: €30.00.",
        "Change plan and pay €10.00",
    ):
        assert words in shown
    done = _confirm(client, shop, page)
    assert (done.status_code, done.location) == (303, f"/subscriptions/{shop.subscription.id}")
    assert "your plan was changed" in text(client.get(done.location).text)
    item, invoices, charges = _state(shop)
    assert (item.quantity, invoices, charges) == (3, 2, 1)
    with reading() as reader:
        made = reader.execute(select(Invoice.__table__).order_by(Invoice.created.desc()).limit(1)).one()
    assert (made.status, made.total, made.amount_paid, made.number[-5:]) == ("paid", 1000, 1000, "-0002")
    assert "Unused time: Team" in text(client.get(f"/invoices/{made.id}").text)


@HALF
def test_the_quote_alone_is_the_quote_of_the_page(app: Flask) -> None:
    shop = world.shop()
    client = enter(app, shop.customer)
    alone = client.get(_address(shop, "/quote"), query_string=_fields(shop, quantity=2))
    same = re.sub(r'(name="(quote|csrf_token)" value=)"[^"]+"', r"\1", alone.text.strip())
    assert same in re.sub(r'(name="(quote|csrf_token)" value=)"[^"]+"', r"\1", _quote(client, shop, quantity=2).text)


@HALF
def test_the_address_follows_the_quote(app: Flask) -> None:
    shop = world.shop()
    client = enter(app, shop.customer)
    alone = client.get(_address(shop, "/quote"), query_string=_fields(shop, quantity=2))
    there = alone.headers["HX-Replace-Url"]
    assert there.startswith(_address(shop) + "?")
    assert "Due today €5.00" in text(client.get(there).text)


@HALF
def test_the_quote_alone_says_why_nothing_can_be_changed(app: Flask) -> None:
    shop = world.shop(card=world.FAILS)
    client = enter(app, shop.customer)
    _confirm(client, shop, _quote(client, shop, quantity=3))
    alone = client.get(_address(shop, "/quote"), query_string=_fields(shop, quantity=2))
    assert "An invoice of this subscription is not paid yet." in text(alone.text)
    assert 'name="quote"' not in alone.text


@HALF
def test_an_invoice_that_is_open_stands_where_it_hinders(app: Flask) -> None:
    shop = world.scene(last="open")
    client = enter(app, shop.customer)
    for address in (f"/subscriptions/{shop.subscription.id}", f"/subscriptions/{shop.subscription.id}/plan-change"):
        shown = client.get(address).text
        assert "An invoice of this subscription is not paid yet. Pay it before you change your plan." in text(shown)
        assert "Pay €24.00" in text(shown)


@HALF
def test_plans_stand_side_by_side_with_the_current_one_marked(app: Flask) -> None:
    shop = world.shop()
    shown = text(enter(app, shop.customer).get(_address(shop)).text)
    assert "Billed per month Team Current €10.00 per month each Solo €4.00 per month each" in shown
    assert "Billed per year Team €100.00 per year each" in shown
    assert "Choose another plan or quantity to see what it costs." in shown


@HALF
def test_a_downgrade_waits_and_can_be_taken_back(app: Flask) -> None:
    shop = world.shop(policy={"schedule_at_period_end": ("decreasing_item_amount",)})
    client = enter(app, shop.customer)
    page = _quote(client, shop, "solo")
    assert "Until May 1, 2026 everything stays as it is." in text(page.text)
    assert "before: €10.00 €4.00 per month" in text(page.text)
    assert "Nothing is due today." in text(page.text)
    done = _confirm(client, shop, page)
    shown = text(client.get(done.location).text)
    assert "From May 1, 2026: Solo, €4.00 per month" in shown
    assert _untouched(shop)
    client.get(done.location)
    undone = client.send(f"/subscriptions/{shop.subscription.id}/planned-change/removal")
    assert "Your plan goes on as it is." in text(client.get(undone.location).text)
    assert "From May 1" not in text(client.get(undone.location).text)


@HALF
@pytest.mark.case("D6")
def test_a_double_click_and_a_second_tab_change_it_once(app: Flask) -> None:
    shop = world.shop()
    client = enter(app, shop.customer)
    first, second = _quote(client, shop, quantity=3), _quote(client, shop, quantity=3)
    assert _confirm(client, shop, first).status_code == 303
    assert _confirm(client, shop, first).status_code == 303
    assert text(client.get(f"/subscriptions/{shop.subscription.id}").text).count("your plan was changed") == 1
    other_tab = _confirm(client, shop, second)
    assert other_tab.status_code in (409, 422)
    item, invoices, charges = _state(shop)
    assert (item.quantity, invoices, charges) == (3, 2, 1)


@pytest.mark.case("D1")
def test_a_quote_that_is_over_comes_back_with_the_new_amount(app: Flask) -> None:
    with time_machine.travel(world.HALF, tick=False) as traveller:
        shop = world.shop()
        client = enter(app, shop.customer)
        page = _quote(client, shop, quantity=3)
        traveller.shift(31 * 60)
        answer = _confirm(client, shop, page)
        assert answer.status_code == 409
        assert "This quote has expired." in text(answer.text)
        assert "Change plan and pay €9.98" in text(answer.text) or "Change plan and pay €9.99" in text(answer.text)
        assert _untouched(shop)
        assert _confirm(client, shop, answer).status_code == 303


@HALF
@pytest.mark.case("D1")
@pytest.mark.parametrize("moved", ["price", "balance", "discount", "renewed"])
def test_what_moved_since_the_quote_is_shown_and_not_charged(app: Flask, moved: str) -> None:
    shop = world.shop()
    client = enter(app, shop.customer)
    page = _quote(client, shop, quantity=3)
    with world.transaction() as session:
        if moved == "price":
            session.merge(shop.prices["team"]).unit_amount = 1100
        if moved == "balance":
            session.merge(shop.customer).balance = -300
        if moved == "discount":
            made = world.Merchant(session, world.START, session.get(world.Account, shop.customer.account_id))
            made.discount(shop.subscription, made.coupon("Half", percent_off="50"))
        if moved == "renewed":
            item = pending_updates.items_of(session, shop.subscription)[0]
            item.current_period_start, item.current_period_end = world.HALF - 10, world.END + 86400
    answer = _confirm(client, shop, page)
    assert answer.status_code == 409
    assert "have changed since you looked" in text(answer.text)
    assert _untouched(shop)


@HALF
@pytest.mark.case("D1")
def test_a_forged_quote_or_another_customers_changes_nothing(app: Flask) -> None:
    shop, other = world.shop(), world.shop("Other")
    theirs = _quote(enter(app, other.customer), other, quantity=3)
    client = enter(app, shop.customer)
    page = _quote(client, shop, quantity=3)
    signed = re.search(r'name="quote" value="([^"]+)"', page.text)
    assert signed
    their_quote = re.search(r'name="quote" value="([^"]+)"', theirs.text)
    assert their_quote
    # The last character but one: of the last, base64 ignores two bits.
    altered = signed[1][:-2] + ("A" if signed[1][-2] != "A" else "B") + signed[1][-1]
    for forged in (altered, "", "x", their_quote[1]):
        for choice in ({}, _fields(shop, quantity=3)):
            answer = client.send(_address(shop), {"quote": forged, **choice})
            assert answer.status_code == 409
            assert "This quote is not valid." in text(answer.text)
            assert ("Change plan and pay €10.00" in text(answer.text)) == bool(choice)  # with the new quote
            assert _untouched(shop)
    assert client.send(_address(shop)).status_code == 409
    assert _untouched(shop)


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
        ("٣", "Enter a whole number"),
        ("1e3", "Enter a whole number"),
    ],
)
def test_a_quantity_that_cannot_be_says_why(app: Flask, quantity: str, words: str) -> None:
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
    page = _quote(client, shop, quantity=quantity)
    assert page.status_code == 422
    assert words in text(page.text)
    assert 'name="quote"' not in page.text
    field = f"quantity-{shop.item_id}"
    assert f'<a href="#{field}">{words}' in page.text  # in the summary on top
    assert f'id="{field}-error" data-error-of="{field}"><span' in page.text
    if quantity:
        assert f'value="{quantity}"' in page.text
    assert _untouched(shop)


@HALF
@pytest.mark.case("B6")
@pytest.mark.case("D8")
def test_only_what_is_offered_can_be_chosen(app: Flask) -> None:
    shop, other = world.shop(), world.shop("Other")
    client = enter(app, shop.customer)
    for price in (other.prices["solo"].id, "price_none"):
        page = client.get(
            _address(shop), query_string={f"price-{shop.item_id}": price, f"quantity-{shop.item_id}": "1"}
        )
        assert page.status_code == 422
        assert "Choose one of the plans on this page." in text(page.text)
    assert _untouched(shop)
    foreign = {f"price-{other.item_id}": shop.prices["solo"].id, f"quantity-{other.item_id}": "5"}
    page = client.get(_address(shop), query_string=foreign)
    assert page.status_code == 422
    assert "Choose from what your subscription contains." in text(page.text)
    assert _untouched(shop)


@HALF
@pytest.mark.case("B6")
@pytest.mark.case("D8")
@pytest.mark.parametrize(
    "which", ["not in the configuration", "not sold any more", "in dollars", "taxed in another way"]
)
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
    page = client.get(_address(shop), query_string=wanted)
    assert page.status_code == 422
    assert "Choose one of the plans on this page." in text(page.text)
    assert not re.search(rf'type="radio"[^>]+value="{price.id}"', page.text)
    assert _untouched(shop)


def _offer(session: Any, shop: world.Shop, product: dict[str, Any]) -> None:
    """Put a product on offer in the shop's configuration."""
    mine = world.PortalConfiguration.account_id == shop.customer.account_id
    configuration = session.scalars(select(world.PortalConfiguration).where(mine)).one()
    update = configuration.features["subscription_update"]
    products = {"products": [*update["products"], product]}
    configuration.features = configuration.features | {"subscription_update": update | products}


@HALF
def test_more_than_ten_products_are_all_on_offer(app: Flask) -> None:
    shop = world.shop()
    with world.transaction() as session:
        made = world.Merchant(session, world.START, session.get(world.Account, shop.customer.account_id))
        for number in range(16):
            product = made.product(f"Plan {number:02}")
            _offer(session, shop, {"product": product.id, "prices": [made.price(product, 500 + number, "eur").id]})
    page = text(enter(app, shop.customer).get(_address(shop)).text)
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
    page = client.get(_address(shop), query_string=_fields(shop, quantity=3))
    assert "Your next invoice comes on May 1, 2026: €30.00 plus your usage." in text(page.text)


@HALF
def test_the_credit_that_is_used_is_said(app: Flask) -> None:
    shop = world.shop(customer={"balance": -300, "currency": "eur"})
    page = text(_quote(enter(app, shop.customer), shop, quantity=3).text)
    assert "Total €10.00 Credit used -€3.00 Due today €7.00" in page


@HALF
@pytest.mark.parametrize(
    ("behavior", "words"),
    [
        ("end_trial", "Your free trial ends with this change."),
        ("continue_trial", "Your free trial goes on until May 1, 2026."),
    ],
)
def test_what_happens_to_a_trial_is_said(app: Flask, behavior: str, words: str) -> None:
    trial = {"status": "trialing", "trial_start": world.START, "trial_end": world.END}
    shop = world.shop(**trial, billing_cycle_anchor=world.END, policy={"trial_update_behavior": behavior})
    assert words in text(_quote(enter(app, shop.customer), shop, quantity=3).text)


@HALF
def test_the_sum_that_is_shown_comes_out(app: Flask) -> None:
    """Days with as many decimals as that takes: 14.99 of 30 days × €3,600.00 would be 1,798.80."""
    shop = world.shop()
    with world.transaction() as session:
        session.merge(shop.prices["team"]).unit_amount = 360_000
    with time_machine.travel(world.HALF + 777, tick=False):
        page = text(_quote(enter(app, shop.customer), shop, quantity=2).text)
    found = re.search(r"([\d.]+) of 30 days × €7,200.00 = €([\d.,]+)", page)
    assert found
    assert len(found[1].partition(".")[2]) > 2
    shown = Decimal(found[1]) / 30 * 7200
    assert shown.quantize(Decimal("0.01"), ROUND_HALF_UP) == Decimal(found[2].replace(",", ""))


@HALF
@pytest.mark.parametrize(
    ("card", "words"),
    [(world.FAILS, "Your bank declined the payment."), (None, "Add a payment method to make this change.")],
)
def test_without_money_the_old_plan_stays(app: Flask, card: str | None, words: str) -> None:
    shop = world.shop(card=card)
    client = enter(app, shop.customer)
    page = _quote(client, shop, quantity=3)
    if card is None:
        assert words in text(page.text)
        return
    done = _confirm(client, shop, page)
    shown = text(client.get(done.location).text)
    assert words in shown
    assert "takes effect as soon as €10.00 is paid; until then your plan stays as it is." in shown
    assert "You can pay until April 16, 2026, 11:00" in shown
    item, invoices, charges = _state(shop)
    assert (item.quantity, invoices, charges) == (1, 2, 1)
    assert "Take this change back" in text(client.get(_address(shop)).text)


@pytest.mark.case("D3")
@HALF
def test_a_code_takes_off_and_is_used_once(app: Flask) -> None:
    shop = world.shop()
    with world.transaction() as session:
        made = world.Merchant(session, world.START, session.get(world.Account, shop.customer.account_id))
        made.promotion_code("Spring-20", made.coupon("Spring", percent_off="20"))
    client = enter(app, shop.customer)
    client.get(_address(shop))
    applied = _apply(client, shop, 3, " spring-20 ")
    page = client.get(applied.location)
    assert "Your code Spring-20 is used." in text(page.text)
    assert "Discount -€3.00" in text(page.text)
    assert "Due today €7.00" in text(page.text)
    assert _confirm(client, shop, page).status_code == 303
    assert "Spring-20: 20% off" in text(client.get(f"/subscriptions/{shop.subscription.id}").text)
    client.get(_address(shop))
    again = _apply(client, shop, 4, "SPRING-20")
    assert again.status_code == 422
    assert "You have used this code already." in text(again.text)


@HALF
@pytest.mark.case("D3")
def test_codes_cannot_be_guessed(app: Flask) -> None:
    shop, other = world.shop(), world.shop("Other")
    with world.transaction() as session:
        made = world.Merchant(session, world.START, session.get(world.Account, other.customer.account_id))
        made.promotion_code("THEIRS", made.coupon("Theirs", percent_off="20"))
    client = enter(app, shop.customer)
    client.get(_address(shop))
    answers = [_apply(client, shop, 2, code) for code in ["THEIRS", *"ABCDEFGHIJ"]]
    assert all(answer.status_code == 422 for answer in answers)
    assert all("There is no such code." in text(answer.text) for answer in answers[:10])
    assert "Too many codes were tried." in text(answers[10].text)
    assert 'value="THEIRS"' in answers[0].text
    assert "There is no such code." not in text(_quote(client, shop, quantity=2, code="THEIRS").text)
    assert " is used." not in text(_quote(client, shop, quantity=2, code="THEIRS").text)


@HALF
def test_a_planned_change_gives_way_to_a_new_one(app: Flask) -> None:
    shop = world.shop(policy={"schedule_at_period_end": ("decreasing_item_amount",)})
    client = enter(app, shop.customer)
    _confirm(client, shop, _quote(client, shop, "solo"))
    page = _quote(client, shop, quantity=2)
    assert "What you choose now takes its place." in text(page.text)
    assert _confirm(client, shop, page).status_code == 303
    assert "From May 1" not in text(client.get(f"/subscriptions/{shop.subscription.id}").text)
    with reading() as reader:
        assert sorted(reader.scalars(select(PlanChange.outcome))) == ["applied", "scheduled"]


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"collection_method": "send_invoice", "days_until_due": 14}, "You pay this subscription by invoice."),
        ({"pause_collection": {"behavior": "void"}}, "This subscription is paused."),
        ({"cancel_at_period_end": True}, "This subscription is about to end."),
        ({"status": "canceled"}, "This subscription has ended."),
    ],
)
@HALF
def test_a_subscription_that_cannot_be_changed_says_why(app: Flask, members: dict[str, Any], words: str) -> None:
    shop = world.shop(**members)
    client = enter(app, shop.customer)
    page = client.get(_address(shop))
    assert words in text(page.text)
    assert '<form class="stack"' not in page.text
    if members.get("status") != "canceled":
        assert words in text(client.get(f"/subscriptions/{shop.subscription.id}").text)


def test_a_customer_on_a_test_clock_lives_at_its_time(app: Flask) -> None:
    shop = world.shop()
    clock = test_clocks.create(world.HALF, world.START, shop.customer.account_id)
    test_clocks.attach(clock.id, shop.customer.id)
    client = enter(app, shop.customer)
    page = client.get("/")
    assert "Test mode, at April 16, 2026" in text(page.text)
    quote = _quote(client, shop, quantity=2)
    assert "15 of 30 days" in text(quote.text)
    assert _confirm(client, shop, quote).status_code == 303
    with reading() as reader:
        assert reader.scalar(select(func.max(Invoice.created))) == world.HALF
    client.send("/log-out")
    assert client.get("/").status_code == 403
