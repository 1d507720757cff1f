"""Subscriptions: their items, the next invoice to the cent, and scheduled changes in words."""

import re
from typing import Any

import pytest

from portal_site.demo.builder import DAY, Discounted, Merchant
from tests import world
from tests.client import text
from tests.conftest import Visit


def _page(visit: Visit, build: object) -> str:
    with world.merchant() as made:
        customer = made.customer("Hedda", "hedda@acme.example", "one state")
        subscription = build(made, customer)  # type: ignore[operator]
    return text(visit(customer).get(f"/subscriptions/{subscription.id}").text)


def _plain(made: Merchant, customer: object, **members: object) -> object:
    price = made.price(made.product("Team", "seats"), 1200, "eur")
    return made.subscription(customer, [(price, 2)], started=40, **members)  # type: ignore[arg-type]


@pytest.mark.both_databases
def test_the_page_of_a_subscription(visit: Visit) -> None:
    page = _page(visit, _plain)
    assert "Team 2 seats · €12.00 each per month" in page
    assert "Next payment €24.00 on" in page
    assert "No payment method yet." in page


@pytest.mark.parametrize(
    ("members", "badge", "sentence"),
    [
        (
            {"status": "active", "cancel_at_period_end": True},
            "Ends ",
            "It will not renew, and no further invoice will follow.",
        ),
        (
            {"status": "canceled", "ended_at": 1_790_000_000},
            "Ended",
            "Ended September 21, 2026 No further invoice will follow.",
        ),
        ({"status": "canceled"}, "Ended", "Ended No further invoice will follow."),
        ({"pause_collection": {"behavior": "void"}}, "Paused", "Paused Until you resume You pay nothing until then."),
        (
            {"pause_collection": {"behavior": "void", "resumes_at": 1_890_000_000}},
            "Paused",
            "Paused until November 22, 2029 You pay nothing until then.",
        ),
        ({"status": "paused"}, "Paused", "Paused Until you resume You pay nothing until then."),
        ({"status": "incomplete"}, "Awaiting first payment", "It starts as soon as the first invoice is paid."),
        ({"status": "incomplete_expired"}, "Not started", "Ended No further invoice will follow."),
        ({"status": "unpaid"}, "On hold", "On hold Invoice unpaid It resumes once what is due is paid."),
        ({"status": "past_due"}, "Payment overdue", "Next payment after this one €24.00 on"),
        ({"collection_method": "send_invoice"}, "Active", "You receive an invoice and pay it by its due date."),
    ],
)
def test_each_state_is_said_in_words(visit: Visit, members: dict[str, object], badge: str, sentence: str) -> None:
    page = _page(visit, lambda made, customer: _plain(made, customer, **members))
    assert badge in page
    assert sentence in page


def test_a_trial_says_when_and_how_much(visit: Visit) -> None:
    def build(made: Merchant, customer: object) -> object:
        end = made.at + 5 * DAY
        return _plain(made, customer, status="trialing", trial_start=made.at - DAY, trial_end=end)

    page = _page(visit, build)
    assert "Free until" in page
    assert "(in 5 days), then €24.00" in page
    assert "free days used" in page


@pytest.mark.both_databases
def test_discount_and_credit_are_counted_in(visit: Visit) -> None:
    def build(made: Merchant, customer: object) -> object:
        customer.balance = -500  # type: ignore[attr-defined]
        return _plain(made, customer, discount=Discounted(made.coupon("Partner", percent_off="10")))

    page = _page(visit, build)
    assert "Next payment €16.60 on" in page
    assert "€5.00 of your credit has already been deducted." in page
    assert "Partner: 10% off" in page
    assert "Subtotal €24.00 Discount −€2.40 Credit used −€5.00" in page


def _planned(visit: Visit, days: int, proration: str = "none") -> str:
    """A subscription that will be Starter in so many days."""

    def build(made: Merchant, customer: object) -> object:
        subscription = _plain(made, customer)
        small = made.price(made.product("Starter"), 900, "eur")
        made.schedule(subscription, small, 1, made.at + days * DAY, proration_behavior=proration)  # type: ignore[arg-type]
        return subscription

    return _page(visit, build)


@pytest.mark.both_databases
def test_a_planned_change_is_shown_with_its_date_and_amount(visit: Visit) -> None:
    page = _planned(visit, 20)
    assert "Starter , €9.00 per month" in page or "Starter, €9.00 per month" in page


def test_the_amount_is_said_that_a_change_inside_the_period_will_decide(visit: Visit) -> None:
    page = _planned(visit, 2, "create_prorations")
    assert "Starter, €9.00 per month" in page.replace(" ,", ",")
    said = re.search(r"Next payment €(\d+\.\d\d) on", page)
    assert said, page
    assert float(said[1]) > 9  # the rest of this period, of which nothing was paid, and the next one


def test_a_change_inside_the_period_that_is_not_prorated_leaves_the_amount_known(visit: Visit) -> None:
    page = _planned(visit, 2)
    assert "Next payment €9.00 on" in page


def test_usage_makes_the_amount_open(visit: Visit) -> None:
    def build(made: Merchant, customer: object) -> object:
        price = made.price(
            made.product("Calls"), 0, "eur", usage_type="metered", unit_amount=None, unit_amount_decimal="0.02"
        )
        return made.subscription(customer, [(price, None)], started=10)  # type: ignore[arg-type]

    page = _page(visit, build)
    assert "Price varies with usage" in page
    assert "Next payment Depends on your usage on" in page


def test_how_the_next_payment_comes_about_has_the_usage_that_is_not_known_yet(visit: Visit) -> None:
    def build(made: Merchant, customer: Any) -> object:
        customer.balance, customer.currency = -100, "eur"
        calls = made.price(
            made.product("Calls"), 0, "eur", usage_type="metered", unit_amount=None, unit_amount_decimal="0.02"
        )
        base = made.price(made.product("Team"), 900, "eur")
        return made.subscription(customer, [(base, 1), (calls, None)], started=10)

    page = _page(visit, build)
    assert "Subtotal €9.00 Credit used −€1.00 Usage not known yet Due on" in page
    assert "plus your usage €8.00" in page
