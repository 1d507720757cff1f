"""Signatures of what is sent to an endpoint, as Stripe's libraries check them, and the secrets that they are made with."""

import hmac
from collections.abc import Sequence

from portal_site import encryption
from portal_site.billing.models import WebhookEndpoint
from portal_site.ids import random_letters

PURPOSE = "webhook secret"
LETTERS = 44  # behind the prefix: 262 bits
KEPT = 24 * 60 * 60  # seconds for which the secret of before a roll signs, too


def new_secret() -> str:
    """A secret that cannot be guessed."""
    return f"whsec_{random_letters(LETTERS)}"


def sealed(secret: str) -> str:
    """A secret as it is stored."""
    return encryption.encrypt(PURPOSE, secret)


def secrets_of(endpoint: WebhookEndpoint, at: int) -> list[str]:
    """The secrets that sign at an instant, the newest first; none if the key that encrypted them is gone."""
    stored = [endpoint.secret]
    if endpoint.former_secret is not None and (endpoint.former_secret_until or 0) > at:
        stored.append(endpoint.former_secret)
    return [secret for one in stored if (secret := encryption.decrypt(PURPOSE, one)) is not None]


def header(body: bytes, secrets: Sequence[str], at: int) -> str:
    """The value of `Stripe-Signature` for these bytes, sent at this instant: receivers refuse what is older than minutes."""
    signed = f"{at}.".encode() + body
    made = (hmac.digest(secret.encode(), signed, "sha256").hex() for secret in secrets)
    return ",".join([f"t={at}", *(f"v1={one}" for one in made)])
