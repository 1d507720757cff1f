"""API keys: which there are, new ones, replacing one, and ending one. A key is shown once, in answer to what made it."""

from typing import Any

from flask import abort, flash, redirect, render_template
from wtforms import SelectField

from portal_site import clock
from portal_site.billing.api_access import api_keys
from portal_site.billing.errors import BillingError, NotFound
from portal_site.billing.models import ApiKey
from portal_site.dashboard import blueprint, forms, modes, needs
from portal_site.dashboard.modes import IN_MODE
from portal_site.dashboard.navigation import account_url
from portal_site.dashboard.settings.sections import one_of
from portal_site.staff.roles import Right
from portal_site.web.input.forms import PortalForm, choices, text_field
from portal_site.web.rendering import filters

Page = Any
MOST_ENDED = 20  # keys that work no more, which the page shows
SECRET, RESTRICTED, NONE = "secret", "restricted", ""
KINDS = (
    (SECRET, "Secret: may do everything, for a server of yours"),
    (RESTRICTED, "Restricted: may do what is chosen below"),
)
LEVELS = ((NONE, "Nothing"), (api_keys.READ, "Read"), (api_keys.WRITE, "Read and write"))
HOUR = 60 * 60
KEPT = (("0", "Not at all"), (str(HOUR), "1 hour"), (str(24 * HOUR), "24 hours"), (str(7 * 24 * HOUR), "7 days"))


def _level(label: str) -> SelectField:
    return SelectField(label, choices=choices(LEVELS, blank=False), default=NONE)


class KeyForm(PortalForm):
    """A new key: what it is called, and what it may do."""

    name = text_field("Name", api_keys.LONGEST_NAME)
    kind = one_of("What it may do", KINDS)
    customers = _level("Customers")
    customer_portal = _level("Customer portal")
    payment_methods = _level("Payment methods")
    setup_intents = _level("Setup intents")
    checkout_sessions = _level("Checkout sessions")
    payment_intents = _level("Payment intents")
    charges = _level("Charges and refunds")
    balance = _level("Balance")
    account = _level("Account")
    events = _level("Events")
    webhook_endpoints = _level("Webhook endpoints")

    @property
    def levels(self) -> list[Any]:
        """The fields of the rights."""
        return [self[right] for right in api_keys.RIGHTS]

    @property
    def rights(self) -> dict[str, str] | None:
        """The rights of a restricted key; None for a secret one."""
        if self.kind.data == SECRET:
            return None
        return {right: self[right].data for right in api_keys.RIGHTS if self[right].data}

    def validate(self, *args: Any, **kwargs: Any) -> bool:
        """Also that a restricted key may do something."""
        is_valid: bool = super().validate(*args, **kwargs)
        if is_valid and self.rights == {}:
            self.kind.errors = ["Choose what a restricted key may do."]
            return False
        return is_valid


class RollForm(PortalForm):
    """How long the old key works beside the new one."""

    kept = SelectField("The old key still works for", choices=choices(KEPT, blank=False))


def words(row: ApiKey) -> str:
    """What a key may do, since when, and until when it works."""
    rights = row.rights or {}
    may = ", ".join(f"{right.replace('_', ' ')}: {level}" for right, level in rights.items()) or "may do everything"
    until = f", until {filters.minute(row.expires_at)}" if row.expires_at is not None else ""
    return f"{may}, since {filters.date(row.created)}{until}"


@blueprint.get(f"{IN_MODE}/api-keys")
@needs(Right.MANAGE_KEYS, fresh=True)
def show_api_keys(account_id: str, mode: str) -> str:
    """The keys, without what is secret of them."""
    return _page(account_id)


def _page(account_id: str, form: KeyForm | None = None, refusal: str = "", token: str = "") -> str:
    livemode, now = modes.is_live(), clock.now()
    return render_template(
        "dashboard/api_keys/index.html",
        keys=api_keys.working(account_id, livemode, now),
        ended=api_keys.ended(account_id, livemode, now, MOST_ENDED),
        form=form or KeyForm(formdata=None, data={"kind": SECRET}),
        refusal=refusal,
        token=token,
        words=words,
        kept=KEPT,
        kind="live" if livemode else "test",
    )


@blueprint.post(f"{IN_MODE}/api-keys")
@needs(Right.MANAGE_KEYS, fresh=True)
def create_api_key(account_id: str, mode: str) -> Page:
    """Create a key, and show it this once."""
    form = KeyForm()
    if not form.validate():
        return _page(account_id, form), 422
    try:
        made = api_keys.create(
            account_id, clock.now(), livemode=mode == modes.LIVE, name=form.name.data or None, rights=form.rights
        )
    except BillingError as refusal:
        return _page(account_id, form, forms.refuse(form, refusal)), 422
    return _page(account_id, token=made.token)


def _find(account_id: str, key_id: str) -> ApiKey:
    try:
        return api_keys.get(account_id, modes.is_live(), key_id)
    except NotFound:
        abort(404)


@blueprint.post(f"{IN_MODE}/api-keys/<key_id>/replacement")
@needs(Right.MANAGE_KEYS, fresh=True)
def roll_api_key(account_id: str, mode: str, key_id: str) -> Page:
    """Replace a key by a new one with the same rights, and show that this once."""
    _find(account_id, key_id)
    form = RollForm()
    if not form.validate():
        return _page(account_id, refusal="Choose how long the old key still works."), 422
    try:
        made = api_keys.roll(account_id, key_id, clock.now(), int(form.kept.data))
    except BillingError as refusal:
        return _page(account_id, refusal=str(refusal)), 422
    return _page(account_id, token=made.token)


@blueprint.get(f"{IN_MODE}/api-keys/<key_id>/end")
@needs(Right.MANAGE_KEYS, fresh=True)
def ask_to_revoke_api_key(account_id: str, mode: str, key_id: str) -> str:
    """Ask first: whatever uses the key stops working."""
    return render_template("dashboard/api_keys/end.html", key=_find(account_id, key_id), words=words)


@blueprint.post(f"{IN_MODE}/api-keys/<key_id>/end")
@needs(Right.MANAGE_KEYS, fresh=True)
def revoke_api_key(account_id: str, mode: str, key_id: str) -> Page:
    """End a key at once."""
    _find(account_id, key_id)
    try:
        row = api_keys.revoke(account_id, key_id, clock.now())
    except BillingError as refusal:
        return _page(account_id, refusal=str(refusal)), 422
    flash(f"{row.redacted} works no more.", "good")
    return redirect(account_url("show_api_keys"), 303)
