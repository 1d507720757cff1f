"""The e-mail with the link of an invitation: who can read it has the address that was invited."""

from sqlalchemy.orm import Session

from portal_site.billing.models import Account
from portal_site.branding import theme
from portal_site.mail import outbox, rendering
from portal_site.mail.messages import Button, Message
from portal_site.mail.outbox import Draft
from portal_site.mail.rendering import Reader
from portal_site.staff.teams import Invited
from portal_site.web import addresses

KIND = "team_invitation"


def link_of(made: Invited) -> str:
    """The link, which is shown or mailed once."""
    return addresses.base("invitations.show", token=made.token)


def write(session: Session, made: Invited, by: str, at: int) -> None:
    """Put the e-mail into the outbox, in the transaction of the invitation."""
    invitation = made.invitation
    account = session.get_one(Account, invitation.account_id)
    message = Message(
        subject=f"Your invitation to {account.business_name}",
        heading=f"Join {account.business_name}",
        paragraphs=(f"{by} has invited you to the team, with the role {invitation.role}. The link works for a week.",),
        button=Button("Accept the invitation", link_of(made)),
        notes=("If you do not know what this is about, you can ignore this email.",),
    )
    with rendering.in_language_of(Reader("en", account.timezone)):
        content = rendering.render(message, account.business_name, theme.parse(**(account.branding or {})))
    draft = Draft(
        account.id, True, KIND, f"{KIND}:{invitation.id}", [invitation.email], expires_at=invitation.expires_at,
        asked_for=True,
    )  # fmt: skip
    outbox.write(session, draft, content, at)
