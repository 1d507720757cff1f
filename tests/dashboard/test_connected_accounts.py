"""A platform's connected accounts: each has a team of its own, and links on its behalf show it alone."""

import re
from typing import Any

import pytest
from sqlalchemy import update

from portal_site.billing.accounts import connected
from portal_site.billing.accounts.accounts import NewAccount
from portal_site.billing.errors import BillingError
from portal_site.billing.models import Account, Event, Subscription
from portal_site.db.transactions import reading, transaction
from portal_site.staff import teams
from portal_site.staff.roles import Role
from tests import world
from tests.client import PortalClient, text
from tests.dashboard.desk import Desk
from tests.dashboard.staff import PASSWORD, client_of, employ, sign_in
from tests.plans import plan

AT = world.HALF
SHOP = {"business_name": "Studio Polaris", "country": "DE", "currency": "eur", "timezone": "Europe/Berlin"}


def _address(desk: Desk, rest: str = "") -> str:
    return f"/dashboard/{desk.account_id}/connected-accounts{rest}"


def _create(desk: Desk, **changed: str) -> Any:
    desk.client.get(_address(desk))
    return desk.client.send(_address(desk), {**SHOP, **changed})


def _created(desk: Desk) -> str:
    return str(_create(desk).location.rpartition("/")[2])


def _sell_for(desk: Desk, connected_id: str) -> None:
    with transaction() as session:
        mine = Subscription.account_id == desk.account_id
        session.execute(update(Subscription).where(mine).values(on_behalf_of=connected_id))


def _customer(desk: Desk, rest: str = "") -> str:
    return f"/dashboard/{desk.account_id}/test/customers/{desk.shop.customer.id}{rest}"


def test_an_account_is_created_and_its_owner_sees_it_alone(desk: Desk) -> None:
    assert "There are no connected accounts yet." in text(desk.client.get(_address(desk)).text)
    connected_id = _created(desk)
    assert "Studio Polaris" in text(desk.client.get(_address(desk)).text)
    page = text(desk.client.get(_address(desk, f"/{connected_id}")).text)
    assert "Nobody works for it yet." in page
    assert "Germany" in page
    assert "EUR" in page
    invited = desk.client.send(_address(desk, f"/{connected_id}/owners"), {"email": "vega@polaris.example"})
    (link,) = re.findall(r"<code>http://[^/]+(/[^<]+)</code>", invited.text)
    stranger = client_of(desk.app)
    stranger.get(link)
    joined = stranger.send(link, {"name": "Vega", "password": PASSWORD})
    assert joined.status_code == 303, text(joined.text)
    (member,) = teams.members(connected_id)
    assert (member.email, member.role) == ("vega@polaris.example", Role.OWNER)
    page = text(desk.client.get(_address(desk, f"/{connected_id}")).text)
    assert "vega@polaris.example" in page
    assert desk.client.get(f"/dashboard/{connected_id}").status_code == 404  # the platform's staff works elsewhere
    owner = sign_in(desk.app, employ(connected_id, email="lyra@polaris.example", name="Lyra"))
    home = owner.get(f"/dashboard/{connected_id}").text
    assert "Connected accounts" not in text(home)
    for rest in ("", "/connected-accounts", f"/connected-accounts/{connected_id}", "/settings", "/live/customers"):
        assert owner.get(f"/dashboard/{desk.account_id}{rest}").status_code == 404
    with reading() as reader:
        types = reader.scalars(world.select(Event.type).where(Event.account_id == desk.account_id)).all()
    assert "account.created" in types


def test_a_connected_account_has_none_of_its_own(desk: Desk) -> None:
    connected_id = _created(desk)
    owner = sign_in(desk.app, employ(connected_id, email="lyra@polaris.example"))
    there = f"/dashboard/{connected_id}/connected-accounts"
    assert owner.get(there).status_code == 404
    owner.get(f"/dashboard/{connected_id}")
    assert owner.send(there, SHOP).status_code in (404, 422)
    with pytest.raises(BillingError):
        connected.create(connected_id, NewAccount("Below", "FR", "eur", "UTC"), AT)
    assert connected.page(connected_id) == ([], None)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"business_name": " "}, "Business name is required."),
        ({"business_name": "x" * 101}, "at most 100 characters"),
        ({"country": "XX"}, "Not a valid choice"),
        ({"currency": "???"}, "Not a valid choice"),
        ({"timezone": "Europe/Nowhere"}, "Choose a time zone."),
    ],
)
def test_what_makes_no_sense_is_refused(desk: Desk, changed: dict[str, str], said: str) -> None:
    refused = _create(desk, **changed)
    assert (refused.status_code, said in text(refused.text)) == (422, True), text(refused.text)
    assert connected.page(desk.account_id) == ([], None)


