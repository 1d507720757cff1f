"""The blueprint: every request has a key before it has a route, and each route names the right that it needs."""

import re
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from flask import Blueprint, Response, current_app, g, request

from portal_site import clock
from portal_site.api import answers, authentication
from portal_site.api.answers import ApiError
from portal_site.billing.events.actors import ActorType, ProgramRequest, acting_as, answering
from portal_site.billing.resources.programs import API_VERSION
from portal_site.ids import new_id

VERSION = API_VERSION
VERSIONS = re.compile(r"\d{4}-\d{2}-\d{2}(\.[a-z]+)?")
LONGEST_KEY = 255  # of idempotency
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
View = Callable[..., Response]
blueprint = Blueprint("api", __name__)
answers.init(blueprint)


def route(method: str, path: str, right: str, level: str) -> Callable[[View], View]:
    """A route below /v1, for keys that have the right at this level."""

    def register(view: View) -> View:
        view.needed_right = (right, level)  # type: ignore[attr-defined]
        blueprint.add_url_rule(f"/v1{path}", view_func=view, methods=[method])
        return view

    return register


@blueprint.before_request
def admit() -> None:
    """Find whom the key acts for, and check that it may do what is asked."""
    g.request_id, g.now = new_id("req"), clock.now()
    g.acting = ExitStack()
    g.caller = authentication.find_caller(g.now)
    g.acting.enter_context(acting_as(ActorType.API_KEY, g.caller.key_id))
    asked = ProgramRequest(g.request_id, (request.headers.get("Idempotency-Key") or "")[:LONGEST_KEY] or None)
    g.acting.enter_context(answering(asked))
    g.version = request.headers.get("Stripe-Version") or VERSION
    if not VERSIONS.fullmatch(g.version):
        g.version = VERSION
        raise ApiError(400, "Invalid Stripe API version: use a date such as 2026-08-26.dahlia.")
    needed = getattr(current_app.view_functions[request.endpoint or ""], "needed_right", None)
    if needed is not None:
        authentication.check_right(g.caller, *needed)


@blueprint.teardown_request
def stop_acting(_error: BaseException | None) -> None:
    """Forget the actor: the thread will serve others."""
    if acting := g.pop("acting", None):
        acting.close()


@blueprint.after_request
def add_headers(response: Response) -> Response:
    """What the SDKs read besides the body."""
    response.headers["Request-Id"] = g.get("request_id") or new_id("req")
    response.headers["Cache-Control"] = "no-cache, no-store"
    if "version" in g:
        response.headers["Stripe-Version"] = g.version
    if "caller" in g and authentication.named_account():
        response.headers["Stripe-Account"] = g.caller.account_id
    return response


@blueprint.route("/v1/", defaults={"rest": ""}, methods=METHODS)
@blueprint.route("/v1/<path:rest>", methods=METHODS)
@blueprint.route("/v2/<path:rest>", methods=METHODS)
def refuse_unknown(rest: str) -> Any:
    """Answer 404 in the API's own shape: SDKs cannot read a page."""
    raise ApiError(404, f"Unrecognized request URL ({request.method}: {request.path}).")
