"""Opening and closing the login page, and the page for cancelling without logging in."""

import re

from sqlalchemy import select

from portal_site.billing.cancellation import requests
from portal_site.billing.models import Event, PortalConfiguration
from portal_site.billing.rules.portal.portal_features import SubscriptionCancel
from portal_site.db.transactions import reading, transaction
from tests.dashboard.desk import Desk


def _urls(desk: Desk) -> list[str]:
    page = desk.client.get(desk.address("login-page")).text
    return [url.removeprefix("http://localhost") for url in re.findall(r"<code>(http[^<]+)</code>", page)]


def test_the_login_page_is_opened_moved_and_closed(desk: Desk) -> None:
    assert _urls(desk) == []
    there = desk.address("login-page")
    assert desk.client.send(there, {"enabled": "on", "remember": "on"}).status_code == 303
    (first,) = _urls(desk)
    assert desk.configuration().remembers_devices
    desk.client.send(there, {"enabled": "on", "new_url": "on"})
    (second,) = _urls(desk)
    assert (first != second, desk.configuration().remembers_devices) == (True, False)
    desk.client.send(there)
    assert _urls(desk) == []
    with reading() as reader:
        query = select(Event.actor_type).where(
            Event.account_id == desk.account_id, Event.type == "billing_portal.configuration.updated"
        )
        assert reader.scalars(query).all() == ["user"] * 3


def test_the_page_for_cancelling_is_opened_and_closed(desk: Desk) -> None:
    there = desk.address("cancellation-page")
    desk.client.get(desk.address("login-page"))
    assert desk.client.send(there, {"enabled": "on"}).status_code == 303
    (url,) = _urls(desk)
    with desk.app.app_context():
        assert requests.find_page(url.rpartition("/")[2]) == desk.account_id
    desk.client.get(desk.address("login-page"))
    assert desk.client.send(there).status_code == 303
    assert _urls(desk) == []


def test_where_nobody_may_cancel_there_is_no_page_for_it(desk: Desk) -> None:
    with desk.app.app_context(), transaction() as session:
        row = session.scalars(
            select(PortalConfiguration).where(PortalConfiguration.account_id == desk.account_id)
        ).one()
        row.features = {**row.features, "subscription_cancel": {"enabled": False}}
        assert not SubscriptionCancel.of(row.features["subscription_cancel"]).enabled
    desk.client.get(desk.address("login-page"))
    refused = desk.client.send(desk.address("cancellation-page"), {"enabled": "on"})
    assert (refused.status_code, "must have the feature" in refused.text) == (422, True)


def test_the_account_itself_has_no_login_page(desk: Desk) -> None:
    assert desk.client.get(f"/dashboard/{desk.account_id}/settings/account/login-page").status_code == 404
