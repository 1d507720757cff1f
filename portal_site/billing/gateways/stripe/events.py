"""Events that Stripe sends to an account's address: whether they are genuine, and what they are about.

What an event says is not believed: Stripe is asked. So the order in which events come does not matter, nor the version of
the API that they are written in.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from portal_site import encryption
from portal_site.billing.errors import EventRefused
from portal_site.billing.gateways import ReceivedEvent, Subject
from portal_site.billing.gateways.stripe.models import StripeConnection

PURPOSE = "stripe"
OLDEST = 5 * 60  # seconds between the signature and now, in both directions; the library looks at one
TYPES = (
    "checkout.session.completed", "checkout.session.expired", "setup_intent.succeeded",
    "payment_intent.succeeded", "payment_intent.processing", "payment_intent.payment_failed",
    "payment_intent.requires_action", "payment_intent.canceled",
    "payment_method.detached", "payment_method.updated", "payment_method.automatically_updated",
    "refund.created", "refund.updated", "refund.failed", "customer.deleted",
    "charge.dispute.created", "charge.dispute.updated", "charge.dispute.closed", "charge.dispute.funds_withdrawn",
    "charge.dispute.funds_reinstated",
)  # fmt: skip
SUBJECTS = {
    "checkout.session": Subject.SETUP, "payment_intent": Subject.CHARGE, "payment_method": Subject.PAYMENT_METHOD,
    "refund": Subject.REFUND, "customer": Subject.CUSTOMER, "charge.dispute": Subject.DISPUTE,
}  # fmt: skip


def read(connections: Sequence[StripeConnection], signature: str, body: bytes, at: int) -> ReceivedEvent:
    """An event for one of an account's connections. Raises EventRefused."""
    signed = next((row for row in connections if _is_signed(row, signature, body, at)), None)
    if signed is None:
        raise EventRefused("The signature is none of Stripe's for this account, or too old.", "signature_invalid")
    try:
        document = json.loads(body)
        event = received(document)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EventRefused("This is no event of Stripe's.", "event_invalid") from error
    if document.get("account") not in (None, signed.acts_for) and signed.acts_for is not None:
        return replace(event, subject=Subject.OTHER)  # a platform's endpoint gets those of all its connected accounts
    if event.livemode is not signed.livemode or document.get("account") not in (None, signed.acts_for):
        raise EventRefused("This event is of another account or mode.", "event_invalid")
    return event


def received(document: Any) -> ReceivedEvent:
    """An event of Stripe's API. Raises KeyError, TypeError, ValueError or AttributeError for what is none."""
    subject, thing = str(document["type"]).rpartition(".")[0], document["data"]["object"]
    return ReceivedEvent(
        str(document["id"]), str(document["type"]), bool(document["livemode"]), int(document["created"]),
        SUBJECTS.get(subject, Subject.OTHER), str(thing.get("id") or ""), _attempt(thing),
    )  # fmt: skip


def _attempt(thing: Any) -> str | None:
    found = (thing.get("metadata") or {}).get("attempt")
    return found if isinstance(found, str) else None


def _is_signed(row: StripeConnection, signature: str, body: bytes, at: int) -> bool:
    import stripe

    stamps = [part[2:] for part in signature.split(",") if part.startswith("t=")]
    if len(stamps) != 1 or not (stamps[0].isascii() and stamps[0].isdigit() and len(stamps[0]) < 12):
        return False
    if abs(at - int(stamps[0])) > OLDEST:
        return False
    for secret in _secrets(row, at):
        try:
            if stripe.WebhookSignature.verify_header(body.decode("utf-8", "surrogateescape"), signature, secret, None):
                return True
        except stripe.SignatureVerificationError:
            continue
    return False


def _secrets(row: StripeConnection, at: int) -> Iterator[str]:
    """The secret of the endpoint, and the one before it for some time."""
    stored = [row.webhook_secret]
    if row.former_secret_until is not None and at < row.former_secret_until:
        stored.append(row.former_secret)
    for encrypted in stored:
        secret = encryption.decrypt(PURPOSE, encrypted) if encrypted else None
        if secret is not None:
            yield secret
