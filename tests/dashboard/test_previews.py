"""The live preview: the real pages with settings that are not stored, in a frame where nothing can be done."""

from typing import Any

import pytest
from sqlalchemy import select

from portal_site.billing.models import Customer
from portal_site.dashboard.reads import customer_states
from portal_site.db import Base
from portal_site.db.transactions import discarding_writes, passing_write, reading, transaction
from portal_site.staff.roles import Role
from tests import world
from tests.client import parse, text
from tests.dashboard.desk import Desk
from tests.dashboard.staff import employ, sign_in


def everything() -> dict[str, int]:
    with reading() as reader:
        return {
            table.name: hash(tuple(sorted(map(repr, reader.execute(table.select().execution_options(unscoped="all"))))))
            for table in Base.metadata.sorted_tables
        }


def _look(desk: Desk, section: str, **changed: Any) -> str:
    data = desk.form(section)
    for name, value in changed.items():
        data[name] = value
    response = desk.client.post(desk.address(f"{section}/preview"), data=data)
    assert response.status_code == 200
    return response.text


def test_what_is_typed_is_shown_and_not_stored(desk: Desk) -> None:
    desk.form("words")
    before = everything()
    shown = _look(desk, "words", headline="Not saved yet", page="overview")
    assert "Not saved yet" in shown
    assert "Team" in text(shown)
    assert "Change plan" not in text(_look(desk, "subscriptions", update="", page="overview"))
    assert "It is too expensive" not in text(_look(desk, "cancellation", reasons="unused", page="cancellation"))
    assert everything() == before


PAGES = {
    "overview": "/", "plan_change": "/subscriptions/{}/plan-change", "cancellation": "/subscriptions/{}/cancellation",
    "pause": "/subscriptions/{}/pause", "payment_methods": "/payment-methods",
    "billing_information": "/billing-information/edit", "invoices": "/invoices",
}  # fmt: skip


@pytest.mark.parametrize("name", PAGES)
def test_a_preview_is_the_page_that_the_customer_gets(desk: Desk, name: str) -> None:
    real = desk.portal().get(PAGES[name].format(desk.shop.subscription.id))
    shown = desk.client.get(desk.address(f"words/preview?page={name}&state=Active"))
    assert sorted(text(shown.text).split()) == sorted(text(real.text).split())  # reasons are in another order each time


def test_a_preview_can_do_nothing(desk: Desk) -> None:
    response = desk.client.get(desk.address("words/preview?page=plan_change"))
    policy = response.headers["Content-Security-Policy"]
    assert policy.endswith("; sandbox allow-same-origin")
    assert "frame-ancestors 'self'" in policy
    assert response.headers["X-Frame-Options"] == "SAMEORIGIN"
    assert not list(parse(response.text).iter("script"))
    assert "Set-Cookie" not in response.headers or "portal-8000=" not in response.headers["Set-Cookie"]
    page = desk.client.get(desk.address("words"))
    assert "frame-src 'self'; frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
    frame = next(parse(page.text).iter("iframe"))
    assert frame.get("sandbox") == "allow-same-origin"
    token = next(f.get("value") for f in parse(response.text).iter("input") if f.get("name") == "csrf_token")
    desk.client.token = token or ""
    assert desk.client.send(f"/subscriptions/{desk.shop.subscription.id}/cancellation").status_code == 403


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("page=overview&days=40", "May 1, 2026"),
        ("page=overview&language=fr", "Abonnement"),
        ("page=nonsense&state=nonsense&days=x&language=xx&scheme=red", "Team"),
        ("page=cancellation&state=Nothing", "This customer does not get to this page."),
        ("page=overview&state=Nothing", "Acme"),
    ],
)
def test_what_the_preview_shows_can_be_chosen(desk: Desk, query: str, words: str) -> None:
    assert words in text(desk.client.get(desk.address(f"words/preview?{query}")).text)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_are_chosen_by_the_page(desk: Desk, scheme: str) -> None:
    page = desk.client.get(desk.address(f"words/preview?scheme={scheme}")).text
    address = next(link.get("href") for link in parse(page).iter("link") if "theme" in (link.get("href") or ""))
    styles = desk.client.get(address or "").text
    assert f"-{scheme}-" in (address or "")
    assert f"color-scheme:{scheme};" in styles
    assert "prefers-color-scheme" not in styles


@pytest.mark.parametrize("changed", [{"own": "y", "background": "red;}"}, {"own": "y", "font": "Comic"}])
def test_what_makes_no_sense_yet_is_said(desk: Desk, changed: dict[str, str]) -> None:
    assert "does not fit together yet" in text(_look(desk, "appearance", **changed))


def test_where_writes_are_discarded_nothing_is_kept_and_a_change_is_an_error(desk: Desk) -> None:
    mine = select(Customer).where(Customer.account_id == desk.account_id)
    with desk.app.app_context():
        with discarding_writes(), transaction() as session:
            session.scalars(mine).all()
        with (
            pytest.raises(RuntimeError, match="nothing is to be written"),
            discarding_writes(),
            transaction() as session,
        ):
            session.scalars(mine).one().name = "Mallory"
        with pytest.raises(RuntimeError, match="nothing is to be written"), discarding_writes(), passing_write():
            pass
        with transaction() as session:
            assert session.scalars(mine).one().name == "Hedda Berg"


def test_there_is_a_customer_for_each_state(desk: Desk) -> None:
    with desk.app.app_context():
        with transaction() as session:
            made = world.Merchant(session, world.START, session.get(world.Account, desk.account_id))
            for name, members in (
                ("Trial", {"status": "trialing"}), ("Late", {"status": "past_due"}), ("Gone", {"status": "canceled"}),
                ("Leaving", {"cancel_at_period_end": True}), ("Resting", {"pause_collection": {"behavior": "void"}}),
            ):  # fmt: skip
                customer = made.customer(name, f"{name.lower()}@acme.example", name)
                made.subscription(customer, [(desk.shop.prices["team"], 1)], started=20, **members)
            made.customer("Empty", "empty@acme.example", "")
        states = {
            state.name: state.customer_name for state in customer_states.find(desk.account_id, False, visible=True)
        }
        assert customer_states.count_touched(desk.account_id, False) == "7 customers"
        assert all(one.is_sample for one in customer_states.find(desk.account_id, True, visible=True)[:-1])
    expected = {
        "In a trial": "Trial", "Payment overdue": "Late", "Ended": "Gone", "Ends with the period": "Leaving",
        "Paused": "Resting", "Nothing": "Empty",
    }  # fmt: skip
    assert {name: states[name] for name in expected} == expected


def test_who_may_not_see_customers_sees_nobody(desk: Desk) -> None:
    analyst = sign_in(desk.app, employ(desk.account_id, Role.ANALYST, "eve@lumen.example", "Eve"))
    page = analyst.get(desk.address("words"))
    assert "Hedda Berg" not in page.text
    for shown in ("overview", "payment_methods", "billing_information", "invoices"):
        preview = analyst.get(desk.address(f"words/preview?page={shown}&state=Active")).text
        assert not any(word in preview for word in ("Hedda", "hedda@", "4242"))
