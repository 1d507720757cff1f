"""The connection of an account to its payment provider: the key, whether it works, another one, and none."""

from contextlib import suppress
from typing import Any

from flask import current_app, flash, redirect, render_template
from werkzeug.wrappers import Response
from wtforms import PasswordField
from wtforms.validators import Length

from portal_site import clock
from portal_site.billing.errors import BillingError, GatewayUnavailable, NotFound
from portal_site.billing.gateways.stripe import connections, endpoint
from portal_site.billing.gateways.stripe.connections import KeyUnreadable, StripeConnector
from portal_site.dashboard import blueprint, forms, modes, needs
from portal_site.dashboard.modes import IN_MODE
from portal_site.dashboard.navigation import account_url
from portal_site.staff.roles import Right
from portal_site.web import addresses
from portal_site.web.input.forms import PortalForm, Required, checked_field, translated

Page = Any
NO_ANSWER = "Stripe does not answer at the moment. Please try again later."
LATER = "Until then, Stripe is asked once an hour what happened."
WORKING, FAULTY = {"label": "Connected", "tone": "good"}, {"label": "Does not work", "tone": "bad"}


class ConnectForm(PortalForm):
    """A key of Stripe's, and for whom it charges."""

    key = PasswordField(
        "Secret or restricted key", validators=[Required(), Length(max=connections.LONGEST_KEY)],
        description="A restricted key is better: it can do no more than it has to. It is stored encrypted and never shown.",
    )  # fmt: skip
    acts_for = checked_field(
        "Connected account at Stripe", 100, False,
        description="Only for a key of a platform: whom it charges for, such as acct_….",
    )  # fmt: skip


@blueprint.get(f"{IN_MODE}/gateway")
@needs(Right.MANAGE_KEYS, fresh=True)
def show_gateway(account_id: str, mode: str) -> str:
    """The connection, or the form for one."""
    return _page(account_id)


def _page(account_id: str, form: ConnectForm | None = None, refusal: str = "") -> str:
    connection = connections.find(account_id, modes.is_live())
    return render_template(
        "dashboard/gateway/index.html",
        connection=connection,
        state=FAULTY if connection is not None and connection.fault else WORKING,
        is_installed=_connector() is not None,
        is_live=modes.is_live(),
        form=form or ConnectForm(formdata=None),
        refusal=refusal,
    )


@blueprint.post(f"{IN_MODE}/gateway")
@needs(Right.MANAGE_KEYS, fresh=True)
def connect_gateway(account_id: str, mode: str) -> Page:
    """Check a key at Stripe, and store it."""
    form, connector = ConnectForm(), _connector()
    if connector is None or not form.validate():
        return _page(account_id, form), 422
    try:
        connections.connect(
            connector, account_id, mode == modes.LIVE, form.key.data or "", clock.now(), form.acts_for.data or None
        )
    except BillingError as refusal:
        words = _why(refusal) if isinstance(refusal, GatewayUnavailable) else forms.refuse(form, refusal)
        return _page(account_id, form, words), 422
    words = _register(connector, account_id, mode)
    flash("Stripe is connected.", "good")
    if words:
        flash(f"{words} {LATER}", "note")
    return _back()


@blueprint.post(f"{IN_MODE}/gateway/events")
@needs(Right.MANAGE_KEYS, fresh=True)
def receive_gateway_events(account_id: str, mode: str) -> Page:
    """Make the endpoint at Stripe that sends events here, or bring it up to date."""
    connector = _connector()
    if connector is None or connections.find(account_id, mode == modes.LIVE) is None:
        return _back()
    words = _register(connector, account_id, mode)
    return (_page(account_id, refusal=f"{words} {LATER}"), 422) if words else _done("Stripe sends events here.")


def _register(connector: StripeConnector, account_id: str, mode: str) -> str:
    """Let Stripe send events; why that does not work, in words."""
    url = addresses.base("gateways.store_event", name=connector.name, account_id=account_id)
    try:
        endpoint.register(connector, account_id, mode == modes.LIVE, url, clock.now())
    except BillingError as refusal:
        return _why(refusal)
    return ""


@blueprint.post(f"{IN_MODE}/gateway/check")
@needs(Right.MANAGE_KEYS, fresh=True)
def check_gateway(account_id: str, mode: str) -> Page:
    """Ask Stripe whether the key still works."""
    connector = _connector()
    try:
        if connector is None:
            raise NotFound("Stripe is not installed here.")
        report = connections.check(connector, account_id, mode == modes.LIVE, clock.now())
        silence = endpoint.fault(connector, account_id, mode == modes.LIVE)
    except NotFound:
        return _back()
    except BillingError as refusal:
        return _page(account_id, refusal=_why(refusal)), 422
    if silence:
        flash(f"{silence} {LATER}", "note")
    return _back() if report.missing else _done("The key works.")


@blueprint.get(f"{IN_MODE}/gateway/end")
@needs(Right.MANAGE_KEYS, fresh=True)
def ask_to_disconnect_gateway(account_id: str, mode: str) -> Page:
    """Ask first: nothing is charged afterwards."""
    connection = connections.find(account_id, modes.is_live())
    return render_template("dashboard/gateway/end.html", connection=connection) if connection else _back()


@blueprint.post(f"{IN_MODE}/gateway/end")
@needs(Right.MANAGE_KEYS, fresh=True)
def disconnect_gateway(account_id: str, mode: str) -> Page:
    """Forget the key."""
    connector = _connector()
    if connector is not None:
        with suppress(BillingError):  # a key that does not work any more cannot take its endpoint along
            endpoint.remove(connector, account_id, mode == modes.LIVE)
    try:
        connections.disconnect(account_id, mode == modes.LIVE, clock.now())
    except NotFound:
        return _back()
    return _done("Stripe is not connected any more.")


def _why(refusal: BillingError) -> str:
    """A refusal in words. That a provider does not answer has some of its own, which are for customers."""
    if isinstance(refusal, KeyUnreadable):
        return str(refusal)
    return NO_ANSWER if isinstance(refusal, GatewayUnavailable) else translated(refusal)


def _connector() -> StripeConnector | None:
    found = current_app.extensions["gateways"].connector("stripe")
    return found if isinstance(found, StripeConnector) else None


def _done(words: str) -> Response:
    flash(words, "good")
    return _back()


def _back() -> Response:
    return redirect(account_url("show_gateway"), 303)
