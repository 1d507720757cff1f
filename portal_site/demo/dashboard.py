"""The way into the dashboard of a demo merchant, without a password or a second step."""

from flask import redirect, request, url_for
from sqlalchemy import select
from werkzeug.wrappers import Response

from portal_site import clock
from portal_site.billing.events.actors import ActorType, acting_as
from portal_site.billing.loading import ownership
from portal_site.dashboard.access import session_cookie
from portal_site.db.transactions import transaction
from portal_site.demo import blueprint
from portal_site.staff import passwords, second_step, sessions, teams
from portal_site.staff.models import User
from portal_site.staff.roles import Role

PASSWORD = "demo"  # noqa: S105 - of a demo, on loopback; some pages ask for it


@blueprint.get("/dashboard/<account_id>")
def open_dashboard(account_id: str) -> Response:
    """Sign in as the owner of a demo merchant."""
    with acting_as(ActorType.OPERATOR), transaction() as session:
        account = ownership.get_account(session, account_id)
        email = f"owner@{account.id.lower()}.example"
        user = session.scalars(select(User).where(User.email == email)).one_or_none()
        if user is None:
            user = User(
                id=f"user_{account.id}", created=clock.now(), email=email, name=f"Owner of {account.business_name}",
                password_hash=passwords.hashed(PASSWORD), password_changed_at=clock.now(),
                totp_secret=second_step.new_secret(), totp_confirmed_at=clock.now(),
            )  # fmt: skip
            session.add(user)
            session.flush()
            teams.add_member(session, account.id, user, Role.OWNER, clock.now())
        token = sessions.add_session(session, user.id, request.user_agent.string, clock.now(), second_step=True)
    session_cookie.keep(token)
    return redirect(url_for("dashboard.show_home", account_id=account_id), 303)
