"""The merchant's dashboard, on one blueprint below /dashboard. Its `before_request` admits users who are signed in.

A page says which right it needs with `needs`; one that says nothing is refused. Its account is part of its URL, so that two tabs
can show two accounts.
"""

from collections.abc import Callable
from contextlib import ExitStack
from functools import wraps
from typing import Any, ParamSpec

from flask import Blueprint, Flask, abort, current_app, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from portal_site import clock
from portal_site.billing.events.actors import ActorType, acting_as
from portal_site.dashboard import modes
from portal_site.dashboard.access import session_cookie
from portal_site.staff import sessions
from portal_site.staff.roles import Right
from portal_site.staff.sessions import Place, SignedIn
from portal_site.web import htmx, urls
from portal_site.web.rendering import i18n

P = ParamSpec("P")
Answer = Any
blueprint = Blueprint("dashboard", __name__, url_prefix="/dashboard")
blueprint.url_defaults(modes.keep_mode)
ENGLISH = "en"


@blueprint.before_request
def require_user() -> Answer:
    """Admit a user with a running session, a second step and the right that the page needs; 404 for a foreign account."""
    speak_english()
    g.now = clock.now()
    g.user = sessions.find(session_cookie.token(), g.now)
    if g.user is None:
        return _to_sign_in()
    if not g.user.has_second_step:
        return _lead_to(url_for("sign_in.show_second_step_setup"))
    modes.remember()
    g.acting = ExitStack()
    g.acting.enter_context(acting_as(ActorType.USER, g.user.user_id))
    view = current_app.view_functions[request.endpoint or ""]
    account_id = (request.view_args or {}).get("account_id")
    g.place = g.user.place(account_id) if account_id else None
    if account_id and g.place is None:
        abort(404)
    right = getattr(view, "right", None)
    if right is None or (right is not SIGNED_IN and not (g.place and g.place.may(right))):
        return render_template("dashboard/refused.html"), 403
    if getattr(view, "fresh", False) and not g.user.is_fresh(g.now):
        there = request.full_path.rstrip("?") if request.method == "GET" else ""
        return _lead_to(url_for("dashboard.ask_for_proof", next=urls.page(there, "dashboard")))
    return None


def _to_sign_in() -> Answer:
    if htmx.is_fragment_request():
        return htmx.refuse()
    there = urls.page(request.full_path.rstrip("?"), "dashboard") if request.method == "GET" else None
    return redirect(url_for("sign_in.show_form", next=there), 303)


def _lead_to(address: str) -> Response:
    return htmx.lead_to(address) if htmx.is_fragment_request() else redirect(address, 303)


def speak_english() -> None:
    """The dashboard is in English; dates and numbers are as in the first English-speaking region that the browser names."""
    wanted = [tag for tag in request.accept_languages.values() if tag.lower().startswith(ENGLISH)]
    g.locale_context = i18n.context_for(*wanted, ENGLISH)


@blueprint.teardown_request
def stop_acting(_error: BaseException | None) -> None:
    """Forget the actor: the thread will serve others."""
    if acting := g.pop("acting", None):
        acting.close()


@blueprint.context_processor
def add_user() -> dict[str, Any]:
    """The variables of every template: the user, the place in the account of the page, and the instant."""
    return {"user": g.get("user"), "place": g.get("place"), "now": g.get("now"), "Right": Right}


SIGNED_IN = "signed in"  # what a page needs that is of no account


def needs(right: Right | str, *, fresh: bool = False) -> Callable[[Callable[P, Answer]], Callable[P, Answer]]:
    """The right that a page needs, or SIGNED_IN. With `fresh` the user must have proved just now who it is."""

    def decorate(view: Callable[P, Answer]) -> Callable[P, Answer]:
        @wraps(view)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> Answer:
            return view(*args, **kwargs)

        guarded.right, guarded.fresh = right, fresh  # type: ignore[attr-defined]
        return guarded

    return decorate


def user() -> SignedIn:
    """The user of this request."""
    found: SignedIn = g.user
    return found


def place() -> Place:
    """The user's place in the account of this page."""
    found: Place = g.place
    return found


def init(app: Flask) -> None:
    """Register the dashboard, and the pages that lead into it."""
    # Each registers its routes on the blueprint.
    from portal_site.dashboard import (  # noqa: F401
        api_keys,
        connected_accounts,
        home,
        log,
        navigation,
        profile,
        second_steps,
        team,
    )
    from portal_site.dashboard.access import invitations, setup, sign_in
    from portal_site.dashboard.catalog import coupons, prices, products, promotion_codes, tax_rates  # noqa: F401
    from portal_site.dashboard.connections import domain, gateway, sender, webhook_endpoints  # noqa: F401
    from portal_site.dashboard.customers import one, starts, viewing  # noqa: F401
    from portal_site.dashboard.invoices import pages as invoice_pages  # noqa: F401
    from portal_site.dashboard.settings import login_page, pages  # noqa: F401

    session_cookie.init(app)
    navigation.init(app)
    for own in (setup.blueprint, sign_in.blueprint, invitations.blueprint, blueprint):
        app.register_blueprint(own)
