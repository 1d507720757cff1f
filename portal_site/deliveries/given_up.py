"""The e-mail to a merchant's people that an endpoint was disabled because nothing had reached it for three days."""

from flask import current_app
from sqlalchemy.orm import Session

from portal_site.billing.models import Account, WebhookEndpoint
from portal_site.branding import theme
from portal_site.mail import outbox, rendering
from portal_site.mail.messages import Button, Message
from portal_site.mail.outbox import Draft
from portal_site.mail.rendering import Reader
from portal_site.staff import teams
from portal_site.staff.roles import Right
from portal_site.web import addresses

KIND = "webhook_endpoint_disabled"


def write(session: Session, endpoint: WebhookEndpoint, at: int) -> None:
    """Tell everybody who may manage keys, in the transaction that has disabled the endpoint."""
    people = teams.emails_of(session, endpoint.account_id, Right.MANAGE_KEYS)
    if not current_app.config["SETTINGS"].sends_mail or not people:
        return
    account = session.get_one(Account, endpoint.account_id)
    mode = "live" if endpoint.livemode else "test"
    there = addresses.base("dashboard.show_webhook_endpoint", account_id=account.id, mode=mode, endpoint_id=endpoint.id)
    message = Message(
        subject=f"A webhook endpoint of {account.business_name} was disabled",
        heading="Your program gets no events any more",
        paragraphs=(
            f"No event has reached the endpoint {endpoint.url} ({mode} mode) for three days, so it was disabled.",
            "When your program answers again, enable the endpoint. Events from before are not sent by themselves; your "
            "program can read those of the last 30 days from /v1/events.",
        ),
        button=Button("Look at the deliveries", there),
        notes=("You get this email because you may manage API keys.",),
    )
    with rendering.in_language_of(Reader("en", account.timezone)):
        content = rendering.render(message, account.business_name, theme.parse(**(account.branding or {})))
    for address in people:
        draft = Draft(account.id, True, KIND, f"{KIND}:{endpoint.id}:{at}:{address}", [address])
        outbox.write(session, draft, content, at)
