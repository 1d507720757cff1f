"""Cancelling without logging in: the page gives nothing away, and a link in an e-mail to the customer confirms it."""

import re
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select

from portal_site.billing.billing_run import clean_up
from portal_site.billing.cancellation import requests
from portal_site.billing.errors import BillingError
from portal_site.billing.models import CancellationRequest, Invoice, Subscription
from portal_site.billing.rules.portal.portal_features import Features
from portal_site.notices import cancellation_requests
from portal_site.notices import settings as notice_settings
from portal_site.notices.kinds import Kind
from tests import world
from tests.client import PortalClient, text
from tests.conftest import enter
from tests.notices.outgoing import Mail, of_kind, written
from tests.operators import set_cancellation_page
from tests.portal.logging_in import AT, EMAIL, NOW, mail_is_on  # noqa: F401
from tests.world import reading


def _page(shop: world.Shop) -> str:
    return f"/cancel/{set_cancellation_page(shop.customer.account_id, enabled=True, new_url=False)}"


def _number(shop: world.Shop) -> str:
    with reading() as reader:
        return str(reader.scalar(select(Invoice.number).where(Invoice.customer_id == shop.customer.id)))


def _ask(app: Flask, page: str, number: str, email: str = EMAIL) -> Any:
    client: PortalClient = app.test_client()  # type: ignore[assignment]
    client.get(page)
    answer = client.send(page, {"email": email, "number": number})
    return client.get(answer.location) if answer.status_code == 303 else answer


def _answered(app: Flask) -> list[Mail]:
    with app.test_request_context(base_url="http://127.0.0.1:8000"):
        cancellation_requests.answer(AT, stays_local=False)
    return [mail for mail in written(app, AT) if mail.kind == "cancellation_request"]


@NOW
@pytest.mark.both_databases
@pytest.mark.parametrize("by", ["invoice", "subscription"])
def test_a_subscription_is_cancelled_by_address_and_number(app: Flask, by: str) -> None:
    shop = world.shop()
    number = _number(shop).lower() if by == "invoice" else shop.subscription.id
    assert "Check your email" in text(_ask(app, _page(shop), f" {number} ", EMAIL.upper()).text)
    (mail,) = _answered(app)
    assert mail.to == [EMAIL]
    assert mail.subject == "Confirm your cancellation"
    assert "You asked to cancel your subscription to Team with Acme." in mail.text
    client: PortalClient = app.test_client()  # type: ignore[assignment]
    assert "Cancel your subscription to Team?" in text(client.get(mail.link).text)
    client.get(client.send(mail.link).location)
    there = f"/subscriptions/{shop.subscription.id}/cancellation"
    assert client.get("/payment-methods").location == there
    page = client.get(f"{there}/end")
    quote = re.search(r'name="quote" value="([^"]+)"', page.text)
    client.send(there, {"quote": quote[1]})  # type: ignore[index]
    assert "Your subscription ends on May 1, 2026" in text(client.get("/flow/end").text)
    acknowledged = of_kind(written(app, AT), "cancellation_confirmed")
    assert "Date of cancellation: April 16, 2026" in acknowledged.text
    again = client.get(mail.link)
    assert "Already done" in text(again.text)
    assert "data-testid" not in again.text
    with reading() as reader:
        assert reader.scalar(select(Subscription.cancel_at)) == world.END


@NOW
@pytest.mark.case("A7")
def test_the_answer_is_the_same_for_everybody(lite_app: Flask) -> None:
    shop = world.shop()
    page, number = _page(shop), _number(shop)
    pages = {_ask(lite_app, page, number).text, _ask(lite_app, page, "X-1").text,
             _ask(lite_app, page, number, "nobody@acme.example").text}  # fmt: skip
    assert len({re.sub(r'(nonce|value|content)="[^"]+"', "", shown) for shown in pages}) == 1
    right, wrong = sorted(_answered(lite_app), key=lambda mail: mail.subject)
    assert right.subject == "Confirm your cancellation"
    assert wrong.subject == "We found no subscription with this number"
    assert "“X-1”" in wrong.text
    assert not any(link.startswith("/m/") for link in wrong.links)


@NOW
def test_the_number_of_another_customer_cancels_nothing(lite_app: Flask) -> None:
    shop = world.shop()
    other = world.neighbour(shop, 1)
    _ask(lite_app, _page(shop), other.subscription.id)
    (mail,) = _answered(lite_app)
    assert mail.to == [EMAIL]
    assert mail.subject == "We found no subscription with this number"


