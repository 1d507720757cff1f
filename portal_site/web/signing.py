"""Signed values for forms and URLs. A signature is valid for one purpose only."""

from typing import Any

from flask import current_app
from itsdangerous import BadData, URLSafeSerializer


def _serializer(purpose: str) -> URLSafeSerializer:
    # The newest key, which signs, comes last. Values signed with an older key can still be read.
    older = current_app.config.get("SECRET_KEY_FALLBACKS") or ()
    return URLSafeSerializer([*older, current_app.config["SECRET_KEY"]], salt=f"portal:{purpose}")


def sign(purpose: str, value: Any) -> str:
    """A JSON value as signed text for a form or a URL."""
    return str(_serializer(purpose).dumps(value))


def read(purpose: str, text: str) -> Any:
    """The value in a signed text, or None if the signature is invalid or for another purpose."""
    try:
        return _serializer(purpose).loads(text)
    except BadData:
        return None
