"""Encrypts what is stored and must be read again, and hashes codes, with keys made from the secret key."""

import base64
import hmac
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from flask import current_app


def _cipher(purpose: str) -> MultiFernet:
    config = current_app.config
    return _of((config["SECRET_KEY"], *(config.get("SECRET_KEY_FALLBACKS") or ())), purpose)


@lru_cache(maxsize=16)
def _of(secrets: tuple[str, ...], purpose: str) -> MultiFernet:
    # The first key encrypts; all of them decrypt, so that what was stored under a former secret key can still be read.
    return MultiFernet([Fernet(_key(secret, purpose)) for secret in secrets])


def _key(secret: str, purpose: str) -> bytes:
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=f"portal:{purpose}".encode()).derive(secret.encode())
    return base64.urlsafe_b64encode(derived)


def fingerprints(purpose: str, text: str) -> tuple[str, ...]:
    """Keyed hashes of a short secret, such as a code, which a plain hash would not protect: under the newest key first."""
    config = current_app.config
    secrets = (config["SECRET_KEY"], *(config.get("SECRET_KEY_FALLBACKS") or ()))
    return tuple(hmac.digest(_key(secret, purpose), text.encode(), "sha256").hex() for secret in secrets)


def encrypt(purpose: str, text: str) -> str:
    """The text, encrypted for this purpose."""
    return _cipher(purpose).encrypt(text.encode()).decode()


def decrypt(purpose: str, encrypted: str) -> str | None:
    """The text again; None if it was encrypted under a secret key that is not known any more, or was changed."""
    try:
        return _cipher(purpose).decrypt(encrypted.encode()).decode()
    except InvalidToken:
        return None
