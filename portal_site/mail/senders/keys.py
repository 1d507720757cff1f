"""The keys that sign e-mails (DKIM): made here or by the merchant, stored encrypted, and published in the domain's DNS."""

import base64
import re
import secrets

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from portal_site import encryption
from portal_site.billing.errors import BillingError
from portal_site.mail.delivery import DKIM_PURPOSE
from portal_site.mail.messages import Dkim

LEAST_BITS, MOST_BITS = 1024, 4096  # what receivers accept, and what does not take long
BITS = 2048
SELECTOR = re.compile(r"(?=.{1,63}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")


def new(domain: str, selector: str = "", pem: str = "") -> Dkim:
    """A key for a domain, sealed: a new one, or the merchant's own. A selector is the name of a key in DNS.

    Without one it has a name of its own, so that the records of former keys stay beside it. Raises BillingError.
    """
    name = selector.strip().lower() or f"portal{secrets.token_hex(4)}"
    if not SELECTOR.fullmatch(name):
        raise BillingError("A selector is a name such as portal or key2, of letters, digits and -.", param="selector")
    key = pem or _generated()
    _public(key)
    return Dkim(domain, name, encryption.encrypt(DKIM_PURPOSE, key))


def public_key(dkim: Dkim) -> str | None:
    """The public key of a sealed one, as DNS has it; None if it cannot be read: its secret key is not known any more."""
    pem = encryption.decrypt(DKIM_PURPOSE, dkim.key)
    return _public(pem) if pem is not None else None


def _generated() -> str:
    plain, form = serialization.NoEncryption(), serialization.PrivateFormat.PKCS8
    key = rsa.generate_private_key(65537, BITS)
    return key.private_bytes(serialization.Encoding.PEM, form, plain).decode()


def _public(pem: str) -> str:
    try:
        private = serialization.load_pem_private_key(pem.encode(), None)
    except (ValueError, TypeError) as error:
        raise BillingError("The key is not a private key as PEM, without a password.", param="key") from error
    if not isinstance(private, RSAPrivateKey) or not LEAST_BITS <= private.key_size <= MOST_BITS:
        raise BillingError(
            "The key must be an RSA key of %(least)s to %(most)s bits.", param="key", least=LEAST_BITS, most=MOST_BITS
        )
    der, info = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    return base64.b64encode(private.public_key().public_bytes(der, info)).decode()
