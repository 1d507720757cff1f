"""Staying logged in on a device: its cookie, the list of devices, and the code that is asked for before it matters."""

from flask import Flask, abort, flash, g, redirect, render_template, request, session, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from portal_site import clock
from portal_site.billing.portal_access import devices
from portal_site.mail import login_codes
from portal_site.portal import blueprint, log_out
from portal_site.portal.access import return_after_login, visitors
from portal_site.portal.access.visitors import Visitor
from portal_site.web import hosts, htmx, security, signing, urls

SUFFIX = "device"  # of the cookie's name
# The routes that ask for a code first, where the session began without one.
SENSITIVE = frozenset(
    {
        "new_payment_method", "add_payment_method", "make_default_payment_method", "confirm_removal",
        "remove_payment_method",
        "show_cancellation", "tell_reason", "show_cancellation_end", "cancel_subscription", "show_offer", "accept_offer",
        "decline_offer", "show_pause", "pause_subscription",
    }
)  # fmt: skip


def init(app: Flask) -> None:
    """Send the cookie with the response in which it changes."""
    app.after_request(_send_cookie)


def token() -> str | None:
    """The token of this browser's cookie."""
    return request.cookies.get(security.cookie_name(SUFFIX))


def remember(session_token: str, at: int) -> None:
    """Remember this browser, if the configuration allows it."""
    g.device_cookie = devices.remember(session_token, at)


def forget() -> None:
    """Forget this browser."""
    if (known := token()) is not None:
        devices.forget_token(known, clock.now())
        g.device_cookie = ""


def resume(at: int) -> Visitor | None:
    """Let the customer of this browser in who is remembered on it. What was typed in its forms stays valid.

    A browser whose last session was another customer's has pages of that one open: they must not become this one's.
    """
    known = token()
    only = hosts.account()
    if known is None or (only is not None and not devices.is_device_of_account(known, only, at)):
        return None
    customer_id = devices.find_customer(known, at)
    before = visitors.find_expired_owner(session.get(visitors.COOKIE_MEMBER))
    if customer_id is None:
        g.device_cookie = ""
        return None
    if before is not None and before.customer_id != customer_id:
        return None
    entry = devices.resume(known, at)
    if entry is None:
        return None
    return_after_login.resume_page(entry.token, entry.cookie, at, keep_language=True)
    return visitors.find_visitor(at)


def code_redirect() -> Response | None:
    """Where a request leads that needs a code first; None for all others."""
    if g.visitor.device_id is None or (request.endpoint or "").removeprefix("portal.") not in SENSITIVE:
        return None
    there = urls.page(urls.here(), "portal") if request.method == "GET" else None
    return_after_login.remember_page(
        g.visitor, there or urls.nearest_page(urls.root() + request.path, "portal"), clock.now()
    )
    address = url_for("replacements.show_login", ticket=signing.sign(login_codes.TICKET, g.visitor.session_id))
    return htmx.lead_to(address) if htmx.is_fragment_request() else redirect(address, 303)


def _send_cookie(response: Response) -> Response:
    changed = g.pop("device_cookie", None)
    if changed is not None:
        security.set_cookie(response, SUFFIX, changed, devices.LIFE)
    return response


@blueprint.get("/devices")
def show_devices() -> str:
    """The browsers in which the customer stays logged in."""
    found = devices.devices_of(g.visitor.customer_id, clock.now())
    if not (found or g.visitor.remembers_devices):
        abort(404)
    return render_template("portal/devices/index.html", devices=found)


@blueprint.post("/devices/<device_id>/removal")
def forget_device(device_id: str) -> Response:
    """Forget one of them."""
    if not devices.forget(g.visitor.customer_id, device_id, clock.now()):
        abort(404)
    return _forgotten(_("The device is logged out."))


@blueprint.post("/devices/removal")
def forget_devices() -> Response:
    """Forget all of them, and end all sessions of logins: this one, too, unless the merchant's link began it."""
    devices.forget(g.visitor.customer_id, None, clock.now())
    return log_out() if g.visitor.by_login else _forgotten(_("All devices are logged out."))


def _forgotten(words: str) -> Response:
    flash(words, "good")
    return redirect(url_for("portal.show_devices"), 303)
