"""The key of a request: sent as a bearer token, or as the user of Basic authentication without a password."""

from flask import request

from portal_site.api.answers import ApiError
from portal_site.billing.api_access import api_keys
from portal_site.billing.api_access.api_keys import Caller
from portal_site.billing.errors import BillingError

LONGEST = 255
NO_KEY = (
    "You did not provide an API key. Send it in the Authorization header, as “Bearer sk_…” or as the user name of Basic "
    "authentication. `portal key create` makes one."
)


class Unauthenticated(ApiError):
    """No key, or none that works."""

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(401, message, code)


def find_caller(at: int) -> Caller:
    """Whose request it is. Raises Unauthenticated."""
    token = given_token()
    if not token:
        raise Unauthenticated(NO_KEY)
    try:
        caller = api_keys.find(token, at)
    except BillingError as expired:
        raise Unauthenticated(str(expired), expired.code) from None
    if caller is None:
        raise Unauthenticated(f"Invalid API Key provided: {api_keys.redact(token)}")
    return caller


def given_token() -> str:
    """The key that the request was sent with, whether it is one or not; empty without any."""
    given = request.authorization
    token = (given.token if given.type == "bearer" else given.username) if given is not None else None
    return (token or "")[:LONGEST]


def check_right(caller: Caller, right: str, level: str) -> None:
    """Raise ApiError unless the key has the right."""
    if not caller.may(right, level):
        raise ApiError(
            403,
            f"The provided key '{caller.redacted}' does not have the required permissions for this endpoint. It would need "
            f"{right}={level}.",
        )


def check_account(caller: Caller) -> None:
    """Raise ApiError for a request on behalf of another account."""
    named = request.headers.get("Stripe-Account") or request.headers.get("Stripe-Context")
    if named and named != caller.account_id:
        raise ApiError(
            403,
            f"The provided key '{caller.redacted}' does not have access to account '{named}' (or that account does not exist).",
            "account_invalid",
        )
