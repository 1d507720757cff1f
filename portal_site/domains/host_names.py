"""Which host names can be a custom domain, and how they are written."""

import re
from functools import cache
from ipaddress import ip_address
from typing import Any

import idna
from publicsuffixlist import PublicSuffixList

from portal_site.billing.errors import BillingError
from portal_site.billing.translation_marks import N_

LONGEST = 235  # so that the name of the record that proves it, which is 18 longer, is one too
LONGEST_TYPED = 1000
# Names that lead to something on the own machine or in the own network, or nowhere at all.
INTERNAL = frozenset(
    {"localhost", "localdomain", "local", "internal", "intranet", "private", "corp", "home", "lan", "invalid", "onion", "alt",
     "arpa"}
)  # fmt: skip
NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


def checked(typed: str, own_host: str) -> str:
    """A host name in small letters and ASCII (IDNA), as browsers send it. Raises BillingError for what cannot be one.

    `own_host` is the portal's own, which no account can have, nor anything below it.
    """
    given = typed.strip().removesuffix(".")
    if "*" in given:
        raise _refused(N_("A wildcard is not possible. Enter one host name, such as billing.example.com."))
    if _is_address(given):
        raise _refused(N_("This is an IP address. Enter a host name, such as billing.example.com."))
    host = _ascii(given)
    if len(host) > LONGEST:
        raise _refused(N_("This host name is too long: %(most)s characters are possible."), most=LONGEST)
    if host == own_host or host.endswith(f".{own_host}"):
        raise _refused(
            N_("This host belongs to the portal itself. Enter one of your own, such as billing.example.com.")
        )
    if host.rpartition(".")[2] in INTERNAL:
        raise _refused(N_("This name only exists inside a network. Enter one that everybody can reach."))
    if _suffixes().privatesuffix(host) is None:
        raise _refused(
            N_("Names below %(host)s belong to different owners. Enter a name of your own below it."), host=host
        )
    return host


def is_apex(host: str) -> bool:
    """Whether the host is what was registered, such as example.com, and no name below that. It can have no CNAME record."""
    return bool(_suffixes().privatesuffix(host) == host)


def registered(host: str) -> str:
    """The name that was registered, such as example.com for billing.example.com; the host itself if it is a public suffix."""
    return str(_suffixes().privatesuffix(host) or host)


def _refused(sentence: str, **values: Any) -> BillingError:
    return BillingError(sentence, param="host", **values)


def _is_address(given: str) -> bool:
    try:
        ip_address(given.strip("[]"))
    except ValueError:
        return (
            NUMBER.fullmatch(given.rpartition(".")[2].lower()) is not None
        )  # 127.1 and 0x7f.1 are addresses to browsers
    return True


def _ascii(given: str) -> str:
    try:
        host = idna.encode(given, uts46=True, std3_rules=True).decode()
    except (idna.IDNAError, UnicodeError):
        host = ""
    if len(given) > LONGEST_TYPED or "." not in host:
        raise _refused(
            N_("This is no host name. Enter one such as billing.example.com, without https:// and without a path.")
        )
    return host


@cache
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList()  # loaded when it is needed: it takes a quarter of a second
