"""The table of all rate limits: who may ask for what how often, and which routes have no limit for which reason."""

from collections.abc import Callable
from dataclasses import dataclass

from flask import request, session

from portal_site.api import authentication
from portal_site.billing.portal_access.portal_sessions import hash_token
from portal_site.portal.access.visitors import COOKIE_MEMBER
from portal_site.web.networks import client_network


def visitor() -> str:
    """The session that the browser's cookie names, whether it still runs or not; without one, the network."""
    token = session.get(COOKIE_MEMBER)
    return hash_token(token) if token else client_network()


def caller() -> str:
    """The API key of the request, whether it works or not; without one, the network."""
    token = authentication.given_token()
    return hash_token(token) if token else client_network()


@dataclass(frozen=True)
class Rule:
    """A limit. All routes that have it count together.

    `rate` may have several parts: `60 per minute; 300 per hour`. `who` is the client that is counted. If the limit is `shared`,
    all processes count together, which costs a write; otherwise each counts for itself, in its memory.
    """

    rate: str
    who: Callable[[], str]
    shared: bool = False


PUBLIC, API, WRONG_KEYS, REFUSED_EVENTS = "public pages", "api", "wrong keys", "refused events"
LIVE = "_live_"  # in the prefix of a key
RULES = {
    "links": Rule("120 per minute", client_network, shared=True),
    # Also requests to cancel without logging in. How often codes can be asked for and tried is bounded by
    # billing/portal_access/logins.py, whatever happens here.
    "login forms": Rule("60 per minute; 300 per hour", client_network, shared=True),
    PUBLIC: Rule("300 per minute", client_network),
    # Cached for a year by browsers, so many customers of one company can open their first page at the same time.
    "styles and logos": Rule("1200 per minute", client_network),
    "portal": Rule("300 per minute", visitor),
    # By network, since any cookie could be made up; a whole office may be behind one.
    "dashboard": Rule("1200 per minute", client_network),
    "exports": Rule("20 per minute", visitor),
    "downloads of staff": Rule("20 per minute", client_network),
    # Each may wait for ten seconds.
    "checks of DNS": Rule("20 per minute", client_network),
    # As at Stripe.
    "api reading, live": Rule("100 per second", caller),
    "api writing, live": Rule("100 per second", caller),
    "api reading, test": Rule("25 per second", caller),
    "api writing, test": Rule("25 per second", caller),
    # Only answers with 401 count, and a key that has worked is not refused for them.
    WRONG_KEYS: Rule("60 per minute", client_network),
    # Only events that are not genuine count: a provider sends many at once, and again those that were not answered.
    REFUSED_EVENTS: Rule("60 per minute", client_network),
}
BLUEPRINTS = {
    "portal": "portal",
    "logins": PUBLIC,
    "replacements": PUBLIC,
    "sessions": PUBLIC,
    "email_links": PUBLIC,
    "cancellation_requests": PUBLIC,
    "dashboard": "dashboard",
    "sign_in": "login forms",
    "setup": "login forms",
    "invitations": "login forms",
    "sandbox": PUBLIC,
    "returns": PUBLIC,
    "api": API,
    "gateways": REFUSED_EVENTS,
}
ROUTES = {
    "sessions.follow_link": "links",
    "email_links.go_on": "links",
    **{
        f"{blueprint}.{view}": "login forms"
        for blueprint in ("logins", "replacements")
        for view in ("ask_for_code", "enter_code", "choose_customer")
    },
    "cancellation_requests.send_request": "login forms",
    "portal.download_year": "exports",
    "portal.download_list": "exports",
    "dashboard.download_log": "downloads of staff",
    "dashboard.check_sender": "checks of DNS",
    "theme": "styles and logos",
    "brand_asset": "styles and logos",
}
UNLIMITED = {  # routes and blueprints, with the reason
    "asset": "files in memory, which browsers keep for a year",
    "tls_ask": "a proxy asks it for everybody: with a limit, strangers' handshakes would keep a merchant's from its certificate",
    "demo": "on loopback only",
    "mailbox": "on loopback only",
}


def rules_for(endpoint: str | None, method: str) -> tuple[str, ...]:
    """The names of the limits for a request. An address that does not exist counts as a public page."""
    blueprint, _, _ = (endpoint or "").rpartition(".")
    if endpoint in UNLIMITED or blueprint in UNLIMITED:
        return ()
    name = ROUTES.get(endpoint or "") or BLUEPRINTS.get(blueprint, PUBLIC)
    if name != API:
        return (name,)
    kind = "reading" if method in ("GET", "HEAD") else "writing"
    mode = "live" if LIVE in authentication.given_token() else "test"
    return f"api {kind}, {mode}", WRONG_KEYS


def of_request() -> tuple[str, ...]:
    """The names of the limits for this request."""
    return rules_for(request.endpoint, request.method)
