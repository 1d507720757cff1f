"""An account's team: invitations, roles, and that an owner always stays."""

import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import time_machine
from flask import Flask
from sqlalchemy import select

from portal_site.billing.errors import BillingError
from portal_site.billing.events.actors import ActorType, acting_as
from portal_site.billing.models import Event
from portal_site.db.transactions import reading, transaction
from portal_site.mail import outbox
from portal_site.mail.models import Email
from portal_site.staff import teams
from portal_site.staff.models import Invitation
from portal_site.staff.roles import Role
from tests import world
from tests.client import text
from tests.dashboard.staff import PASSWORD, Employee, account, client_of, employ, sign_in

AT = world.HALF


@pytest.fixture(autouse=True)
def now() -> Iterator[None]:
    with time_machine.travel(AT, tick=False), acting_as(ActorType.OPERATOR):
        yield


@pytest.fixture
def place(app: Flask) -> str:
    return account()


@pytest.fixture
def owner(place: str) -> Employee:
    return employ(place)


def _roles(account_id: str) -> dict[str, Role]:
    return {member.email: member.role for member in teams.members(account_id)}


def test_somebody_is_invited_and_joins(app: Flask, place: str, owner: Employee) -> None:
    client = sign_in(app, owner)
    client.get(f"/dashboard/{place}/team")
    page = client.send(f"/dashboard/{place}/team/invitations", {"email": " Bob@Lumen.example", "role": "support"})
    link = re.search(r"<code>http://[^/]+(/dashboard/invitations/[\w-]+)</code>", page.text)
    assert link
    assert link[1] not in client.get(f"/dashboard/{place}/team").text  # shown once
    with reading() as reader:
        assert reader.scalar(select(Invitation.token_hash).where(Invitation.account_id == place)) not in link[1]
    guest = client_of(app)
    for _ in range(2):  # opening it changes nothing
        assert "You were invited with bob@lumen.example as support." in text(guest.get(link[1]).text)
    weak = guest.send(link[1], {"name": "Bob", "password": "lumenpress"})
    assert (weak.status_code, "easy to guess" in weak.text) == (422, True)
    assert guest.send(link[1], {"name": "Bob  Noyce", "password": PASSWORD}).location == "/dashboard"
    assert guest.get("/dashboard").location == "/dashboard/sign-in/second-step"
    assert _roles(place) == {owner.email: Role.OWNER, "bob@lumen.example": Role.SUPPORT}
    assert guest.get(link[1]).status_code == 404
    assert "Bob Noyce" in client.get(f"/dashboard/{place}/team").text


