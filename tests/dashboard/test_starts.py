"""Starting a customer's subscription in the dashboard: the form, its quote, the confirmation, and what came of it."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import func, select, update
from werkzeug.test import TestResponse

from portal_site.billing.billing_run import test_clocks
from portal_site.billing.models import (
    Account,
    Coupon,
    Customer,
    Event,
    Invoice,
    PlanChange,
    Price,
    PromotionCode,
    Subscription,
)
from portal_site.db.transactions import transaction
from tests import world
from tests.client import PortalClient, parse, text
from tests.dashboard.counter import START
from tests.dashboard.desk import Desk
from tests.dashboard.test_customers import _address, _customer_id, _everything
from tests.world import reading

CHARGED = {**START, "collection_method": "charge_automatically"}
Break = Callable[[Desk], dict[str, str]]


def _here(desk: Desk, rest: str = "") -> str:
    return _address(desk, f"{_customer_id(desk)}/subscriptions{rest and '/'}{rest}")


def _form(desk: Desk, price: str = "solo", **typed: str) -> dict[str, str]:
    """The form as browsers send it, with its empty rows."""
    rows = {f"add_ons-{number}-{name}": "" for number in range(2) for name in ("price", "quantity")}
    return {**CHARGED, **rows, "price": desk.shop.prices[price].id, **typed}


def _token(page: str) -> str:
    found = re.search(r'name="quote" value="([^"]+)"', page)
    assert found, text(page)
    return found[1]


def _quote(desk: Desk, form: dict[str, str]) -> TestResponse:
    desk.client.get(_here(desk, "new"))
    return desk.client.send(_here(desk, "quote"), form)


def _start(desk: Desk, form: dict[str, str]) -> TestResponse:
    return desk.client.send(_here(desk), {**form, "quote": _token(_quote(desk, form).text)})


def _error(page: str, field: str) -> str:
    return next("".join(one.itertext()) for one in parse(page).iter("p") if one.get("id") == f"{field}-error")


def _count(desk: Desk, kind: Any) -> int:
    with desk.app.app_context(), reading() as reader:
        return int(reader.scalar(select(func.count()).where(kind.customer_id == _customer_id(desk))) or 0)


def _newest(desk: Desk) -> Any:
    with desk.app.app_context(), reading() as reader:
        mine = select(Subscription.__table__).where(
            Subscription.customer_id == _customer_id(desk), Subscription.id != desk.shop.subscription.id
        )
        return reader.execute(mine).one()


def _use_card(desk: Desk, number: str | None) -> None:
    """Let the customer have this card alone."""
    with desk.app.app_context(), transaction() as session:
        customer = session.get(Customer, _customer_id(desk))
        assert customer is not None
        customer.default_payment_method_id = None
        if number:
            world.Merchant(session, world.HALF, session.get(Account, desk.account_id)).method(customer, number)


def _add(desk: Desk, what: Callable[[world.Merchant], Any]) -> Any:
    """Something more of the merchant's."""
    with desk.app.app_context(), transaction() as session:
        return what(world.Merchant(session, world.HALF, session.get(Account, desk.account_id)))


def test_the_customers_page_leads_to_the_form(desk: Desk) -> None:
    assert f'href="{_here(desk, "new")}"' in desk.client.get(_address(desk, _customer_id(desk))).text
    page = desk.client.get(_here(desk, "new"))
    groups = [one.get("label") for one in parse(page.text).iter("optgroup")]
    assert groups[:4] == ["Solo", "Storage", "Support", "Team"]
    assert "Choose a plan to see what it costs." in text(page.text)
    assert "Start the subscription" not in text(page.text)


def test_a_subscription_starts_once_on_the_terms_of_its_quote(desk: Desk) -> None:
    form = _form(desk, quantity="3", **{"add_ons-1-price": desk.shop.prices["storage"].id, "add_ons-1-quantity": "2"})
    quoted = _quote(desk, form)
    page = text(quoted.text)
    for words in ("3 × Solo", "2 × Storage", "Due today €18.00", "on May 16, 2026, will be €18.00"):
        assert words in page
    before = _count(desk, Event)
    token = _token(quoted.text)
    done = desk.client.send(_here(desk), {**form, "quote": token})
    assert done.status_code == 303
    assert "Solo, Storage has begun, and €18.00 was paid." in text(desk.client.get(done.location).text)
    invoices = _count(desk, Invoice)
    again = desk.client.send(_here(desk), {**form, "quote": token})
    assert (again.status_code, again.location) == (303, done.location)
    assert (_count(desk, Invoice), _count(desk, PlanChange)) == (invoices, 1)
    assert (_newest(desk).status, _newest(desk).livemode) == ("active", False)
    with desk.app.app_context(), reading() as reader:
        new = select(Event.actor_type).where(Event.customer_id == _customer_id(desk)).order_by(Event.sequence)
        actors = list(reader.scalars(new))[before:]
    assert set(actors) == {"user"}


