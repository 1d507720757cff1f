"""Cancelling: reason, consequences, confirmation, and undoing it until the end."""

import re
from dataclasses import replace
from typing import Any

import pytest
import time_machine
from flask import Flask
from sqlalchemy import func, select

from portal_site.billing.models import (
    CancellationAttempt,
    Event,
    FeedbackOption,
    Invoice,
    PortalConfiguration,
    Subscription,
)
from portal_site.billing.rules.portal.portal_features import CancellationReason, Features, read
from portal_site.billing.subscriptions import subscription_items
from portal_site.db import db
from portal_site.ids import new_id
from tests import world
from tests.client import PortalClient, text
from tests.conftest import enter
from tests.world import reading

HALF = time_machine.travel(world.HALF, tick=False)
AT_ONCE = {"mode": "immediately"}
WITH_CREDIT = {"mode": "immediately", "proration_behavior": "create_prorations"}


def _address(shop: world.Shop, end: str = "") -> str:
    return f"/subscriptions/{shop.subscription.id}/cancellation{end}"


def _configure(shop: world.Shop, **options: Any) -> None:
    """Other options of the portal's cancellation."""
    with world.transaction() as session:
        mine = PortalConfiguration.account_id == shop.customer.account_id
        configuration = session.scalars(select(PortalConfiguration).where(mine)).one()
        features: Features = read(configuration.features)
        changed = replace(features, subscription_cancel=replace(features.subscription_cancel, **options))
        configuration.features = changed.as_document()


def _confirm(client: PortalClient, shop: world.Shop, page: Any) -> Any:
    found = re.search(r'name="quote" value="([^"]+)"', page.text)
    assert found, text(page.text)
    return client.send(_address(shop), {"quote": found[1]})


def _cancel(client: PortalClient, shop: world.Shop) -> Any:
    return _confirm(client, shop, client.get(_address(shop, "/end")))


def _row(shop: world.Shop) -> Any:
    db.session.remove()
    with reading() as reader:
        return reader.execute(select(Subscription.__table__).where(Subscription.id == shop.subscription.id)).one()


def _events(shop: world.Shop) -> list[Any]:
    with reading() as reader:
        mine = Event.account_id == shop.customer.account_id
        return list(reader.execute(select(Event.type, Event.data).where(mine).order_by(Event.created, Event.id)))


@HALF
@pytest.mark.both_databases
def test_cancelling_at_the_period_end(app: Flask) -> None:
    shop = world.shop()
    client = enter(app, shop.customer)
    link = client.get(f"/subscriptions/{shop.subscription.id}")
    assert f'href="{_address(shop)}"' in link.text
    page = client.get(_address(shop))
    assert "Why do you want to cancel?" in text(page.text)
    told = client.send(_address(shop, "/reason"), {"reason": "other", "comment": "We close down."})
    end = client.get(told.location)
    assert "Your subscription to Team continues until May 1, 2026, then ends." in text(end.text)
    assert "You will not be billed for it again." in text(end.text)
    done = client.get(_confirm(client, shop, end).location)
    assert "Your cancellation is confirmed. Your subscription ends on May 1, 2026." in text(done.text)
    row = _row(shop)
    assert (row.status, row.cancel_at, row.cancel_at_period_end, row.canceled_at) == (
        "active",
        world.END,
        True,
        world.HALF,
    )
    assert row.cancellation_details == {
        "reason": "cancellation_requested", "feedback": "other", "comment": "We close down.", "feedback_option": None
    }  # fmt: skip
    kind, data = _events(shop)[-1]
    assert kind == "customer.subscription.updated"
    assert data["previous_attributes"] == {
        "cancel_at": None, "cancel_at_period_end": False, "canceled_at": None, "cancellation_details": {}
    }  # fmt: skip


@HALF
@pytest.mark.both_databases
def test_a_cancellation_can_be_undone_until_the_end(app: Flask) -> None:
    shop = world.shop()
    client = enter(app, shop.customer)
    client.get("/")
    before = dict(_row(shop)._mapping)
    _cancel(client, shop)
    kept = client.send(_address(shop, "/removal"))
    assert "continues as before" in text(client.get(kept.location).text)
    assert dict(_row(shop)._mapping) == before
    again = client.send(_address(shop, "/removal"))
    assert "no cancellation left to undo" in text(client.get(again.location).text)


