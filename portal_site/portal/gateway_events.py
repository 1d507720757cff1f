"""The endpoint for events of payment providers. A request is admitted by its signature, not by a session."""

from flask import Blueprint, abort, current_app, request

from portal_site import clock
from portal_site.billing.errors import EventRefused, NotFound
from portal_site.billing.events.actors import ActorType, acting_as
from portal_site.billing.payments import provider_events
from portal_site.billing.payments.gateway_events import handle_gateway_event
from portal_site.db.transactions import retry_on_conflict
from portal_site.web import addresses, security

blueprint = Blueprint("gateways", __name__)


@blueprint.post("/gateways/<name>/events")
@security.csrf.exempt
def receive_event(name: str) -> tuple[str, int]:
    """Receive an event. Providers send events again that are not answered with 200, so only forged ones are refused."""
    body, headers = request.get_data(cache=False), dict(request.headers)
    gateways = current_app.extensions["gateways"]
    try:
        with acting_as(ActorType.PROVIDER, name):
            retry_on_conflict(handle_gateway_event, gateways, name, headers, body, clock.now(), addresses.after_payment)
    except NotFound:
        abort(404)
    except EventRefused as refusal:
        return str(refusal), 400
    return "", 200


@blueprint.post("/webhooks/<name>/<account_id>")
@security.csrf.exempt
def store_event(name: str, account_id: str) -> tuple[str, int]:
    """Store an event of a provider at which the account has a connection of its own. The worker works it off."""
    body, headers = request.get_data(cache=False), dict(request.headers)
    gateways = current_app.extensions["gateways"]
    try:
        retry_on_conflict(provider_events.receive, gateways, name, account_id, headers, body, clock.now())
    except NotFound:
        abort(404)
    except EventRefused as refusal:
        return str(refusal), 400
    return "", 200
