"""Previews with made-up customers: every state can be looked at, also where there is no customer, and nothing of it is kept."""

import threading

import pytest
from flask import Flask
from sqlalchemy import select

from portal_site.billing.accounts import portal_configurations
from portal_site.billing.models import Customer, Price
from portal_site.billing.rules.portal.portal_features import Features
from portal_site.dashboard.reads import customer_states
from portal_site.dashboard.settings.previews import PAGES
from portal_site.db.transactions import provisional_rows, reading, transaction
from portal_site.samples import customers
from portal_site.staff.roles import Role
from tests import world
from tests.client import text
from tests.dashboard.counter import Counter
from tests.dashboard.desk import Desk
from tests.dashboard.staff import employ, sign_in
from tests.dashboard.test_previews import everything

WORDS = {
    "Active": "Active", "In a trial": "Free trial", "Several items": "Solo", "Change planned": "From", "Paused": "Paused",
    "Ends with the period": "It will not renew", "Payment overdue": "Payment overdue", "On hold": "On hold", "Ended": "Ended",
}  # fmt: skip


def _look(desk: Desk, state: str, page: str = "overview", section: str = "words") -> str:
    response = desk.client.get(desk.address(f"{section}/preview?page={page}&state={state}"))
    assert response.status_code == 200
    return text(response.text)


@pytest.fixture
def alone(desk: Desk) -> Desk:
    """A merchant with products and without customers."""
    with transaction() as session:
        mine = Customer.account_id == desk.account_id
        session.scalars(select(Customer).where(mine)).one().deleted_at = world.HALF
    return desk


@pytest.mark.parametrize("state", customer_states.NAMES)
def test_each_state_can_be_looked_at_without_a_customer(alone: Desk, state: str) -> None:
    before = everything()
    for page in PAGES:
        shown = _look(alone, state, page)
        assert "Traceback" not in shown
        if page == "overview":
            assert WORDS[state] in shown, shown
            assert "Team" in shown or "Solo" in shown  # the account's own products
    assert everything() == before


def test_a_merchant_without_products_sees_a_made_up_one(counter: Counter) -> None:
    default = next(one for one in portal_configurations.of_account(counter.account_id) if not one.livemode)
    there = f"/dashboard/{counter.account_id}/settings/{default.id}/words"
    page = counter.client.get(there)
    assert "Active (made up)" in text(page.text)
    before = everything()
    shown = text(counter.client.get(f"{there}/preview?page=overview&state=Active").text)
    assert "Team" in shown
    assert "Mastercard" in shown
    assert everything() == before


def test_who_may_not_see_customers_sees_made_up_ones(desk: Desk) -> None:
    analyst = sign_in(desk.app, employ(desk.account_id, Role.ANALYST, "eve@lumen.example", "Eve"))
    preview = text(analyst.get(desk.address("words/preview?page=billing_information&state=Active")).text)
    assert "Hedda" not in preview
    assert customers.EMAIL in preview or customers.NAME in preview or "Name" in preview


def test_a_real_customer_is_shown_where_there_is_one(desk: Desk) -> None:
    states = {one.name: one for one in customer_states.find(desk.account_id, False, visible=True)}
    assert (states["Active"].customer_name, states["Active"].is_sample) == ("Hedda Berg", False)
    assert states["Paused"].is_sample


def test_provisional_rows_are_seen_here_alone_and_taken_back(app: Flask) -> None:
    account_id = world.shop().customer.account_id
    mine = select(Customer.id).where(Customer.account_id == account_id)
    others: list[int] = []

    def look() -> None:
        with app.app_context(), reading() as reader:
            others.append(len(reader.scalars(mine).all()))

    with provisional_rows() as session:
        customers.build(session, account_id, False, Features(), "Active", world.HALF)
        with reading() as reader:
            assert len(reader.scalars(mine).all()) == 2
        with transaction() as inner:
            assert len(inner.scalars(mine).all()) == 2
            inner.scalars(select(Price).where(Price.account_id == account_id)).first()
        with reading() as reader:  # what a transaction in it takes back is only its own
            assert len(reader.scalars(mine).all()) == 2
        thread = threading.Thread(target=look)
        thread.start()
        thread.join(10)
    assert others == [1]
    with reading() as reader:
        assert len(reader.scalars(mine).all()) == 1
