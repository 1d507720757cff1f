"""The customer's pages, on one blueprint. Its `before_request` admits only visitors with a running session."""

from collections.abc import Callable
from contextlib import ExitStack
from functools import wraps
from typing import Any, ParamSpec

from flask import Blueprint, Flask, abort, g, redirect, session, url_for
from werkzeug.wrappers import Response

from portal_site import clock
from portal_site.billing.events.actors import ActorType, acting_as
from portal_site.billing.portal_access import portal_sessions
from portal_site.portal import subscription_actions
from portal_site.portal.access import visitors
from portal_site.web import htmx, security, urls
from portal_site.web.rendering import i18n

WARNING = 5 * 60  # seconds before the end of an idle session; the words in notices.html say so
P = ParamSpec("P")
Answer = Any
blueprint = Blueprint("portal", __name__)


@blueprint.before_request
def require_visitor() -> Answer:
    """Admit a customer with a valid session to the pages that it is for, and show everybody else how to get a new one."""
    from portal_site.portal import flows
    from portal_site.portal.access import devices
    from portal_site.portal.access.sessions import over_page

    real = clock.now()
    g.visitor = visitors.find_visitor(real) or devices.resume(real)
    if g.visitor is not None:
        g.now = g.visitor.time(real)
        g.acting = ExitStack()
        g.acting.enter_context(acting_as(ActorType.CUSTOMER, g.visitor.customer_id))
        return flows.guard() or devices.code_redirect()
    if htmx.is_fragment_request():
        return htmx.refuse()
    return over_page(session.get(visitors.COOKIE_MEMBER), "session", urls.page(urls.here(), "portal"))


@blueprint.teardown_request
def stop_acting(_error: BaseException | None) -> None:
    """Forget the actor: the thread will serve other customers."""
    if acting := g.pop("acting", None):
        acting.close()


@blueprint.context_processor
def add_visitor() -> dict[str, Any]:
    """The variables of every template: the visitor, the current instant, and when to warn that the session is about to end."""
    if not g.get("visitor"):
        return {}
    return {
        "visitor": g.visitor,
        "now": g.now,
        "warn_after": portal_sessions.IDLE_LIFE - WARNING,
        "subscription_actions": subscription_actions.of,
    }


def portal_feature(*names: str) -> Callable[[Callable[P, Answer]], Callable[P, Answer]]:
    """Answer 404 if the configuration disables the route's feature, or all of its features if it has several."""

    def decorate(view: Callable[P, Answer]) -> Callable[P, Answer]:
        @wraps(view)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> Answer:
            if not any(map(g.visitor.features.allows, names)):
                abort(404)
            return view(*args, **kwargs)

        guarded.portal_features = names  # type: ignore[attr-defined]
        return guarded

    return decorate


@blueprint.post("/log-out")
def log_out() -> Response:
    """End the session on the server and delete it from this browser."""
    from portal_site.portal.access import devices

    token = session.get(visitors.COOKIE_MEMBER)
    devices.forget()
    portal_sessions.end_session(g.visitor.account_id, g.visitor.session_id, clock.now())
    language = i18n.current().locale
    security.start_over()
    session["left"], session["locale"] = token, language
    response = redirect(url_for("sessions.show_logged_out"), 303)
    if not urls.root():  # of a host that the portal shares, it would clear what is others'
        response.headers["Clear-Site-Data"] = '"cache", "storage"'
    return response


def init(app: Flask) -> None:
    """Register the blueprints: the pages that need no session, and those for customers."""
    # Each registers its routes on the blueprint.
    from portal_site.portal import (  # noqa: F401
        billing_information,
        flows,
        gateway_events,
        invoices,
        overview,
        payment_methods,
        subscriptions,
        wording,
    )
    from portal_site.portal.access import cancellation_requests, devices, email_links, logins, sessions
    from portal_site.portal.changes import cancellations, pauses, plan_changes, reactivations, retention  # noqa: F401
    from portal_site.portal.documents import pages  # noqa: F401

    wording.init(app)
    devices.init(app)
    app.extensions["find_owner"] = lambda: visitors.find_expired_owner(session.get(visitors.COOKIE_MEMBER))
    app.register_blueprint(sessions.blueprint)
    app.register_blueprint(logins.blueprint, url_prefix="/login/<login_page_id>")
    app.register_blueprint(logins.blueprint, name="replacements", url_prefix="/p/code/<ticket>")
    app.register_blueprint(email_links.blueprint)
    app.register_blueprint(cancellation_requests.blueprint)
    app.register_blueprint(gateway_events.blueprint)
    app.register_blueprint(blueprint)
