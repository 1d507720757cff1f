"""Webhook endpoints: which there are, what was sent to each, and changing them. A secret is shown once."""

from typing import Any

from flask import abort, current_app, flash, redirect, render_template, request
from werkzeug.wrappers import Response
from wtforms import BooleanField

from portal_site import clock
from portal_site.billing.errors import BillingError, NotFound
from portal_site.billing.models import WebhookEndpoint
from portal_site.billing.webhooks import endpoints, queue
from portal_site.dashboard import blueprint, forms, modes, needs
from portal_site.dashboard.catalog.forms import lines_field
from portal_site.dashboard.connections import webhook_words as words
from portal_site.dashboard.modes import IN_MODE
from portal_site.dashboard.navigation import account_url
from portal_site.deliveries import targets
from portal_site.staff.roles import Right
from portal_site.web.input.forms import PortalForm, Required, checked_field, text_field

Page = Any
SHOWN = 30  # deliveries on the page of an endpoint
LONGEST_EVENTS, LONGEST_DESCRIPTION = 10_000, 500
ONE = f"{IN_MODE}/webhooks/<endpoint_id>"


class EndpointForm(PortalForm):
    """Where events are sent to, and which."""

    url = checked_field("URL", endpoints.LONGEST_URL, True, description="In live mode it begins with https://.")
    events = lines_field(
        "List of event types", LONGEST_EVENTS, "One in each line, such as invoice.paid, or * for all that there are."
    )
    description = text_field("Description", LONGEST_DESCRIPTION)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.events.validators = [Required(), *self.events.validators]
        self.events.flags.required = True

    @property
    def wanted(self) -> dict[str, Any]:
        """What was typed. Raises BillingError for an address in a private network."""
        url = self.url.data or ""
        targets.check_url(url, current_app.config["SETTINGS"].webhook_networks)
        names = (self.events.data or "").replace(",", " ").split()
        return {"url": url, "enabled_events": names, "description": self.description.data or None}

    def refuse(self, refusal: BillingError) -> str:
        """Put a refusal at its field; the words, if it has none."""
        if (refusal.param or "").startswith("enabled_events"):
            refusal.param = "events"
        return forms.refuse(self, refusal)


class NewEndpointForm(EndpointForm):
    """A new endpoint, whose events may be those of connected accounts."""

    connect = BooleanField("Events of connected accounts, in place of your own")


@blueprint.get(f"{IN_MODE}/webhooks")
@needs(Right.MANAGE_KEYS, fresh=True)
def show_webhook_endpoints(account_id: str, mode: str) -> str:
    """The endpoints of a mode, and a form for a new one."""
    return _list_page(account_id)


def _list_page(account_id: str, form: NewEndpointForm | None = None, refusal: str = "") -> str:
    return render_template(
        "dashboard/webhooks/index.html",
        endpoints=endpoints.of_account(account_id, modes.is_live()),
        form=form or NewEndpointForm(formdata=None),
        refusal=refusal,
        words=words,
        kind=modes.current(),
    )


@blueprint.post(f"{IN_MODE}/webhooks")
@needs(Right.MANAGE_KEYS, fresh=True)
def create_webhook_endpoint(account_id: str, mode: str) -> Page:
    """Add an endpoint, and show its secret this once."""
    form = NewEndpointForm()
    if not form.validate():
        return _list_page(account_id, form), 422
    try:
        wanted = {**form.wanted, "connect": form.connect.data}
        made = endpoints.create(account_id, mode == modes.LIVE, wanted, clock.now())
    except BillingError as refusal:
        return _list_page(account_id, form, form.refuse(refusal)), 422
    return _page(made.row, secret=made.secret)


@blueprint.get(ONE)
@needs(Right.MANAGE_KEYS, fresh=True)
def show_webhook_endpoint(account_id: str, mode: str, endpoint_id: str) -> str:
    """An endpoint, with what was sent to it last."""
    return _page(_find(account_id, endpoint_id))


def _find(account_id: str, endpoint_id: str) -> WebhookEndpoint:
    try:
        return endpoints.get(account_id, modes.is_live(), endpoint_id)
    except NotFound:
        abort(404)