def _titles(client: PortalClient, desk: Desk) -> list[str]:
    """What the pages of a link show: the business, and whether there is the subscription."""
    return [word for word in ("Acme", "Studio Polaris", "Team") if word in text(client.get("/").text)]


def test_a_link_on_behalf_shows_the_connected_account(desk: Desk) -> None:
    connected_id = _created(desk)
    page = desk.client.get(_customer(desk))
    assert page.status_code == 200
    assert "On behalf of" not in page.text  # it has nothing of a connected account
    _sell_for(desk, connected_id)
    assert "Studio Polaris" in text(desk.client.get(_customer(desk)).text)
    for behalf, seen in ((connected_id, "Studio Polaris"), ("", "Acme")):
        desk.client.get(_customer(desk))
        made = desk.client.send(_customer(desk, "/links"), {"on_behalf_of": behalf})
        assert made.status_code == 200, text(made.text)
        (link,) = re.findall(r"http://[^/]+(/p/session/[\w-]+)", made.text)
        customer = client_of(desk.app)
        customer.get(link, follow_redirects=True)
        assert _titles(customer, desk) == [seen, "Team"]
        view = desk.client.get(_customer(desk, f"/view/frame?page=overview&on_behalf_of={behalf}"))
        assert seen in text(view.text)
    assert "Studio Polaris" in text(desk.client.get(_customer(desk, f"/view?on_behalf_of={connected_id}")).text)


@pytest.mark.case("B2")
def test_nobody_is_shown_on_behalf_of_a_foreign_account(desk: Desk) -> None:
    mine = _created(desk)  # of which the customer has nothing
    other = world.scene("Other").account_id
    theirs = connected.create(other, NewAccount("Theirs", "FR", "eur", "UTC"), AT).id
    desk.client.get(_customer(desk))
    for behalf in (mine, other, theirs, desk.account_id, "acct_none"):
        assert desk.client.send(_customer(desk, "/links"), {"on_behalf_of": behalf}).status_code == 404
        for view in ("/view", "/view/frame"):
            assert desk.client.get(_customer(desk, f"{view}?page=overview&on_behalf_of={behalf}")).status_code == 404


def test_the_list_goes_on_page_by_page(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connected, "AT_ONCE", 2)
    names = [f"Shop {number}" for number in range(5)]
    for number, name in enumerate(names):
        connected.create(desk.account_id, NewAccount(name, "FR", "eur", "UTC"), AT + number)
    found, after = [], None
    for _ in range(4):
        rows, after = connected.page(desk.account_id, after)
        found += [row.business_name for row in rows]
        if after is None:
            break
    assert sorted(found) == names
    first = desk.client.get(_address(desk)).text
    older = re.findall(r'href="([^"]+after=[^"]+)"', first)
    assert len(older) == 1
    assert desk.client.get(older[0]).status_code == 200


def test_the_list_is_read_by_its_index(app: Any) -> None:
    query = world.select(Account.id).where(Account.platform_id == "acct_x").order_by(Account.id.desc()).limit(51)
    assert "ix_accounts_platform" in plan(query, "accounts", unused=True)


def test_a_platform_says_who_gets_the_money(desk: Desk) -> None:
    address = _address(desk, f"/{_created(desk)}")
    desk.client.get(address)
    refused = desk.client.send(f"{address}/money", {"provider_account": "no account"})
    assert (refused.status_code, "is written like acct_" in text(refused.text)) == (422, True)
    for typed in ("acct_1A2b", ""):
        assert desk.client.send(f"{address}/money", {"provider_account": typed}).status_code == 303
        assert f'value="{typed}"' in desk.client.get(address).text
