"""Values that a page carries and that nobody but this portal can have made, each good for one purpose."""

from typing import Any

from flask import current_app
from itsdangerous import BadData, URLSafeSerializer


def _serializer(purpose: str) -> URLSafeSerializer:
    # Newest key last: what is signed with an older one is still read.
    older = current_app.config.get("SECRET_KEY_FALLBACKS") or ()
    return URLSafeSerializer([*older, current_app.config["SECRET_KEY"]], salt=f"portal:{purpose}")


def sign(purpose: str, value: Any) -> str:
    """A JSON value as text that a form or an address can carry."""
    return str(_serializer(purpose).dumps(value))


def read(purpose: str, text: str) -> Any:
    """The value in such a text, or None when it is not one of ours for this purpose."""
    try:
        return _serializer(purpose).loads(text)
    except BadData:
        return None