@NOW
@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"status": "canceled", "ended_at": AT, "due_at": None}, "There is nothing left to cancel"),
        ({"cancel_at": world.END, "cancel_at_period_end": True}, "Your subscription ends on May 1, 2026"),
    ],
)
def test_what_has_ended_or_will_is_not_cancelled_again(lite_app: Flask, members: dict[str, Any], words: str) -> None:
    shop = world.shop()
    with world.transaction() as session:
        row = session.get_one(Subscription, shop.subscription.id)
        for name, value in members.items():
            setattr(row, name, value)
    _ask(lite_app, _page(shop), _number(shop))
    (mail,) = _answered(lite_app)
    assert words in mail.text
    assert not any(link.startswith("/m/") for link in mail.links)


@NOW
@pytest.mark.case("A10")
def test_an_address_is_not_flooded(lite_app: Flask) -> None:
    shop = world.shop()
    page, number = _page(shop), _number(shop)
    for _time in range(6):
        _ask(lite_app, page, number)
    assert len(_answered(lite_app)) == requests.MOST_OF_ADDRESS[requests.HOUR]


@NOW
@pytest.mark.parametrize(
    ("email", "number"),
    [
        ("nobody", "A-1"),
        (EMAIL, ""),
        ("", ""),
        (EMAIL, "x" * 300),
        (EMAIL, "Your card is blocked: https://evil.example"),
    ],
)
def test_what_cannot_be_is_refused_at_its_field(lite_app: Flask, email: str, number: str) -> None:
    answer = _ask(lite_app, _page(world.shop()), number, email)
    assert answer.status_code == 422
    assert "Error:" in answer.text
    with reading() as reader:
        assert reader.scalar(select(func.count()).select_from(CancellationRequest)) == 0


@NOW
@pytest.mark.case("A9")
def test_wrong_numbers_of_others_keep_nobody_from_cancelling(lite_app: Flask) -> None:
    shop = world.shop()
    page = _page(shop)
    for number in range(12):
        _ask(lite_app, page, f"X-{number}")
    _ask(lite_app, page, _number(shop))
    subjects = [mail.subject for mail in _answered(lite_app)]
    assert subjects.count("Confirm your cancellation") == 1
    assert subjects.count("We found no subscription with this number") == requests.MOST_OF_ADDRESS[requests.HOUR]


@NOW
def test_the_page_is_closed_by_default_and_can_be_closed_again(lite_app: Flask) -> None:
    shop = world.shop()
    client = lite_app.test_client()
    assert client.get("/cancel/none").status_code == 404
    page = _page(shop)
    assert client.get(page).status_code == 200
    assert f"/cancel/{set_cancellation_page(shop.customer.account_id, enabled=True, new_url=True)}" != page
    assert client.get(page).status_code == 404
    set_cancellation_page(shop.customer.account_id, enabled=False, new_url=False)
    assert client.get(_page(shop)).status_code == 200


def test_it_needs_the_feature(lite_app: Flask) -> None:
    off = world.EVERYTHING.as_document()
    off["subscription_cancel"]["enabled"] = False
    scene = world.scene(features=Features.of(off))
    with pytest.raises(BillingError, match="subscription_cancel"):
        set_cancellation_page(scene.account_id, enabled=True, new_url=False)


@NOW
def test_the_acknowledgement_cannot_be_turned_off_while_the_page_is_open(lite_app: Flask) -> None:
    shop = world.shop()
    notice_settings.change(shop.customer.account_id, Kind.CANCELLATION_CONFIRMED, enabled=False)
    _page(shop)
    client = enter(lite_app, shop.customer)
    there = f"/subscriptions/{shop.subscription.id}/cancellation"
    quote = re.search(r'name="quote" value="([^"]+)"', client.get(f"{there}/end").text)
    client.send(there, {"quote": quote[1]})  # type: ignore[index]
    assert of_kind(written(lite_app, AT), "cancellation_confirmed")


@NOW
def test_old_requests_are_removed(lite_app: Flask) -> None:
    shop = world.shop()
    _ask(lite_app, _page(shop), "A-1")
    clean_up.remove_old_rows(AT + clean_up.KEPT + 60)
    with reading() as reader:
        assert reader.scalar(select(func.count()).select_from(CancellationRequest)) == 0
