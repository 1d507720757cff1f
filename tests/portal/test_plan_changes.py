"""Changing plan and quantity: the quoted price is charged, and all invalid requests."""

import re
from typing import Any

import pytest
import time_machine
from flask import Flask
from sqlalchemy import func, select, update

from portal_site.billing.billing_run import test_clocks
from portal_site.billing.changes import plan_changes
from portal_site.billing.models import Invoice, PlanChange, SubscriptionItem
from portal_site.billing.subscriptions import subscription_items
from tests import world
from tests.client import text
from tests.conftest import enter
from tests.portal.changing import HALF, address, apply_code, confirm, fields, quote, state, untouched
from tests.world import reading


@HALF
@pytest.mark.both_databases
def test_changing_the_plan(app: Flask) -> None:
    shop = world.shop()
    client = enter(app, shop.customer)
    page = quote(client, shop, quantity=3)
    shown = text(page.text)
    for words in (
        "Unused time: Team 15 of 30 days × €10.00 = €5.00 credit −€5.00",
        "Remaining time: 3 seats × Team 15 of 30 days × €30.00 = €15.00 €15.00",
        "Due today €10.00",
        "Your next invoice, on May 1, 2026, will be €30.00.",
        "Change plan and pay €10.00",
    ):
        assert words in shown
    done = confirm(client, shop, page)
    assert (done.status_code, done.location) == (303, f"{_newest_invoice()}/paid?what=plan_change")
    assert "€10.00 was charged to Visa •••• 4242 on April 16, 2026." in text(client.get(done.location).text)
    assert "your plan was changed" in text(client.get(done.location).text)
    item, invoices, charges = state(shop)
    assert (item.quantity, invoices, charges) == (3, 2, 1)
    with reading() as reader:
        made = reader.execute(select(Invoice.__table__).order_by(Invoice.created.desc()).limit(1)).one()
    assert (made.status, made.total, made.amount_paid, made.number[-5:]) == ("paid", 1000, 1000, "-0002")
    assert "Unused time: Team" in text(client.get(f"/invoices/{made.id}").text)


@HALF
def test_the_quote_alone_is_the_quote_of_the_page(app: Flask) -> None:
    shop = world.shop()
    client = enter(app, shop.customer)
    alone = client.get(address(shop, "/quote"), query_string=fields(shop, quantity=2))
    card, bar, rest = _parts(alone.text)
    assert rest.strip() == ""
    assert (card, bar.replace(' hx-swap-oob="true"', "")) == _parts(quote(client, shop, quantity=2).text)[:2]


def _newest_invoice() -> str:
    with reading() as reader:
        return f"/invoices/{reader.scalar(select(Invoice.id).order_by(Invoice.created.desc()).limit(1))}"


def _parts(markup: str) -> tuple[str, str, str]:
    """The card with the quote and the bar of phones, without what is signed anew each time, and the rest after them."""
    plain = re.sub(r'(name="(quote|csrf_token)" value=)"[^"]+"', r"\1", re.sub(r"\s+", " ", markup))
    card, _, after = plain[plain.index('<section id="quote"') :].partition("</section>")
    bar, _, rest = after[after.index("<div") :].partition("</div>")
    return card, bar, rest


@HALF
def test_the_address_follows_the_quote(app: Flask) -> None:
    shop = world.shop()
    client = enter(app, shop.customer)
    alone = client.get(address(shop, "/quote"), query_string=fields(shop, quantity=2))
    there = alone.headers["HX-Replace-Url"]
    assert there.startswith(address(shop) + "?")
    assert "Due today €5.00" in text(client.get(there).text)


@HALF
def test_the_quote_alone_says_why_nothing_can_be_changed(app: Flask) -> None:
    shop = world.shop(card=world.FAILS)
    client = enter(app, shop.customer)
    confirm(client, shop, quote(client, shop, quantity=3))
    alone = client.get(address(shop, "/quote"), query_string=fields(shop, quantity=2))
    assert "An invoice for this subscription is unpaid." in text(alone.text)
    assert 'name="quote"' not in alone.text


