"""The sandbox's events, signed as a provider signs its own: by the time and the body, with a secret that both sides know."""

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping

from portal_site.billing.errors import EventRefused
from portal_site.billing.gateways import GatewayEvent

HEADER = "Sandbox-Signature"
OLDEST = 5 * 60  # seconds; one that was signed before may have been seen by somebody on the way
CHARGE_EVENTS = ("charge.succeeded", "charge.failed", "charge.pending")


def secret_of(key: str) -> bytes:
    """The secret of this portal's sandbox, made of a secret key of the portal's."""
    return hmac.digest(key.encode(), b"sandbox events", "sha256")


def sign(secret: bytes, document: Mapping[str, str], at: int) -> tuple[dict[str, str], bytes]:
    """Headers and body of an event."""
    body = json.dumps(document).encode()
    return {HEADER: f"t={at},v1={_signature(secret, at, body)}"}, body


def parse(secrets: Iterable[bytes], headers: Mapping[str, str], body: bytes, now: int) -> GatewayEvent | None:
    """What the event is about; None when it is about nothing that we act on. Raises EventRefused."""
    given = dict(part.partition("=")[::2] for part in headers.get(HEADER, "").split(","))
    stamp = given.get("t", "")
    at = int(stamp) if stamp.isascii() and stamp.isdigit() and len(stamp) < 13 else 0
    known = given.get("v1", "").encode()
    if not any(hmac.compare_digest(_signature(secret, at, body).encode(), known) for secret in secrets):
        raise EventRefused("The signature is not the sandbox's.", "signature_invalid")
    if abs(now - at) > OLDEST:
        raise EventRefused("The event was signed too long ago, or not yet.", "signature_expired")
    document = json.loads(body)
    if document["type"] not in CHARGE_EVENTS:
        return None
    return GatewayEvent(document["id"], document["type"], document["charge"], document["idempotency_key"])


def _signature(secret: bytes, at: int, body: bytes) -> str:
    return hmac.new(secret, f"{at}.".encode() + body, hashlib.sha256).hexdigest()
