"""The endpoint at Stripe that sends events here: made, kept up to date and removed through Stripe's API.

Stripe tells the secret of an endpoint only when it is made. So one whose secret is not stored is made anew, and removed only once
the new one's secret is stored: no event is lost between them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import select

from portal_site import encryption
from portal_site.billing.errors import BillingError, GatewayUnavailable, NotFound
from portal_site.billing.gateways.stripe import client as clients
from portal_site.billing.gateways.stripe import events
from portal_site.billing.gateways.stripe.connections import FORMER_SECRET, StripeConnector, find, key_of
from portal_site.billing.gateways.stripe.models import StripeConnection
from portal_site.db.transactions import transaction

RIGHT = "Webhook Endpoints: write"
MADE_BY = "portal_account"  # the member of an endpoint's metadata that names the account that it is for
ENABLED = "enabled"


def register(connector: StripeConnector, account_id: str, livemode: bool, url: str, at: int) -> str:
    """Make the endpoint that sends an account's events to `url`, or bring it up to date. Returns Stripe's id of it.

    Raises NotFound if Stripe is not connected, BillingError if it refuses, such as an address that it cannot reach, and
    GatewayUnavailable if it does not answer.
    """
    row = _row(account_id, livemode)
    endpoints = _platform(connector, row).webhook_endpoints
    with _refusals():
        known = [one.to_dict() for one in endpoints.list({"limit": 100}).auto_paging_iter()]
        ours = [one for one in known if (one.get("metadata") or {}).get(MADE_BY) == account_id]
        current = next((one for one in ours if _is_current(one, row, url)), None)
        if current is None:
            current = endpoints.create(_definition(account_id, row, url)).to_dict()
            _store(row, str(current["id"]), str(current["secret"]), at)
        elif set(current["enabled_events"]) != set(events.TYPES) or current["status"] != ENABLED:
            endpoints.update(current["id"], {"enabled_events": list(events.TYPES), "disabled": False})
        for one in ours:
            if one["id"] != current["id"]:
                endpoints.delete(one["id"])
    return str(current["id"])


def remove(connector: StripeConnector, account_id: str, livemode: bool) -> None:
    """Remove the endpoints that were made for an account. Raises as `register` does."""
    row = _row(account_id, livemode)
    endpoints = _platform(connector, row).webhook_endpoints
    with _refusals():
        for one in endpoints.list({"limit": 100}).auto_paging_iter():
            if (one.to_dict().get("metadata") or {}).get(MADE_BY) == account_id:
                endpoints.delete(one.id)


def fault(connector: StripeConnector, account_id: str, livemode: bool) -> str:
    """Why Stripe sends no events, in words; empty if it does. Raises as `register` does."""
    row = _row(account_id, livemode)
    if row.webhook_secret is None:
        return "Stripe does not send events here yet."
    if row.webhook_id is None:
        return ""  # it was made by hand
    import stripe

    try:
        with _refusals():
            found = _platform(connector, row).webhook_endpoints.retrieve(row.webhook_id).to_dict()
    except BillingError as error:
        if isinstance(error.__cause__, stripe.InvalidRequestError):
            return "The endpoint that sent events here was removed at Stripe."
        raise
    return "" if found["status"] == ENABLED else "The endpoint that sends events here is disabled at Stripe."


def _row(account_id: str, livemode: bool) -> StripeConnection:
    row = find(account_id, livemode)
    if row is None:
        raise NotFound("Stripe is not connected in this mode.", "resource_missing")
    return row


def _platform(connector: StripeConnector, row: StripeConnection) -> Any:
    """Stripe for the account of the key itself: a platform's endpoint gets the events of its connected accounts."""
    return clients.client(key_of(row), None, connector.address).v1


def _definition(account_id: str, row: StripeConnection, url: str) -> Any:
    return {
        "url": url, "enabled_events": list(events.TYPES), "api_version": clients.API_VERSION,
        "metadata": {MADE_BY: account_id}, **({"connect": True} if row.acts_for else {}),
    }  # fmt: skip


def _is_current(one: dict[str, Any], row: StripeConnection, url: str) -> bool:
    """Whether it is the endpoint whose secret is stored, for this address and version of the API."""
    is_known = one["id"] == row.webhook_id and row.webhook_secret is not None
    return is_known and one["url"] == url and one.get("api_version") == clients.API_VERSION


def _store(row: StripeConnection, endpoint_id: str, secret: str, at: int) -> None:
    with transaction() as session:
        where = StripeConnection.account_id == row.account_id, StripeConnection.livemode.is_(row.livemode)
        stored = session.scalar(select(StripeConnection).where(*where).with_for_update())
        if stored is None:
            raise NotFound("Stripe is not connected in this mode.", "resource_missing")
        if stored.webhook_secret is not None:
            stored.former_secret, stored.former_secret_until = stored.webhook_secret, at + FORMER_SECRET
        stored.webhook_id, stored.webhook_secret = endpoint_id, encryption.encrypt(events.PURPOSE, secret)


@contextmanager
def _refusals() -> Iterator[None]:
    """Raise refusals of Stripe's as BillingError, in words for staff."""
    import stripe

    try:
        yield
    except stripe.PermissionError as error:
        raise BillingError("The key is missing a right: %(right)s.", param="key", right=RIGHT) from error
    except stripe.InvalidRequestError as error:
        words = error.user_message or "no reason given"
        raise BillingError("Stripe refuses the endpoint for events: %(words)s", words=words) from error
    except stripe.StripeError as error:
        raise GatewayUnavailable(f"{type(error).__name__}: {error.user_message or 'no answer'}") from error
