"""Absolute URLs of pages. The host is never taken from what a client says: it is the base URL's, or a custom domain."""

from typing import Any
from urllib.parse import urlsplit

from flask import current_app, url_for
from sqlalchemy import bindparam, select

from portal_site.billing.models import Invoice
from portal_site.config import Settings
from portal_site.db.transactions import reading
from portal_site.web import hosts

_ACCOUNT = (
    select(Invoice.account_id)
    .where(Invoice.id == bindparam("invoice_id"))
    .execution_options(unscoped="the billing of all merchants asks where customers return to")
)


def of(account_id: str, endpoint: str, **values: Any) -> str:
    """The URL of a page for customers of an account: on its custom domain while that works, else below the base URL."""
    return _absolute(hosts.lookups().host_of(account_id), endpoint, values)


def base(endpoint: str, **values: Any) -> str:
    """The URL of a page that is of no account's customers, such as the dashboard's: always below the base URL."""
    return _absolute(None, endpoint, values)


def on(host: str | None, account_id: str, endpoint: str, **values: Any) -> str:
    """The URL for a browser that was on this custom domain, or on the portal's own host: only there it has its cookie."""
    return _absolute(host if host == hosts.lookups().host_of(account_id) else None, endpoint, values)


def here(endpoint: str, **values: Any) -> str:
    """The URL by which this browser comes back from a payment provider: on the host on which it has its cookie."""
    return url_for(endpoint, **values, _external=True)  # of a host that `hosts` has let in


def after_payment(invoice_id: str) -> str:
    """The URL to which a customer returns after authenticating a payment that nobody's browser has begun."""
    with reading() as connection:
        account_id = connection.scalar(_ACCOUNT, {"invoice_id": invoice_id})
    return of(account_id or "", "portal.finish_payment", invoice_id=invoice_id)


def _absolute(host: str | None, endpoint: str, values: dict[str, Any]) -> str:
    settings: Settings = current_app.config["SETTINGS"]
    base = urlsplit(settings.base_url)
    port = f":{base.port}" if base.port else ""
    return f"{base.scheme}://{f'{host}{port}' if host else base.netloc}{url_for(endpoint, **values)}"
