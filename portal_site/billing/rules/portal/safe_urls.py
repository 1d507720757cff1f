"""The URLs that a customer may be sent to. They are only parsed, not requested."""

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from portal_site.billing.errors import BillingError
from portal_site.billing.translation_marks import N_

LONGEST = 5000


def is_safe(address: str) -> bool:
    """Whether it is an absolute http(s) URL of at most 5000 characters that browsers parse exactly as this program does.

    User names, backslashes, blanks and non-printable characters are refused.
    """
    if len(address) > LONGEST or not address.isprintable() or "\\" in address or " " in address:
        return False
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc


def check(address: str, param: str) -> str:
    """The URL unchanged. Raises BillingError unless `is_safe`."""
    if not is_safe(address):
        raise BillingError(N_("Not a valid URL: it must begin with http:// or https://."), "url_invalid", param)
    return address


@dataclass(frozen=True)
class Returns:
    """The return URLs that a merchant allows. Without `hosts` every host is allowed. Live mode requires https.

    Hosts are compared exactly and international ones in their ASCII form, so that a look-alike does not match.
    """

    livemode: bool
    hosts: frozenset[str]

    @classmethod
    def of(cls, livemode: bool, registered: Iterable[str], default: str | None) -> "Returns":
        """The hosts that the merchant registered, if any, and the host of its default return URL."""
        hosts = {host.lower() for host in registered}
        if hosts and default and is_safe(default):
            hosts.add(urlsplit(default).hostname or "")
        return cls(livemode, frozenset(hosts))

    def check(self, address: str, param: str) -> str:
        """The URL unchanged. Raises BillingError for one that is not allowed."""
        parts = urlsplit(check(address, param))
        if self.livemode and parts.scheme != "https":
            raise BillingError(N_("In live mode a return URL must begin with https://."), "url_invalid", param)
        host = parts.hostname or ""
        if self.hosts and not (host.isascii() and host in self.hosts):
            raise BillingError(
                N_("%(host)s is not registered as a host for return URLs."), "url_invalid", param, host=host
            )
        return address

    def allow(self, address: str) -> bool:
        """Whether customers may be sent to this URL."""
        try:
            self.check(address, "")
        except BillingError:
            return False
        return True
