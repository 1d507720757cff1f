"""Forms that a passkey fills in: what the browser is asked, and what comes back."""

from dataclasses import dataclass

from flask import current_app, request
from wtforms import HiddenField

from portal_site import clock
from portal_site.billing.errors import BillingError
from portal_site.dashboard.navigation import browser_name
from portal_site.staff import passkeys
from portal_site.staff.passkey_protocol import RelyingParty
from portal_site.staff.passkeys import Answer, Ceremony, Request
from portal_site.web.input.forms import PortalForm, text_field


class PasskeyForm(PortalForm):
    """The answer of a passkey."""

    answer = HiddenField()
    state = HiddenField()

    def read(self) -> Answer:
        """What was sent."""
        return Answer(self.answer.data or "", self.state.data or "")


class NewPasskeyForm(PasskeyForm):
    """A new passkey, and what its user calls it."""

    name = text_field("Name of the passkey", passkeys.LONGEST_NAME, True)


@dataclass(frozen=True)
class Offer:
    """What a page offers: a request for the browser, or `words` that say why there is none. Both may be missing."""

    request: Request | None = None
    words: str = ""


def party() -> RelyingParty:
    """Whom passkeys are for, by the portal's own address. Raises BillingError with the reason where there are none."""
    return passkeys.relying_party(current_app.config["SETTINGS"].base_url)


def offer_new(user_id: str) -> Offer:
    """A new passkey."""
    try:
        return Offer(passkeys.ask_to_add(party(), user_id, clock.now()))
    except BillingError as refusal:
        return Offer(words=str(refusal))


def offer_use(user_id: str, ceremony: Ceremony) -> Offer:
    """One of the user's passkeys; nothing, and no words either, to a user who has none."""
    if not passkeys.of_user(user_id):
        return Offer()
    try:
        return Offer(passkeys.ask_to_use(party(), user_id, ceremony, clock.now()))
    except BillingError as refusal:
        return Offer(words=str(refusal))


def blank() -> NewPasskeyForm:
    """The form for a new passkey, with a name that one may keep."""
    form = NewPasskeyForm(formdata=None)
    form.name.data = browser_name(request.user_agent.string)
    return form
