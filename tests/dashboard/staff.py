"""People who work for merchants, for tests of the dashboard."""

from dataclasses import dataclass
from functools import cache

import pyotp
from flask import Flask

from portal_site import clock
from portal_site.billing.accounts.accounts import NewAccount
from portal_site.billing.events.actors import ActorType, acting_as
from portal_site.dashboard.access import session_cookie
from portal_site.db.transactions import transaction
from portal_site.staff import passwords, second_step, sessions, setup, teams
from portal_site.staff.models import User
from portal_site.staff.roles import Role
from portal_site.web import security
from tests.client import PortalClient

PASSWORD = "lantern orbit biscuit"
BUSINESS = NewAccount("Lumen Press", "FR", "eur", "Europe/Paris")


@cache
def _stored() -> str:
    return passwords.hashed(PASSWORD)  # once: it takes longer than most tests


@dataclass(frozen=True)
class Employee:
    """A user of the dashboard, with the app for the second step."""

    user_id: str
    email: str
    secret: str

    def code(self, at: int | None = None) -> str:
        """What the app shows."""
        return pyotp.TOTP(self.secret).at(at if at is not None else clock.now())


def account() -> str:
    """The id of a new account without a team."""
    return setup.create_account(BUSINESS, clock.now()).id


def employ(
    account_id: str, role: Role = Role.OWNER, email: str = "ada@lumen.example", name: str = "Ada Byron"
) -> Employee:
    """Somebody with a role in an account, who has set up the second step."""
    at = clock.now()
    with acting_as(ActorType.OPERATOR), transaction() as session:
        encrypted = second_step.new_secret()
        user = User(
            id=f"user_{email}", created=at, email=email, name=name, password_hash=_stored(), password_changed_at=at,
            totp_secret=encrypted, totp_confirmed_at=at,
        )  # fmt: skip
        session.add(user)
        session.flush()
        teams.add_member(session, account_id, user, role, at)
        return Employee(user.id, email, second_step.read_secret(encrypted) or "")


def client_of(app: Flask) -> PortalClient:
    """A browser in which nobody is signed in."""
    return app.test_client()  # type: ignore[return-value]


def sign_in(app: Flask, who: Employee) -> PortalClient:
    """A browser in which this user has just signed in. Without the pages, whose passwords take longer than most tests."""
    client = client_of(app)
    with app.test_request_context():
        name = security.cookie_name(session_cookie.SUFFIX)
        client.set_cookie(name, sessions.open_session(who.user_id, "Firefox", clock.now(), second_step=True))
    client.get("/dashboard/profile")
    return client


def sign_in_by_the_pages(app: Flask, who: Employee) -> PortalClient:
    """The same, as people do it."""
    client = client_of(app)
    client.get("/dashboard/sign-in")
    assert client.send("/dashboard/sign-in", {"email": who.email, "password": PASSWORD}).status_code == 303
    client.get("/dashboard/sign-in/code")
    assert client.send("/dashboard/sign-in/code", {"code": who.code()}).status_code == 303
    client.get("/dashboard/profile")
    return client