def test_the_fragment_says_what_the_page_says(desk: Desk) -> None:
    form = _form(desk, quantity="2", trial="days", trial_days="14")
    desk.client.get(_here(desk, "new"))
    whole = desk.client.send(_here(desk, "quote"), form)
    part = desk.client.send(_here(desk, "quote"), form, headers={"HX-Request": "true"})
    assert part.text.lstrip().startswith('<section id="quote"')
    assert text(part.text) in text(whole.text)
    assert "Due today €0.00" in text(part.text)
    assert "The trial ends on April 30, 2026." in text(part.text)
    wrong = desk.client.send(_here(desk, "quote"), {**form, "quantity": "0"}, headers={"HX-Request": "true"})
    assert "Enter a whole number from 1 to 999,999." in text(wrong.text)
    assert "Start the subscription" not in text(wrong.text)


def test_more_rows_keep_what_was_typed(desk: Desk) -> None:
    page = _quote(desk, _form(desk, quantity="7", rows="more", code="HELLO"))
    assert page.status_code == 200
    assert 'name="add_ons-3-price"' in page.text
    assert 'value="7"' in page.text
    assert 'value="HELLO"' in page.text


def _archived(desk: Desk) -> dict[str, str]:
    with desk.app.app_context(), transaction() as session:
        mine = Price.account_id == desk.account_id, Price.id == desk.shop.prices["solo"].id
        session.execute(update(Price).where(*mine).values(active=False))
    return {}


def _once(desk: Desk) -> dict[str, str]:
    one_time = {"type": "one_time", "interval": None, "interval_count": None}
    return {"price": _add(desk, lambda made: made.price(made.product("Once"), 500, "eur", **one_time)).id}


def _dollars(desk: Desk) -> dict[str, str]:
    return {"price": _add(desk, lambda made: made.price(made.product("Dollars"), 500, "usd")).id}


def _foreign(desk: Desk) -> dict[str, str]:
    with desk.app.app_context():
        return {"price": world.shop("Other").prices["solo"].id}


def _code(desk: Desk, **members: Any) -> dict[str, str]:
    coupon = {name: members.pop(name) for name in ("percent_off", "applies_to_products") if name in members}
    _add(
        desk,
        lambda made: made.promotion_code("SAVE", made.coupon("Save", **{"percent_off": "50", **coupon}), **members),
    )
    return {"code": "save"}


def _foreign_code(desk: Desk) -> dict[str, str]:
    with desk.app.app_context():
        other = world.shop("Other")
        with transaction() as session:
            made = world.Merchant(session, world.HALF, session.get(Account, other.customer.account_id))
            made.promotion_code("THEIRS", made.coupon("Theirs", percent_off="50"))
    return {"code": "THEIRS"}


def _foreign_coupon(desk: Desk) -> dict[str, str]:
    with desk.app.app_context():
        other = world.shop("Other")
        with transaction() as session:
            made = world.Merchant(session, world.HALF, session.get(Account, other.customer.account_id))
            return {"coupon": made.coupon("Theirs", percent_off="50").id}


def _typed(**typed: str) -> Break:
    return lambda desk: typed