@HALF
@pytest.mark.parametrize(
    ("reason", "comment", "words"),
    [
        ("bored", "", "Choose one of the reasons, or none."),
        ("fo_of_another_account", "", "Choose one of the reasons, or none."),
        ("other", "x" * 501, "Use at most 500 characters."),
        ("other", "4242 4242 4242 4242", "This looks like a card number."),
    ],
)
def test_a_reason_that_is_not_offered_is_refused_at_its_field(
    app: Flask, reason: str, comment: str, words: str
) -> None:
    shop = world.shop()
    client = enter(app, shop.customer)
    client.get("/")
    answer = client.send(_address(shop, "/reason"), {"reason": reason, "comment": comment})
    assert answer.status_code == 422
    assert words in text(answer.text)
    assert comment in answer.text
    with reading() as reader:
        assert reader.scalar(select(func.count()).select_from(CancellationAttempt)) == 0


@HALF
def test_the_reason_can_be_skipped_or_left_empty(app: Flask) -> None:
    shop = world.shop()
    client = enter(app, shop.customer)
    for given in ({}, {"reason": "", "comment": ""}):
        token = client.form(_address(shop), _address(shop, "/reason"))["quote"]
        assert client.send(_address(shop, "/reason"), {**given, "quote": token}).status_code == 303
        details = _row(shop).cancellation_details
        assert (details["feedback"], details["comment"]) == (None, None)
        client.send(_address(shop, "/removal"))


def test_reasons_stand_in_an_order_of_the_sessions_own_with_other_last(app: Flask) -> None:
    shop = world.shop()
    orders = set()
    for _ in range(6):
        client = enter(app, shop.customer)
        order = re.findall(r'data-test="cancel-reason-opt-(\w+)"', client.get(_address(shop)).text)
        assert order == re.findall(r'data-test="cancel-reason-opt-(\w+)"', client.get(_address(shop)).text)
        assert order[-1] == "other"
        orders.add(tuple(order))
    assert len(orders) > 1
    assert len({frozenset(order) for order in orders}) == 1


@HALF
def test_the_merchants_own_reasons(app: Flask) -> None:
    shop, other = world.shop(), world.shop("Other")
    with world.transaction() as session:
        ids = []
        for account_id, words, status in (
            (shop.customer.account_id, "My cat died", "active"),
            (shop.customer.account_id, "No longer asked", "inactive"),
            (other.customer.account_id, "Somebody else’s", "active"),
        ):
            ids.append(new_id("fo"))
            option = {"account_id": account_id, "created": 1, "description": words, "status": status}
            session.add(FeedbackOption(id=ids[-1], **option))
    _configure(shop, cancellation_reason=CancellationReason(options=("unused",), feedback_options=tuple(ids)))
    client = enter(app, shop.customer)
    page = text(client.get(_address(shop)).text)
    assert "My cat died" in page
    assert "No longer asked" not in page
    assert "Somebody else" not in page
    for wrong in (ids[1], ids[2], "too_expensive"):
        assert client.send(_address(shop, "/reason"), {"reason": wrong}).status_code == 422
    told = client.send(_address(shop, "/reason"), {"reason": ids[0]})
    _confirm(client, shop, client.get(told.location))
    assert _row(shop).cancellation_details["feedback_option"] == ids[0]


@HALF
def test_cancelling_now_with_credit(app: Flask) -> None:
    shop = world.shop()
    _configure(shop, **WITH_CREDIT)
    client = enter(app, shop.customer)
    end = client.get(_address(shop, "/end"))
    shown = text(end.text)
    for words in (
        "Team ends now",
        "15 of 30 days × €10.00 = €5.00 credit",
        "Kept as credit €5.00",
    ):
        assert words in shown
    done = client.get(_confirm(client, shop, end).location)
    assert "Your subscription has ended." in text(done.text)
    row = _row(shop)
    assert (row.status, row.ended_at, row.due_at) == ("canceled", world.HALF, None)
    with reading() as reader:
        assert reader.scalar(select(world.Customer.balance).where(world.Customer.id == shop.customer.id)) == -500
        assert list(reader.scalars(select(Invoice.total).order_by(Invoice.number))) == [1000, -500]
    assert "customer.subscription.deleted" in [kind for kind, _ in _events(shop)]


