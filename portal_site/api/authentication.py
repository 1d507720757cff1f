"""The key of a request, a bearer token or the user of Basic authentication without a password, and whom it acts for."""

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
    """Whose request it is. Raises Unauthenticated, and ApiError for an account that the key has no access to."""
    token = given_token()
    if not token:
        raise Unauthenticated(NO_KEY)
    try:
        caller = api_keys.find(token, at, named_account())
    except BillingError as refusal:
        if refusal.code == "account_invalid":
            raise ApiError(403, str(refusal), refusal.code) from None
        raise Unauthenticated(str(refusal), refusal.code) from None
    if caller is None:
        raise Unauthenticated(f"Invalid API Key provided: {api_keys.redact(token)}")
    return caller


def named_account() -> str | None:
    """The account that the headers name, if they do. Raises ApiError if they name two."""
    given = {request.headers[name] for name in ("Stripe-Account", "Stripe-Context") if request.headers.get(name)}
    if len(given) > 1:
        raise ApiError(400, "The headers Stripe-Account and Stripe-Context name different accounts. Send one of them.")
    # No id contains a NUL, and PostgreSQL refuses it as a parameter.
    return next(iter(given))[:LONGEST].replace("\0", "?") if given else None


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