@HALF
def test_an_invoice_that_is_open_stands_where_it_hinders(app: Flask) -> None:
    shop = world.scene(last="open")
    client = enter(app, shop.customer)
    for there in (f"/subscriptions/{shop.subscription.id}", f"/subscriptions/{shop.subscription.id}/plan-change"):
        shown = client.get(there).text
        assert "An invoice for this subscription is unpaid. Pay it before you change your plan." in text(shown)
        assert "Pay €24.00" in text(shown)


@HALF
def test_plans_stand_side_by_side_with_the_current_one_marked(app: Flask) -> None:
    shop = world.shop()
    shown = text(enter(app, shop.customer).get(address(shop)).text)
    assert "Monthly Yearly 2 months free Team Current €10.00 per month each Solo €4.00 per month each" in shown
    assert "Choose another plan or quantity to see what it costs." in shown


@HALF
def test_a_month_in_place_of_a_year_says_what_a_year_costs(app: Flask) -> None:
    shop = world.shop(policy={"schedule_at_period_end": ("shortening_interval",)})
    with world.transaction() as session:
        mine = SubscriptionItem.account_id == shop.customer.account_id
        session.execute(update(SubscriptionItem).where(mine).values(price_id=shop.prices["year"].id))
    shown = text(quote(enter(app, shop.customer), shop, "team").text)
    assert "€10.00 per month each €120.00 per year in all" in shown
    assert "before: €100.00 per year €10.00 per month €120.00 per year in all" in shown


@HALF
@pytest.mark.both_databases
def test_a_downgrade_waits_and_can_be_taken_back(app: Flask) -> None:
    shop = world.shop(policy={"schedule_at_period_end": ("decreasing_item_amount",)})
    client = enter(app, shop.customer)
    page = quote(client, shop, "solo")
    assert "Nothing changes until May 1, 2026." in text(page.text)
    assert "before: €10.00 €4.00 per month" in text(page.text)
    assert "Nothing is due today." in text(page.text)
    done = confirm(client, shop, page)
    shown = text(client.get(done.location).text)
    assert "From May 1, 2026: Solo, €4.00 per month" in shown
    assert untouched(shop)
    client.get(done.location)
    undone = client.send(f"/subscriptions/{shop.subscription.id}/planned-change/removal")
    assert "Your plan continues as it is." in text(client.get(undone.location).text)
    assert "From May 1" not in text(client.get(undone.location).text)


@HALF
@pytest.mark.case("D6")
@pytest.mark.both_databases
def test_a_double_click_and_a_second_tab_change_it_once(app: Flask) -> None:
    shop = world.shop()
    client = enter(app, shop.customer)
    first, second = quote(client, shop, quantity=3), quote(client, shop, quantity=3)
    places = {confirm(client, shop, first).location for _ in range(2)}
    assert places == {f"{_newest_invoice()}/paid?what=plan_change"}
    assert text(client.get(places.pop()).text).count("your plan was changed") == 1
    other_tab = confirm(client, shop, second)
    assert other_tab.status_code in (409, 422)
    item, invoices, charges = state(shop)
    assert (item.quantity, invoices, charges) == (3, 2, 1)


@pytest.mark.case("D1")
def test_an_expired_quote_is_shown_again_with_the_new_amount(app: Flask) -> None:
    with time_machine.travel(world.HALF, tick=False) as traveller:
        shop = world.shop()
        client = enter(app, shop.customer)
        page = quote(client, shop, quantity=3)
        traveller.shift(31 * 60)
        answer = confirm(client, shop, page)
        assert answer.status_code == 409
        assert "This quote has expired." in text(answer.text)
        assert "Change plan and pay €9.98" in text(answer.text) or "Change plan and pay €9.99" in text(answer.text)
        assert untouched(shop)
        assert confirm(client, shop, answer).status_code == 303


