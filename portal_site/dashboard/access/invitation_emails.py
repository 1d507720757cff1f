"""Inviting somebody, with the e-mail that has the link: who can read it has the address that was invited."""

from flask import current_app
from sqlalchemy.orm import Session

from portal_site.billing.models import Account
from portal_site.branding import theme
from portal_site.db.transactions import transaction
from portal_site.mail import outbox, rendering
from portal_site.mail.messages import Button, Message
from portal_site.mail.outbox import Draft
from portal_site.mail.rendering import Reader
from portal_site.staff import teams
from portal_site.staff.models import Invitation
from portal_site.staff.roles import Role
from portal_site.staff.teams import Invited
from portal_site.web import addresses

KIND = "team_invitation"


def invite(account_id: str, email: str, role: Role, by_id: str, by_name: str, at: int) -> tuple[Invitation, str]:
    """Offer somebody a place in a team. The link is mailed; without a mail server it is returned, to be shown once.

    Raises BillingError.
    """
    with transaction() as session:
        made = teams.add_invitation(session, account_id, email, role, by_id, at)
        is_mailed = current_app.config["SETTINGS"].sends_mail
        if is_mailed:
            _write(session, made, by_name, at)
    return made.invitation, "" if is_mailed else _link_of(made)


def _link_of(made: Invited) -> str:
    return addresses.base("invitations.show", token=made.token)


def _write(session: Session, made: Invited, by: str, at: int) -> None:
    invitation = made.invitation
    account = session.get_one(Account, invitation.account_id)
    message = Message(
        subject=f"Your invitation to {account.business_name}",
        heading=f"Join {account.business_name}",
        paragraphs=(f"{by} has invited you to the team, with the role {invitation.role}. The link works for a week.",),
        button=Button("Accept the invitation", _link_of(made)),
        notes=("If you do not know what this is about, you can ignore this email.",),
    )
    with rendering.in_language_of(Reader("en", account.timezone)):
        content = rendering.render(message, account.business_name, theme.parse(**(account.branding or {})))
    draft = Draft(
        account.id, True, KIND, f"{KIND}:{invitation.id}", [invitation.email], expires_at=invitation.expires_at,
        asked_for=True,
    )  # fmt: skip
    outbox.write(session, draft, content, at)
