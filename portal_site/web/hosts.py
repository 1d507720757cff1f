"""The host that a request came to: the portal's own, or the custom domain of an account, on which only its pages exist."""

import time
from collections.abc import Callable
from typing import Any

from flask import Flask, abort, current_app, g, request
from sqlalchemy import Select, bindparam, select
from werkzeug.exceptions import SecurityError
from werkzeug.routing import RequestRedirect

from portal_site.billing.models import CustomDomain
from portal_site.config import Settings
from portal_site.db.transactions import reading
from portal_site.web.prefix import OUTSIDE

KEPT = 5  # seconds for which a process remembers what it looked up
MOST_KEPT = 1000
LONGEST = 253  # what DNS allows
TLS_ASK = "tls_ask.answer"  # a proxy asks this under an address of its own
# All that there is on a custom domain. Whatever comes to the program later stays off them until it is named here.
BLUEPRINTS = frozenset(
    {"portal", "logins", "replacements", "sessions", "email_links", "cancellation_requests", "sandbox"}
)
ROUTES = frozenset({"asset", "theme", "brand_asset"})
_WORKS = CustomDomain.verified_at.is_not(None), CustomDomain.disabled_at.is_(None)
_OWNER = (
    select(CustomDomain.account_id)
    .where(CustomDomain.host == bindparam("name"), *_WORKS)
    .execution_options(unscoped="a host says whose it is")
)
_HOST = select(CustomDomain.host).where(CustomDomain.account_id == bindparam("name"), *_WORKS)


class Lookups:
    """The custom domains that work, by host and by account. What was found, or not found, is remembered for some seconds."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._known: dict[tuple[str, str], tuple[float, str | None]] = {}

    def owner_of(self, host: str) -> str | None:
        """The id of the account whose customers are served on this host."""
        return self._find("host", host, _OWNER) if "." in host and len(host) <= LONGEST else None

    def host_of(self, account_id: str) -> str | None:
        """The host to which the links of an account lead."""
        return self._find("account", account_id, _HOST)

    def forget(self) -> None:
        """Look everything up again."""
        self._known.clear()

    def _find(self, kind: str, name: str, query: Select[Any]) -> str | None:
        now = self._monotonic()
        since, found = self._known.get((kind, name), (float("-inf"), None))
        if now - since < KEPT:
            return found
        with reading() as connection:
            found = connection.scalar(query, {"name": name})
        if len(self._known) >= MOST_KEPT:
            self._known.clear()
        self._known[kind, name] = now, found
        return found


def init(app: Flask) -> None:
    """Look at the host of each request before anything else is done for it, and before its page is looked for."""
    app.extensions["lookups"] = Lookups()
    app.url_value_preprocessor(_admit)


def lookups() -> Lookups:
    """Those of this app."""
    found: Lookups = current_app.extensions["lookups"]
    return found


def own_host() -> str | None:
    """The custom domain that this request came to; None on the portal's own host, and outside of requests."""
    host: str | None = g.get("custom_domain")
    return host


def account() -> str | None:
    """The id of the account to which the custom domain belongs that this request came to; None on the portal's own host."""
    account_id: str | None = g.get("domain_account_id")
    return account_id


def shows(account_id: str) -> bool:
    """Whether an account's pages exist on the host of this request."""
    return account() in (None, account_id)


def is_shared() -> bool:
    """Whether what is said for this host and all below it could be about somebody else's."""
    return own_host() is not None or bool(_settings().prefix)


def _settings() -> Settings:
    settings: Settings = current_app.config["SETTINGS"]
    return settings


def _admit(endpoint: str | None, _values: dict[str, Any] | None) -> None:
    """Raise SecurityError for a host that is nobody's, and NotFound for what does not exist on this one."""
    if endpoint == TLS_ASK:
        return
    host = _name(request.host)
    if host not in _settings().hosts:
        g.domain_account_id = lookups().owner_of(host)
        if g.domain_account_id is None:
            raise SecurityError("This host is not served here.")
        g.custom_domain = host
    if request.environ.get(OUTSIDE) or (own_host() is not None and not _exists_on_domains(endpoint)):
        abort(404)
    if not request.environ["PATH_INFO"] and request.method in (
        "GET",
        "HEAD",
    ):  # cookies are for what is below the slash
        query = f"?{request.query_string.decode('latin-1')}" if request.query_string else ""
        raise RequestRedirect(f"{request.root_path.rstrip('/')}/{query}")


def _name(host: str) -> str:
    """A host in small letters, without its port and, if it is an address of IPv6, without brackets."""
    name, _, port = host.rpartition(":")
    return (name if name and port.isdigit() else host).lower().strip("[]")


def _exists_on_domains(endpoint: str | None) -> bool:
    """An address without a route, or for another method only, does not: not to tell what there is elsewhere."""
    return endpoint is not None and (endpoint in ROUTES or endpoint.rpartition(".")[0] in BLUEPRINTS)