@HALF
@pytest.mark.case("D1")
@pytest.mark.parametrize("moved", ["price", "balance", "discount", "renewed"])
@pytest.mark.both_databases
def test_a_changed_quote_is_shown_and_not_charged(app: Flask, moved: str) -> None:
    shop = world.shop()
    client = enter(app, shop.customer)
    page = quote(client, shop, quantity=3)
    with world.transaction() as session:
        if moved == "price":
            session.merge(shop.prices["team"]).unit_amount = 1100
        if moved == "balance":
            session.merge(shop.customer).balance = -300
        if moved == "discount":
            made = world.Merchant(session, world.START, session.get(world.Account, shop.customer.account_id))
            made.discount(shop.subscription, made.coupon("Half", percent_off="50"))
        if moved == "renewed":
            item = subscription_items.load_items(session, shop.subscription)[0]
            item.current_period_start, item.current_period_end = world.HALF - 10, world.END + 86400
    answer = confirm(client, shop, page)
    assert answer.status_code == 409
    assert "have changed since you looked" in text(answer.text)
    assert untouched(shop)


@HALF
@pytest.mark.case("D1")
def test_the_quote_after_a_refusal_has_the_balance_of_then(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = world.shop()
    client = enter(app, shop.customer)
    page = quote(client, shop, quantity=3)

    def after_another_one(*given: Any) -> PlanChange:
        monkeypatch.undo()
        with world.transaction() as session:
            session.merge(shop.customer).balance = -300
        return plan_changes.change_plan(*given)

    monkeypatch.setattr(plan_changes, "change_plan", after_another_one)
    answer = confirm(client, shop, page)
    assert (answer.status_code, "Change plan and pay €7.00" in text(answer.text)) == (409, True)
    assert untouched(shop)
    assert confirm(client, shop, answer).status_code == 303


@HALF
@pytest.mark.case("D1")
@pytest.mark.both_databases
def test_a_forged_quote_or_another_customers_changes_nothing(app: Flask) -> None:
    shop, other = world.shop(), world.shop("Other")
    theirs = quote(enter(app, other.customer), other, quantity=3)
    client = enter(app, shop.customer)
    page = quote(client, shop, quantity=3)
    signed = re.search(r'name="quote" value="([^"]+)"', page.text)
    assert signed
    their_quote = re.search(r'name="quote" value="([^"]+)"', theirs.text)
    assert their_quote
    # The last character but one: of the last, base64 ignores two bits.
    altered = signed[1][:-2] + ("A" if signed[1][-2] != "A" else "B") + signed[1][-1]
    for forged in (altered, "", "x", their_quote[1]):
        for choice in ({}, fields(shop, quantity=3)):
            answer = client.send(address(shop), {"quote": forged, **choice})
            assert answer.status_code == 409
            assert "This quote is not valid." in text(answer.text)
            assert ("Change plan and pay €10.00" in text(answer.text)) == bool(choice)  # with the new quote
            assert untouched(shop)
    assert client.send(address(shop)).status_code == 409
    assert untouched(shop)


@HALF
@pytest.mark.parametrize(
    ("card", "words"),
    [(world.FAILS, "Your bank declined the payment."), (None, "Add a payment method to make this change.")],
)
def test_a_declined_change_keeps_the_old_plan(app: Flask, card: str | None, words: str) -> None:
    shop = world.shop(card=card)
    client = enter(app, shop.customer)
    page = quote(client, shop, quantity=3)
    if card is None:
        assert words in text(page.text)
        return
    done = confirm(client, shop, page)
    shown = text(client.get(done.location).text)
    assert words in shown
    assert "takes effect as soon as €10.00 is paid. Until then, your plan stays as it is." in shown
    assert "You can pay until April 16, 2026 at 11:00" in shown
    item, invoices, charges = state(shop)
    assert (item.quantity, invoices, charges) == (1, 2, 1)
    assert "Undo this change" in text(client.get(address(shop)).text)


@pytest.mark.case("D3")
@HALF
@pytest.mark.both_databases
def test_a_code_is_applied_and_redeemed_once(app: Flask) -> None:
    shop = world.shop()
    with world.transaction() as session:
        made = world.Merchant(session, world.START, session.get(world.Account, shop.customer.account_id))
        made.promotion_code("Spring-20", made.coupon("Spring", percent_off="20"))
    client = enter(app, shop.customer)
    client.get(address(shop))
    applied = apply_code(client, shop, 3, " spring-20 ")
    page = client.get(applied.location)
    assert "Code Spring-20 applied." in text(page.text)
    assert "Discount −€3.00" in text(page.text)
    assert "Due today €7.00" in text(page.text)
    assert confirm(client, shop, page).status_code == 303
    assert "Spring-20: 20% off" in text(client.get(f"/subscriptions/{shop.subscription.id}").text)
    back = client.get(applied.location)
    assert "This change has been made. Your code is applied." in text(back.text)
    assert "already used" not in text(back.text)
    client.get(address(shop))
    again = apply_code(client, shop, 4, "SPRING-20")
    assert again.status_code == 422
    assert "You have already used this code." in text(again.text)


@HALF
@pytest.mark.case("D3")
@pytest.mark.both_databases
def test_codes_cannot_be_guessed(app: Flask) -> None:
    shop, other = world.shop(), world.shop("Other")
    with world.transaction() as session:
        made = world.Merchant(session, world.START, session.get(world.Account, other.customer.account_id))
        made.promotion_code("THEIRS", made.coupon("Theirs", percent_off="20"))
    client = enter(app, shop.customer)
    client.get(address(shop))
    answers = [apply_code(client, shop, 2, code) for code in ["THEIRS", *"ABCDEFGHIJ"]]
    assert all(answer.status_code == 422 for answer in answers)
    assert all("We could not find this code." in text(answer.text) for answer in answers[:10])
    assert "Too many codes were tried." in text(answers[10].text)
    assert 'value="THEIRS"' in answers[0].text
    assert "We could not find this code." not in text(quote(client, shop, quantity=2, code="THEIRS").text)
    assert " applied." not in text(quote(client, shop, quantity=2, code="THEIRS").text)


@HALF
@pytest.mark.both_databases
def test_a_planned_change_is_replaced_by_a_new_one(app: Flask) -> None:
    shop = world.shop(policy={"schedule_at_period_end": ("decreasing_item_amount",)})
    client = enter(app, shop.customer)
    confirm(client, shop, quote(client, shop, "solo"))
    page = quote(client, shop, quantity=2)
    assert "What you choose now will replace it." in text(page.text)
    assert confirm(client, shop, page).status_code == 303
    assert "From May 1" not in text(client.get(f"/subscriptions/{shop.subscription.id}").text)
    with reading() as reader:
        assert sorted(reader.scalars(select(PlanChange.outcome))) == ["applied", "scheduled"]


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"collection_method": "send_invoice", "days_until_due": 14}, "You pay this subscription by invoice."),
        ({"pause_collection": {"behavior": "void"}}, "This subscription is paused."),
        ({"cancel_at_period_end": True}, "This subscription is set to end, so it cannot be changed."),
        ({"status": "canceled"}, "This subscription has ended."),
    ],
)
@HALF
def test_a_subscription_that_cannot_be_changed_says_why(app: Flask, members: dict[str, Any], words: str) -> None:
    shop = world.shop(**members)
    client = enter(app, shop.customer)
    page = client.get(address(shop))
    assert words in text(page.text)
    assert '<form class="stack"' not in page.text
    if members.get("status") != "canceled":
        assert words in text(client.get(f"/subscriptions/{shop.subscription.id}").text)


@pytest.mark.both_databases
def test_a_customer_on_a_test_clock_sees_its_time(app: Flask) -> None:
    shop = world.shop()
    clock = test_clocks.create(world.HALF, world.START, shop.customer.account_id)
    test_clocks.attach(clock.id, shop.customer.id)
    client = enter(app, shop.customer)
    page = client.get("/")
    assert "Test mode April 16, 2026" in text(page.text)
    page = quote(client, shop, quantity=2)
    assert "15 of 30 days" in text(page.text)
    assert confirm(client, shop, page).status_code == 303
    with reading() as reader:
        assert reader.scalar(select(func.max(Invoice.created))) == world.HALF
    client.send("/log-out")
    assert client.get("/").status_code == 403
