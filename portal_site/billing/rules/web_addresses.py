"""Which addresses a customer may be sent to; whether anything answers there is not asked."""

from urllib.parse import urlsplit

from portal_site.billing.errors import BillingError
from portal_site.billing.words import N_

LONGEST = 5000


def is_safe(address: str) -> bool:
    """Whether it is an absolute http(s) address that a browser reads as we do: no user name, no backslash, no blanks."""
    if len(address) > LONGEST or any(c == "\\" or ord(c) <= 32 or ord(c) == 127 for c in address):
        return False
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc


def check(address: str, param: str) -> str:
    """The address itself. Raises BillingError unless `is_safe`."""
    if not is_safe(address):
        raise BillingError(N_("Not a valid URL: it must begin with http:// or https://."), "url_invalid", param)
    return address