@HALF
def test_cancelling_now_without_credit_says_so(app: Flask) -> None:
    shop = world.shop()
    _configure(shop, **AT_ONCE)
    client = enter(app, shop.customer)
    end = client.get(_address(shop, "/end"))
    assert "Time that you have paid for and not used will not be refunded." in text(end.text)
    _confirm(client, shop, end)
    assert _row(shop).status == "canceled"
    with reading() as reader:
        assert reader.scalar(select(func.count()).select_from(Invoice)) == 1


@HALF
@pytest.mark.parametrize("status", ["past_due", "unpaid", "paused", "trialing"])
def test_every_state_can_be_cancelled(app: Flask, status: str) -> None:
    members = {"trial_start": world.START, "trial_end": world.END} if status == "trialing" else {}
    shop = world.shop(status="trialing" if members else "active", **members)
    with world.transaction() as session:
        session.merge(shop.subscription).status = status
    client = enter(app, shop.customer)
    client.get("/")
    assert _cancel(client, shop).status_code == 303
    row = _row(shop)
    assert row.canceled_at == world.HALF
    waits = status in ("past_due", "trialing")
    assert (row.ended_at, row.cancel_at) == ((None, world.END) if waits else (world.HALF, None))


@HALF
def test_of_several_items_the_longest_period_counts(app: Flask) -> None:
    shop = world.shop()
    year_end = world.START + 365 * 86400
    with world.transaction() as session:
        item = subscription_items.load_items(session, shop.subscription)[0]
        other = {"id": new_id("si"), "price_id": shop.prices["year"].id, "quantity": 1, "created": world.START}
        known = {"account_id": item.account_id, "subscription_id": item.subscription_id, "tax_rates": []}
        period = {"current_period_start": world.START, "current_period_end": year_end}
        session.add(type(item)(**other, **known, **period))
    client = enter(app, shop.customer)
    end = client.get(_address(shop, "/end"))
    assert "continues until April 1, 2027" in text(end.text)
    assert "Before then, your next invoice, on May 1, 2026, will be €10.00." in text(end.text)
    _confirm(client, shop, end)
    assert _row(shop).cancel_at == year_end


@HALF
@pytest.mark.both_databases
def test_a_repeated_confirmation_succeeds_and_a_second_cancellation_is_refused(app: Flask) -> None:
    shop = world.shop()
    client = enter(app, shop.customer)
    client.get("/")
    told = client.send(_address(shop, "/reason"), {"reason": "unused"})
    end = client.get(told.location)
    assert [_confirm(client, shop, end).status_code for _ in range(2)] == [303, 303]
    assert len([kind for kind, _ in _events(shop) if kind == "customer.subscription.updated"]) == 1
    page = client.get(_address(shop))
    assert "This subscription is already set to end." in text(page.text)
    client.send(_address(shop, "/removal"))
    fresh = client.get(_address(shop, "/end"))
    _cancel(client, shop)
    late = _confirm(client, shop, fresh)
    assert late.status_code == 409
    assert "already set to end" in text(late.text)


@HALF
@pytest.mark.parametrize("attempt", ["", "?attempt=cxl_nothing", "?attempt=" + "x" * 300])
@pytest.mark.both_databases
def test_a_double_click_without_a_reason_is_one_cancellation(app: Flask, attempt: str) -> None:
    shop = world.shop()
    client = enter(app, shop.customer)
    end = client.get(_address(shop, "/end" + attempt))
    assert [_confirm(client, shop, end).status_code for _ in range(2 - bool(attempt))] == [303] * (2 - bool(attempt))
    with reading() as reader:
        assert list(reader.scalars(select(CancellationAttempt.outcome))) == ["canceled"]


