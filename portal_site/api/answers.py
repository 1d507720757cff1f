"""JSON answers, and errors in the API's envelope."""

import logging

from flask import Blueprint, Response, current_app
from sqlalchemy.exc import DBAPIError, TimeoutError
from werkzeug.exceptions import HTTPException, InternalServerError, TooManyRequests

from portal_site.billing.errors import BillingError, Declined, ObjectMissing, Unreadable, WithObjects
from portal_site.db.faults import described, is_unavailable
from portal_site.db.json_columns import JsonObject
from portal_site.web.errors import RETRY_SECONDS

log = logging.getLogger("portal_site")
INVALID, IDEMPOTENCY, INTERNAL = "invalid_request_error", "idempotency_error", "api_error"
CARD = "card_error"
WORDS = {
    403: "This request comes from another site. Call the API from a server, never from a browser.",
    413: "The request is too large.",
}
TOO_MANY = "Too many requests hit the API too quickly. We recommend an exponential backoff of your requests."
SHORT = 5  # seconds that an SDK may wait by itself


class ApiError(Exception):
    """A request that is refused, with its HTTP status. `param` names a parameter in brackets, as the client sent it.

    `objects` are further members, such as the object whose state does not allow what was asked for.
    """

    def __init__(
        self,
        status: int,
        message: str,
        code: str | None = None,
        param: str | None = None,
        kind: str = INVALID,
        objects: JsonObject | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.param, self.kind, self.objects = status, code, param, kind, objects or {}

    def answer(self) -> Response:
        """The error's envelope. Members without a value are left out."""
        given = {"type": self.kind, "code": self.code, "message": str(self), "param": self.param, **self.objects}
        response = json({"error": {name: value for name, value in given.items() if value is not None}}, self.status)
        if self.status == 401:
            response.headers["WWW-Authenticate"] = 'Bearer realm="Portal Site"'
        return response


def json(value: JsonObject, status: int = 200) -> Response:
    """A JSON answer."""
    return current_app.response_class(current_app.json.dumps(value), status, content_type="application/json")


def refused(error: BillingError) -> ApiError:
    """What the engine refuses, as an error of the API. Its `param` is the parameter's name already."""
    code = error.code or None
    if isinstance(error, WithObjects):
        status, kind = (402, CARD) if isinstance(error, Declined) else (400, INVALID)
        return ApiError(status, str(error), code, error.param, kind, error.objects)
    return ApiError(404 if isinstance(error, ObjectMissing) else 400, str(error), code, error.param)


def declined(error: JsonObject, **objects: JsonObject) -> Response:
    """The answer to a payment that a bank declined. What was written of it stays, so it is no exception."""
    return json({"error": {**{name: value for name, value in error.items() if value is not None}, **objects}}, 402)


def init(blueprint: Blueprint) -> None:
    """Answer every error of these routes in JSON."""
    blueprint.register_error_handler(ApiError, ApiError.answer)
    blueprint.register_error_handler(BillingError, lambda error: refused(error).answer())
    blueprint.register_error_handler(HTTPException, _http_error)
    blueprint.register_error_handler(TooManyRequests, _too_many_requests)
    blueprint.register_error_handler(Unreadable, _unreadable)
    for kind in (DBAPIError, TimeoutError):
        blueprint.register_error_handler(kind, _database_error)


def _http_error(error: HTTPException) -> Response:
    if isinstance(error, InternalServerError):
        log.error("a request of the API failed", exc_info=error.original_exception)
    status = error.code or 500
    if status >= 500:
        return fault(status)
    return ApiError(status, WORDS.get(status, "This request could not be read.")).answer()


def _too_many_requests(error: TooManyRequests) -> Response:
    seconds = int(str(error.retry_after or RETRY_SECONDS))
    response = ApiError(429, TOO_MANY, "rate_limit").answer()
    response.headers["Retry-After"] = str(seconds)
    response.headers["Stripe-Should-Retry"] = "true" if seconds <= SHORT else "false"
    return response


def fault(status: int = 500) -> Response:
    """The answer to a request that failed here, which does not say why."""
    sentence = "Something went wrong on our side. Nothing was changed."
    return ApiError(status, sentence, kind=INTERNAL).answer()


def _unreadable(error: Unreadable) -> Response:
    log.error("%s makes no sense", error)
    return fault()


def _database_error(error: DBAPIError | TimeoutError) -> Response:
    if not is_unavailable(error):
        return _http_error(InternalServerError(original_exception=error))
    log.error("the database cannot be used: %s", described(error))
    response = fault(503)
    response.headers["Retry-After"] = RETRY_SECONDS
    response.headers["Stripe-Should-Retry"] = "true"
    return response


def missing(noun: str, name: str, param: str, status: int = 404) -> ApiError:
    """There is no such object, or it is somebody else's, or of the other mode: the error does not tell which."""
    return ApiError(status, f"No such {noun}: '{name}'", "resource_missing", param)