def _page(row: WebhookEndpoint, form: EndpointForm | None = None, refusal: str = "", secret: str = "") -> str:
    stored = {"url": row.url, "events": "\n".join(row.enabled_events), "description": row.description or ""}
    return render_template(
        "dashboard/webhooks/endpoint.html",
        endpoint=row,
        state=words.badge_of(row),
        sentences=words.sentences(row, clock.now()),
        details=(("ID", row.id), ("Description", row.description), ("Events", words.events_of(row))),
        deliveries=[words.shown(one) for one in queue.deliveries_of(row, SHOWN)],
        form=form or EndpointForm(formdata=None, data=stored),
        refusal=refusal,
        secret=secret,
        is_on=row.status == endpoints.ENABLED,
    )


@blueprint.post(ONE)
@needs(Right.MANAGE_KEYS, fresh=True)
def save_webhook_endpoint(account_id: str, mode: str, endpoint_id: str) -> Page:
    """Change where events are sent to, and which."""
    row, form = _find(account_id, endpoint_id), EndpointForm()
    if not form.validate():
        return _page(row, form), 422
    try:
        endpoints.change(account_id, mode == modes.LIVE, endpoint_id, form.wanted, clock.now())
    except BillingError as refusal:
        return _page(_find(account_id, endpoint_id), form, form.refuse(refusal)), 422
    return _back(endpoint_id, "Saved.")


@blueprint.post(f"{ONE}/activity")
@needs(Right.MANAGE_KEYS, fresh=True)
def switch_webhook_endpoint(account_id: str, mode: str, endpoint_id: str) -> Page:
    """Enable or disable an endpoint."""
    _find(account_id, endpoint_id)
    disabled = request.form.get("enabled") != "yes"
    endpoints.change(account_id, mode == modes.LIVE, endpoint_id, {"disabled": disabled}, clock.now())
    return _back(endpoint_id, "No more events are sent." if disabled else "Events are sent from now on.")


@blueprint.post(f"{ONE}/secret")
@needs(Right.MANAGE_KEYS, fresh=True)
def roll_webhook_secret(account_id: str, mode: str, endpoint_id: str) -> Page:
    """Replace the secret, and show the new one this once; the old one counts for another day."""
    _find(account_id, endpoint_id)
    made = endpoints.roll(account_id, mode == modes.LIVE, endpoint_id, clock.now())
    return _page(made.row, secret=made.secret)


@blueprint.post(f"{ONE}/deliveries/<event_id>")
@needs(Right.MANAGE_KEYS, fresh=True)
def resend_event(account_id: str, mode: str, endpoint_id: str, event_id: str) -> Page:
    """Send an event to the endpoint again."""
    row = _find(account_id, endpoint_id)
    try:
        queue.send_again(account_id, mode == modes.LIVE, event_id, endpoint_id, clock.now())
    except NotFound:
        abort(404)
    except BillingError as refusal:
        return _page(row, refusal=str(refusal)), 422
    return _back(endpoint_id, "The event is sent again in a moment.")


@blueprint.get(f"{ONE}/end")
@needs(Right.MANAGE_KEYS, fresh=True)
def ask_to_delete_webhook_endpoint(account_id: str, mode: str, endpoint_id: str) -> str:
    """Ask first: what waits is never sent."""
    return render_template("dashboard/webhooks/end.html", endpoint=_find(account_id, endpoint_id))


@blueprint.post(f"{ONE}/end")
@needs(Right.MANAGE_KEYS, fresh=True)
def delete_webhook_endpoint(account_id: str, mode: str, endpoint_id: str) -> Page:
    """Delete an endpoint for ever."""
    _find(account_id, endpoint_id)
    endpoints.delete(account_id, mode == modes.LIVE, endpoint_id, clock.now())
    flash("The endpoint is deleted.", "good")
    return redirect(account_url("show_webhook_endpoints"), 303)


def _back(endpoint_id: str, said: str) -> Response:
    flash(said, "good")
    return redirect(account_url("show_webhook_endpoint", endpoint_id=endpoint_id), 303)