@HALF
@pytest.mark.case("B6", "C1")
@pytest.mark.both_databases
def test_a_confirmation_is_bound_to_its_customer_and_terms(app: Flask) -> None:
    shop, other = world.shop(), world.shop("Other")
    theirs = enter(app, other.customer).get(_address(other, "/end"))
    client = enter(app, shop.customer)
    client.get("/")
    signed = re.search(r'name="quote" value="([^"]+)"', theirs.text)
    assert signed
    for quote in (signed[1], "", "x"):
        assert client.send(_address(shop), {"quote": quote, "status": "canceled"}).status_code == 409
    assert client.send(_address(other), {"quote": signed[1]}).status_code == 404
    assert (_row(shop).canceled_at, _row(other).canceled_at) == (None, None)


@HALF
@pytest.mark.case("D1")
@pytest.mark.both_databases
def test_changed_terms_are_shown_and_not_applied(app: Flask) -> None:
    shop = world.shop()
    client = enter(app, shop.customer)
    end = client.get(_address(shop, "/end"))
    _configure(shop, **WITH_CREDIT)
    answer = _confirm(client, shop, end)
    assert answer.status_code == 409
    assert "have changed since you looked" in text(answer.text)
    assert "€5.00 credit" in text(answer.text)
    assert _row(shop).canceled_at is None
    with time_machine.travel(world.HALF + 31 * 60, tick=False):
        assert _confirm(client, shop, answer).status_code == 409


@HALF
def test_statutory_words_and_a_lasting_copy(app: Flask) -> None:
    shop = world.shop()
    labels = {"link_label": "Terminate contracts here", "confirm_label": "Terminate now"}
    _configure(shop, acknowledgement=True, **labels)
    client = enter(app, shop.customer)
    assert labels["link_label"] in text(client.get(f"/subscriptions/{shop.subscription.id}").text)
    end = client.get(_address(shop, "/end"))
    assert labels["confirm_label"] in text(end.text)
    page = client.get(_confirm(client, shop, end).location)
    assert "We received your cancellation on April 16, 2026 at 12:00" in text(page.text).replace("\u202f", " ")
    copy = client.get(_address(shop, "/acknowledgement"))
    assert copy.headers["Content-Disposition"] == 'attachment; filename="cancellation-2026-04-16.txt"'
    for words in ("Acme", "Hedda Berg", "Team", "April 16, 2026, 12:00:00", "Ends on: May 1, 2026"):
        assert words in copy.text.replace("\u202f", " ")
    client.send("/language", {"language": "fr", "next": "/"})
    french = client.get(_address(shop, "/acknowledgement")).text.replace("\xa0", " ")
    assert "Client : Hedda Berg" in french
    assert "Prend fin le : 1er mai 2026, 00:00:00" in french


@HALF
@pytest.mark.case("D24")
def test_cancelling_is_two_pages_away_and_no_step_more_than_joining(app: Flask) -> None:
    shop = world.shop()
    client = enter(app, shop.customer)
    overview = client.get("/")
    subscription = f"/subscriptions/{shop.subscription.id}"
    assert f'href="{subscription}"' in overview.text
    assert f'href="{_address(shop)}"' in client.get(subscription).text  # page one
    assert "(optional)" in client.get(_address(shop)).text  # the reason
    end = client.get(client.send(_address(shop, "/reason")).location)
    assert _confirm(client, shop, end).status_code == 303  # page two


def test_it_is_off_without_the_feature_and_gone_without_reasons(app: Flask) -> None:
    shop = world.shop()
    _configure(shop, cancellation_reason=CancellationReason(enabled=False))
    client = enter(app, shop.customer)
    assert "What happens" in text(client.get(_address(shop)).text)
    assert client.send(_address(shop, "/reason"), {"reason": "unused"}).status_code == 404
    _configure(shop, enabled=False)
    assert "Cancel subscription" not in client.get(f"/subscriptions/{shop.subscription.id}").text
    assert client.get(_address(shop)).status_code == 404


def test_a_merchants_cancellation_cannot_be_undone_by_the_customer(app: Flask) -> None:
    shop = world.shop(cancel_at=world.END + 100)
    client = enter(app, shop.customer)
    page = client.get(f"/subscriptions/{shop.subscription.id}")
    assert "Don’t cancel" not in page.text
    client.send(_address(shop, "/removal"))
    assert _row(shop).cancel_at == world.END + 100
