"""The page to which customers return from the sandbox. It takes over what they did there, and leads on to the merchant's page.

Anybody may open it: it does nothing but to ask the sandbox. The page leads on, and no redirect does, because browsers apply
`form-action` to the redirects after a form, too.
"""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from flask import Blueprint, Response, abort, make_response, render_template
from sqlalchemy import select
from werkzeug.urls import iri_to_uri

from portal_site import clock
from portal_site.api.payments.routes import gateways
from portal_site.billing.direct_payments import checkout, payment_intents, setups
from portal_site.billing.direct_payments.owned import Owner
from portal_site.billing.events.actors import ActorType, acting_as
from portal_site.billing.models import CheckoutSession, PaymentIntent, SetupIntent
from portal_site.db.transactions import joined_transaction, reading

blueprint = Blueprint("returns", __name__)
KINDS: Mapping[str, tuple[Any, Callable[..., Any]]] = {
    "checkout": (CheckoutSession, checkout.settle),
    "payment": (PaymentIntent, payment_intents.settle),
    "setup": (SetupIntent, setups.settle),
}
STATUSES = {"succeeded": "succeeded", "processing": "pending"}


@blueprint.get("/returns/<noun>/<name>")
def show(noun: str, name: str) -> Response:
    """Settle what the customer did at the sandbox, and lead on."""
    model, settle = KINDS.get(noun) or abort(404)
    query = select(model.account_id, model.livemode).where(model.id == name.replace("\0", ""))
    with reading() as connection:
        found = connection.execute(
            query.execution_options(unscoped="the id, which cannot be guessed, says whose it is")
        ).first()
    if found is None:
        abort(404)
    with acting_as(ActorType.PROVIDER, "sandbox"), joined_transaction():
        row = settle(gateways(), Owner(*found), name, clock.now())
    there = _of_session(row) if noun == "checkout" else _of_intent(row, f"{noun}_intent")
    page = make_response(render_template("sandbox/return.html", address=there))
    if there:
        page.headers["Refresh"] = f"0; url={iri_to_uri(there)}"
    return page


def _of_session(row: CheckoutSession) -> str | None:
    """Where the session leads on: to the merchant's page or, while nothing is saved, back to the form."""
    if row.status == checkout.OPEN:
        return row.url
    return row.success_url if row.status == checkout.COMPLETE else row.cancel_url


def _of_intent(row: PaymentIntent | SetupIntent, noun: str) -> str | None:
    """The merchant's page with what Stripe adds to its address, if there is one."""
    if row.return_url is None:
        return None
    status = STATUSES.get(row.status, "failed")
    added = urlencode({noun: row.id, f"{noun}_client_secret": row.client_secret or "", "redirect_status": status})
    parts = urlsplit(row.return_url)
    return parts._replace(query=f"{parts.query}&{added}" if parts.query else added).geturl()
