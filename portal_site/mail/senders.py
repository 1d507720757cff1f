"""An account's own sender: name, address, where answers go, and the key that signs for its domain."""

import base64

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from portal_site import encryption
from portal_site.billing.errors import BillingError
from portal_site.billing.loading import ownership
from portal_site.db.transactions import transaction
from portal_site.mail.delivery import DKIM_PURPOSE
from portal_site.mail.messages import deliverable

LEAST_BITS = 1024  # what receivers accept


def set_sender(
    account_id: str | None,
    *,
    name: str | None = None,
    address: str | None = None,
    reply_to: str | None = None,
    dkim_domain: str | None = None,
    dkim_selector: str = "portal",
    key: str | None = None,
) -> str | None:
    """Store an account's sender; the DNS record for its key, if it has one. The key is stored encrypted.

    Raises BillingError for an address that is none, a key that is none, and a key without a domain or the other way round.
    """
    for value in (address, reply_to):
        if value is not None and deliverable(value) is None:
            raise BillingError(f"Not an e-mail address: {value}")
    if (key is None) != (dkim_domain is None):
        raise BillingError("A signature needs both a domain and a key.")
    document: dict[str, object] = {"name": name, "address": address, "reply_to": reply_to}
    record = None
    if key is not None:
        sealed = encryption.encrypt(DKIM_PURPOSE, key)
        record = f"{dkim_selector}._domainkey.{dkim_domain}  v=DKIM1; k=rsa; p={_public_key(key)}"
        document["dkim"] = {"domain": dkim_domain, "selector": dkim_selector, "key": sealed}
    with transaction() as session:
        ownership.get_account(session, account_id).mail = document
    return record


def _public_key(pem: str) -> str:
    try:
        private = serialization.load_pem_private_key(pem.encode(), None)
    except (ValueError, TypeError) as error:
        raise BillingError("The key is not a private key as PEM, without a password.") from error
    if not isinstance(private, RSAPrivateKey) or private.key_size < LEAST_BITS:
        raise BillingError(f"The key must be an RSA key of at least {LEAST_BITS} bits.")
    der, info = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    return base64.b64encode(private.public_key().public_bytes(der, info)).decode()