def test_with_a_mail_server_the_link_is_mailed_and_not_shown(
    app: Flask, place: str, owner: Employee, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(app.config, "SETTINGS", replace(app.config["SETTINGS"], smtp_url="smtp://127.0.0.1:9?tls=none"))
    client = sign_in(app, owner)
    client.get(f"/dashboard/{place}/team")
    there = f"/dashboard/{place}/team/invitations"
    page = client.send(there, {"email": "bob@lumen.example", "role": "admin"}, follow_redirects=True)
    assert "The invitation is on its way to bob@lumen.example." in page.text
    assert "/dashboard/invitations/" not in page.text
    with transaction() as session:
        email = session.scalars(select(Email).where(Email.account_id == place)).one()
        content = outbox.content_of(email)
    assert (email.recipients, email.livemode) == ({"to": ["bob@lumen.example"], "cc": []}, True)
    link = re.search(r"http://[^/]+(/dashboard/invitations/[\w-]+)", content.text)
    assert link
    assert "Join Lumen Press" in text(client_of(app).get(link[1]).text)


def test_who_leaves_takes_the_open_invitations_along(app: Flask, place: str, owner: Employee) -> None:
    bob = employ(place, email="bob@lumen.example", name="Bob")
    back = teams.invite(place, "bob@elsewhere.example", Role.OWNER, bob.user_id, AT)
    teams.remove(place, bob.user_id, AT)
    with pytest.raises(BillingError):
        teams.accept(back.token, "Bob", PASSWORD, AT)


@pytest.mark.parametrize("name", ["\u200b\u200b", "\u202eadA", "Ada\x00", "", "x" * 101])
def test_names_are_plain(place: str, name: str) -> None:
    made = teams.invite(place, "bob@lumen.example", Role.OWNER, None, AT)
    with pytest.raises(BillingError, match="Enter a name"):
        teams.accept(made.token, name, PASSWORD, AT)


def test_a_user_joins_a_second_account(app: Flask, place: str, owner: Employee) -> None:
    elsewhere = account()
    token = teams.invite(elsewhere, owner.email, Role.ANALYST, None, AT).token
    client, guest = sign_in(app, owner), client_of(app)
    assert "You already have an account." in guest.get(f"/dashboard/invitations/{token}").text
    assert guest.send(f"/dashboard/invitations/{token}", {"name": "X", "password": PASSWORD}).status_code == 404
    assert guest.send(f"/dashboard/invitations/{token}/join").location == "/dashboard/sign-in"
    client.get(f"/dashboard/invitations/{token}")
    assert client.send(f"/dashboard/invitations/{token}/join").location == f"/dashboard/{elsewhere}"
    assert client.get("/dashboard").status_code == 200
    assert _roles(elsewhere) == {owner.email: Role.ANALYST}


def test_an_invitation_is_for_its_address(app: Flask, place: str, owner: Employee) -> None:
    other = employ(account(), email="eve@other.example")
    token = teams.invite(place, "carol@lumen.example", Role.OWNER, None, AT).token
    client = sign_in(app, other)
    client.get(f"/dashboard/invitations/{token}")
    assert client.send(f"/dashboard/invitations/{token}/join").status_code == 404
    assert other.email not in _roles(place)


@pytest.mark.parametrize("end", ["withdrawn", "too old", "invited again"])
def test_an_invitation_ends(app: Flask, place: str, owner: Employee, end: str) -> None:
    made = teams.invite(place, "bob@lumen.example", Role.ADMIN, None, AT)
    later = AT
    if end == "withdrawn":
        teams.withdraw(place, made.invitation.id, AT)
    elif end == "too old":
        later += teams.LIFE
    else:
        teams.invite(place, "bob@lumen.example", Role.SUPPORT, None, AT)
    with time_machine.travel(later, tick=False):
        assert client_of(app).get(f"/dashboard/invitations/{made.token}").status_code == 404
        with pytest.raises(BillingError):
            teams.accept(made.token, "Bob", PASSWORD, later)


def test_the_last_owner_stays(app: Flask, place: str, owner: Employee) -> None:
    client = sign_in(app, owner)
    client.get(f"/dashboard/{place}/team")
    for action, data in ((f"{owner.user_id}/role", {"role": "admin"}), (f"{owner.user_id}/removal", {})):
        refused = client.send(f"/dashboard/{place}/team/{action}", data)
        assert (refused.status_code, "The last owner has to stay one." in refused.text) == (422, True)
    assert client.send(f"/dashboard/{place}/team/{owner.user_id}/role", {"role": "god"}).status_code == 422
    assert _roles(place) == {owner.email: Role.OWNER}


def test_of_two_owners_that_leave_at_once_one_stays(app: Flask, place: str, owner: Employee) -> None:
    other, start = employ(place, email="bob@lumen.example"), threading.Barrier(2)

    def leave(user_id: str) -> bool:
        with app.app_context(), acting_as(ActorType.OPERATOR):
            start.wait()
            try:
                teams.remove(place, user_id, AT)
            except BillingError:
                return False
            return True

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(leave, (owner.user_id, other.user_id))) == [False, True]
    assert len(_roles(place)) == 1


def test_who_has_left_sees_nothing_with_the_next_click(app: Flask, place: str, owner: Employee) -> None:
    bob = employ(place, Role.ADMIN, "bob@lumen.example", "Bob")
    client, mine = sign_in(app, bob), sign_in(app, owner)
    assert client.get(f"/dashboard/{place}").status_code == 200
    mine.get(f"/dashboard/{place}/team")
    mine.send(f"/dashboard/{place}/team/{bob.user_id}/removal")
    assert client.get(f"/dashboard/{place}").status_code == 404


def test_a_lost_phone(app: Flask, place: str, owner: Employee) -> None:
    bob = employ(place, Role.SUPPORT, "bob@lumen.example", "Bob")
    client, mine = sign_in(app, bob), sign_in(app, owner)
    mine.get(f"/dashboard/{place}/team")
    assert mine.send(f"/dashboard/{place}/team/{bob.user_id}/second-step/removal").status_code == 303
    assert client.get(f"/dashboard/{place}").status_code == 303
    client.get("/dashboard/sign-in")
    client.send("/dashboard/sign-in", {"email": bob.email, "password": PASSWORD})
    assert client.get("/dashboard").location == "/dashboard/sign-in/second-step"


def test_what_happens_in_a_team_is_kept_with_who_did_it(app: Flask, place: str, owner: Employee) -> None:
    with acting_as(ActorType.USER, owner.user_id):
        made = teams.invite(place, "bob@lumen.example", Role.ADMIN, owner.user_id, AT)
        teams.withdraw(place, made.invitation.id, AT)
    with reading() as reader:
        query = select(Event.type, Event.actor_type, Event.actor_id, Event.data).where(Event.account_id == place)
        rows = reader.execute(query.order_by(Event.sequence)).all()
    assert [row[:3] for row in rows] == [
        ("team.member.created", "operator", None),
        ("team.invitation.created", "user", owner.user_id),
        ("team.invitation.deleted", "user", owner.user_id),
    ]
    assert made.token not in str(rows)


@pytest.mark.parametrize("email", ["", "bob", "bob@", "a@b.example\nBcc: c@d.example", "x" * 300 + "@b.example"])
def test_only_addresses_are_invited(place: str, email: str) -> None:
    with pytest.raises(BillingError, match="Enter an email address"):
        teams.invite(place, email, Role.ADMIN, None, AT)