@pytest.mark.parametrize(
    ("wrong", "field", "words"),
    [
        (_archived, "price", "This price is archived."),
        (_once, "price", "This price is paid once."),
        (_dollars, "price", "This customer pays in EUR, and this price is in USD."),
        (_foreign, "price", "There is no such price."),
        (_typed(price=""), "price", "Choose a plan."),
        (_typed(price="a\0b"), "price", "There is no such price."),
        (_typed(quantity="0"), "quantity", "from 1 to 999,999"),
        (_typed(quantity="-1"), "quantity", "from 1 to 999,999"),
        (_typed(quantity="1000000000000"), "quantity", "from 1 to 999,999"),
        (_typed(quantity="9" * 40), "quantity", "from 1 to 999,999"),
        (_typed(quantity="two"), "quantity", "Not a valid integer value."),
        (_typed(trial="days", trial_days="-1"), "trial_days", "from 1 to 730"),
        (_typed(trial="days", trial_days="731"), "trial_days", "from 1 to 730"),
        (_typed(trial="days"), "trial_days", "Enter a number of days."),
        (_typed(trial="until"), "trial_last_day", "Choose a day."),
        (_typed(trial="until", trial_last_day="2026-04-14"), "trial_last_day", "Choose a time in the future."),
        (_typed(trial="until", trial_last_day="2029-01-01"), "trial_last_day", "within 730 days"),
        (_typed(trial="until", trial_last_day="9999-12-31"), "trial_last_day", "within the next five years"),
        (_typed(trial="until", trial_last_day="31.2.2026"), "trial_last_day", "Not a valid date value."),
        (_typed(trial="forever"), "trial", "Not a valid choice."),
        (_typed(code="NONE"), "code", "There is no such code for this customer."),
        (_typed(code="x" * 501), "code", "at most 500 characters"),
        (lambda desk: _code(desk, expires_at=world.START), "code", "This code has expired."),
        (lambda desk: _code(desk, active=False), "code", "This code has expired."),
        (lambda desk: _code(desk, applies_to_products=["prod_x"]), "code", "any of the chosen products"),
        (lambda desk: _code(desk, minimum_amount=401, minimum_amount_currency="eur"), "code", "below the minimum"),
        (lambda desk: _code(desk, first_time_transaction=True), "code", "for a first purchase only"),
        (_foreign_code, "code", "There is no such code for this customer."),
        (_foreign_coupon, "coupon", "There is no such coupon."),
        (lambda desk: {**_code(desk), "coupon": "cpn_x"}, "code", "either a promotion code or a coupon"),
        (_typed(collection_method="send_invoice", days_until_due="-1"), "days_until_due", "from 0 to 365"),
        (_typed(collection_method="send_invoice", days_until_due=""), "days_until_due", "Please fill in"),
        (_typed(collection_method="by_pigeon"), "collection_method", "Not a valid choice."),
        (_typed(tax_rates="txr_none"), "tax_rates", "not a valid choice"),
        (_typed(**{"add_ons-0-price": "price_none"}), "add_ons-0-price", "There is no such price."),
        (_typed(**{"add_ons-1-price": "price_none"}), "add_ons-1-price", "There is no such price."),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_at_its_field(desk: Desk, wrong: Break, field: str, words: str) -> None:
    token = _token(_quote(desk, _form(desk)).text)
    form = {**_form(desk), **wrong(desk)}
    before = _everything()
    for sent in (_quote(desk, form), desk.client.send(_here(desk), {**form, "quote": token})):
        assert sent.status_code == 422
        assert words in _error(sent.text, field)
        assert f'href="#{field}"' in sent.text
    assert _everything() == before


def test_without_its_own_quote_nothing_starts(desk: Desk) -> None:
    form = _form(desk)
    token = _token(_quote(desk, form).text)
    before = _everything()
    for quote, typed in (
        (token, {"quantity": "2"}),
        (token[:-2], {}),
        ("", {}),
        (token, {"trial": "days", "trial_days": "1"}),
    ):
        refused = desk.client.send(_here(desk), {**form, **typed, "quote": quote})
        assert refused.status_code == 409
        assert "check" in text(refused.text)
        assert _token(refused.text) != token
    assert _everything() == before


def test_an_amount_that_has_changed_since_is_shown_anew(desk: Desk) -> None:
    form = _form(desk)
    token = _token(_quote(desk, form).text)
    with desk.app.app_context(), transaction() as session:
        mine = Customer.account_id == desk.account_id, Customer.id == _customer_id(desk)
        session.execute(update(Customer).where(*mine).values(balance=-150))
    refused = desk.client.send(_here(desk), {**form, "quote": token})
    assert refused.status_code == 409
    page = text(refused.text)
    assert "The amount or the terms have changed since you looked." in page
    assert "Credit used -€1.50 Due today €2.50" in page.replace("−", "-")
    assert _count(desk, PlanChange) == 0
    assert desk.client.send(_here(desk), {**form, "quote": _token(refused.text)}).status_code == 303


@pytest.mark.parametrize(
    ("card", "words"),
    [
        (
            world.FAILS,
            "The payment of €4.00 failed: the bank declined it. Solo begins once it is paid, within 23 hours.",
        ),
        (world.ASKS, "The customer’s bank wants the customer to confirm the payment of €4.00."),
    ],
)
def test_who_has_to_pay_or_to_confirm_gets_a_link(desk: Desk, card: str, words: str) -> None:
    _use_card(desk, card)
    done = _start(desk, _form(desk))
    page = desk.client.get(done.location).text
    assert words in text(page)
    link = re.search(r"<code>(http[^<]+/m/[^<]+)</code>", page)
    assert link
    theirs = PortalClient(desk.app).get(link[1].partition("/m/")[1] + link[1].partition("/m/")[2])
    assert "€4.00" in text(theirs.text)
    assert _newest(desk).status == "incomplete"
    assert "/m/" not in desk.client.get(_address(desk, _customer_id(desk))).text
    foreign = desk.client.get(f"{_address(desk, _customer_id(desk))}?started=sub_none")
    assert foreign.status_code == 200


def test_who_cannot_be_charged_is_refused_with_what_to_do(desk: Desk) -> None:
    _use_card(desk, None)
    quoted = _quote(desk, _form(desk))
    assert "This customer has no payment method to charge. Send invoices, begin with a trial," in text(quoted.text)
    assert "Due today €4.00" in text(quoted.text)
    assert "Start the subscription" not in text(quoted.text)
    trial = _form(desk, trial="days", trial_days="14", missing_payment_method="cancel")
    page = text(_quote(desk, trial).text)
    assert "ends with it unless the customer has added a payment method" in page
    unpaid = text(_quote(desk, {**trial, "missing_payment_method": "create_invoice"}).text)
    assert "There is no payment method yet. The first invoice stays unpaid until there is one." in unpaid
    assert "Solo" in text(desk.client.get(_start(desk, trial).location).text)
    assert (_newest(desk).status, _newest(desk).cancel_at) == ("trialing", world.HALF + 14 * 86400)


def test_a_method_that_went_since_the_quote_is_missed(desk: Desk) -> None:
    form = _form(desk)
    token = _token(_quote(desk, form).text)
    _use_card(desk, None)
    before = _everything()
    refused = desk.client.send(_here(desk), {**form, "quote": token})
    assert refused.status_code == 422
    assert "no payment method to charge" in _error(refused.text, "collection_method")
    assert _everything() == before


def test_invoices_can_be_sent_instead(desk: Desk) -> None:
    form = _form(desk, collection_method="send_invoice", days_until_due="14")
    assert "The invoice of today is to be paid until April 30, 2026." in text(_quote(desk, form).text)
    page = text(desk.client.get(_start(desk, form).location).text)
    assert re.search(r"Solo has begun\. Invoice \w+-0002 over €4\.00 is to be paid until April 30, 2026\.", page)
    assert "/m/" in page


def test_a_price_brings_its_usual_trial_and_a_coupon_its_discount(desk: Desk) -> None:
    def stock(made: world.Merchant) -> tuple[str, str]:
        price = made.price(made.product("Trial"), 900, "eur", trial_period_days=7)
        return price.id, made.coupon("Third", percent_off="33.33", duration="once").id

    price, coupon = _add(desk, stock)
    page = desk.client.get(_here(desk, "new")).text
    assert "Trial: €9.00 per month (7 days of trial)" in text(page)
    assert "Third: 33.33% off one invoice" in text(page)
    form = {**_form(desk, trial="price", coupon=coupon), "price": price}
    shown = text(_quote(desk, form).text)
    for words in ("The trial ends on April 23, 2026.", "on April 23, 2026, will be €6.00.", "Discount"):
        assert words in shown
    done = _start(desk, form)
    assert "The trial of Trial has begun. It ends on April 23, 2026." in text(desk.client.get(done.location).text)
    with desk.app.app_context(), reading() as reader:
        assert reader.scalar(select(Coupon.times_redeemed).where(Coupon.id == coupon)) == 1
        assert reader.scalar(select(func.count()).select_from(PromotionCode)) == 0


def test_customers_on_a_test_clock_start_at_their_own_time(desk: Desk) -> None:
    moment = world.START + 3 * 86400
    with desk.app.app_context():
        clock = test_clocks.create(moment, moment, desk.account_id)
        test_clocks.attach(clock.id, _customer_id(desk))
    form = _form(desk, "team", quantity="2", trial="until", trial_last_day="2026-04-05")
    page = text(_quote(desk, form).text)
    assert "The trial ends on April 6, 2026." in page
    assert "Team is in another subscription of this customer already." in page
    assert _start(desk, form).status_code == 303
    assert (_newest(desk).created, _newest(desk).trial_end) == (moment, world.START + 5 * 86400)


def test_two_hundred_prices_stay_a_page_to_choose_from(desk: Desk) -> None:
    def many(made: world.Merchant) -> None:
        for number in range(100):
            product = made.product(f"Thing {number:03}")
            for every in ("month", "year"):
                made.price(product, 100 + number, "eur", every)

    _add(desk, many)
    page = desk.client.get(_here(desk, "new")).text
    assert page.count("Thing 042: €1.42 per year") == 3  # the plan, and two rows for add-ons
    assert len(page) < 200_000
