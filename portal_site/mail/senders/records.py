"""Which DNS records a sender's domain needs, and what the ones that are found are worth. Pure: they are given, not asked for.

SPF says which servers may send (RFC 7208), DKIM has the public key of signatures (RFC 6376), and DMARC says what becomes of
e-mails that pass neither for the domain of their sender (RFC 7489).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_network

from dkim.util import InvalidTagValueList, parse_tag_value

Texts = Sequence[str]


class Finding(StrEnum):
    """What was found of a record."""

    OK = "ok"
    NOT_NEEDED = "not_needed"
    MISSING = "missing"
    DIFFERENT = "different"
    INVALID = "invalid"
    SEVERAL = "several"
    UNALIGNED = "unaligned"
    UNANSWERED = "unanswered"


# --- SPF --------------------------------------------------------------------------------------------------------------


def judge_spf(texts: Texts, wanted: Sequence[str]) -> Finding:
    """A domain's SPF record: there is one only, and it lets each of the wanted mechanisms pass, before it says `all`.

    What it includes is not looked into. Without wanted mechanisms none is needed.
    """
    found = _spf_records(texts)
    if len(found) > 1:
        return Finding.SEVERAL
    if not found:
        return Finding.MISSING if wanted else Finding.NOT_NEEDED
    passing = list(_passing(found[0]))
    return Finding.OK if all(_is_covered(one, passing) for one in wanted) else Finding.DIFFERENT


def spf_to_set(texts: Texts, wanted: Sequence[str]) -> str:
    """The record that lets the wanted mechanisms pass as well: the one that there is, with what it lacks at its beginning."""
    found = _spf_records(texts)
    if not found:
        return " ".join(("v=spf1", *wanted, "~all"))
    passing = list(_passing(found[0]))
    lacking = [one for one in wanted if not _is_covered(one, passing)]
    return " ".join(("v=spf1", *lacking, *found[0].split()[1:]))


def _spf_records(texts: Texts) -> list[str]:
    return [text for text in texts if text.lower() == "v=spf1" or text.lower().startswith("v=spf1 ")]


def _passing(record: str) -> Iterator[str]:
    """The mechanisms that let something pass. What stands after `all` is never looked at."""
    for term in record.lower().split()[1:]:
        name = term.lstrip("+-~?")
        if name == "all":
            return
        if term[0] not in "-~?":
            yield name


def _is_covered(wanted: str, passing: Sequence[str]) -> bool:
    kind, _, value = wanted.lower().partition(":")
    if kind not in ("ip4", "ip6"):
        return wanted.lower() in passing
    networks = (_network(each.partition(":")[2]) for each in passing if each.startswith(f"{kind}:"))
    own = _network(value)
    return any(own is not None and one is not None and _is_within(own, one) for one in networks)


def _network(value: str) -> tuple[int, int, int] | None:
    """The first address, the last one, and the version of a network."""
    try:
        network = ip_network(value, strict=False)
    except ValueError:
        return None
    return int(network.network_address), int(network.broadcast_address), network.version


def _is_within(inner: tuple[int, int, int], outer: tuple[int, int, int]) -> bool:
    return inner[2] == outer[2] and outer[0] <= inner[0] and inner[1] <= outer[1]


# --- DKIM -------------------------------------------------------------------------------------------------------------


def dkim_to_set(public_key: str) -> str:
    """The record with a public key."""
    return f"v=DKIM1; k=rsa; p={public_key}"


def judge_dkim(texts: Texts, public_key: str) -> Finding:
    """The record of a key: it is this one, whatever blanks stand in it, and may sign e-mails."""
    found = [text for text in texts if text.strip()]
    if len(found) > 1:
        return Finding.SEVERAL
    if not found:
        return Finding.MISSING
    tags = _tags(found[0])
    if tags is None or tags.get("v", "DKIM1") != "DKIM1" or "p" not in tags:
        return Finding.INVALID
    is_same = "".join(tags["p"].split()) == public_key and tags.get("k", "rsa") == "rsa"
    may_sign = "sha256" in _list(tags.get("h", "sha256")) and {"*", "email"} & _list(tags.get("s", "*"))
    return Finding.OK if is_same and may_sign else Finding.DIFFERENT


def _tags(text: str) -> dict[str, str] | None:
    try:
        return {name.decode(): value.decode() for name, value in parse_tag_value(text.encode()).items()}
    except InvalidTagValueList:
        return None


def _list(value: str) -> set[str]:
    return {part.strip() for part in value.split(":")}


# --- DMARC ------------------------------------------------------------------------------------------------------------

POLICIES = ("none", "quarantine", "reject")
DMARC_TO_SET = "v=DMARC1; p=none"


@dataclass(frozen=True)
class Domains:
    """The domains that DMARC compares: that of the sender's address, of its signature (empty without one), and of bounces.

    Each is a pair of the domain itself and the one that was registered, of which it may be a part.
    """

    sender: tuple[str, str]
    signature: tuple[str, str]
    bounces: tuple[str, str]


def judge_dmarc(own: Texts, of_registered: Texts, domains: Domains) -> Finding:
    """The policy of the sender's domain, else that of the registered one; and whether what is checked is of the same domain."""
    found = _dmarc_records(own) or _dmarc_records(of_registered)
    if not found:
        return Finding.MISSING
    if len(found) > 1:
        return Finding.SEVERAL
    tags = _tags(found[0])
    if tags is None or tags.get("p", "").lower() not in POLICIES:
        return Finding.INVALID
    pairs = ((domains.signature, "adkim"), (domains.bounces, "aspf"))
    is_aligned = any(_is_aligned(domains.sender, other, tags.get(mode, "r").lower() == "s") for other, mode in pairs)
    return Finding.OK if is_aligned else Finding.UNALIGNED


def _dmarc_records(texts: Texts) -> list[str]:
    return [text for text in texts if "".join(text.partition(";")[0].split()) == "v=DMARC1"]


def _is_aligned(sender: tuple[str, str], other: tuple[str, str], is_strict: bool) -> bool:
    return bool(other[0]) and (sender[0] == other[0] if is_strict else sender[1] == other[1])
