"""The pages of links in e-mails. Opening one changes nothing; its button does, or leads on to a session for this one thing."""

from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, abort, current_app, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from portal_site import clock
from portal_site.billing.cancellation import cancellations
from portal_site.billing.errors import BillingError
from portal_site.billing.events.actors import ActorType, acting_as
from portal_site.billing.portal_access import email_links
from portal_site.billing.portal_access.email_links import EmailLink, Purpose
from portal_site.mail import links, login_codes
from portal_site.mail.messages import masked
from portal_site.portal.access import email_link_pages, return_after_login, visitors
from portal_site.portal.access.email_link_pages import LinkPage
from portal_site.portal.access.sessions import over_page
from portal_site.portal.documents import pages
from portal_site.portal.reads import invoices
from portal_site.portal.reads.invoices import InvoiceView
from portal_site.web import signing
from portal_site.web.rendering.i18n import gettext as _

blueprint = Blueprint("email_links", __name__, url_prefix="/m/<token>")


@blueprint.url_value_preprocessor
def find_link(_endpoint: str | None, values: dict[str, Any] | None) -> None:
    """Find what the link is about, and for whom. A link that is revoked is answered like one that never was."""
    g.email_token = (values or {}).pop("token", "")
    g.email_link = links.read(g.email_token)
    g.holder = email_links.find_holder(g.email_link, clock.now()) if g.email_link else None
    outside = g.holder and visitors.find_without_session(
        g.holder.account_id, g.holder.customer_id, g.holder.on_behalf_of
    )
    if outside:
        g.visitor, g.now = outside, outside.time(clock.now())


@blueprint.before_request
def require_link() -> tuple[str, int] | None:
    """Show who comes with a link that leads nowhere that it is over."""
    return over_page(None, "email") if g.get("visitor") is None else None


@blueprint.get("")
def show() -> str | tuple[str, int]:
    """What the link is for, and the button."""
    return _page(_found())


@blueprint.post("")
def go_on() -> AnyResponse | tuple[str, int]:
    """Do what the link is for: at once, in a session for it, or after a code."""
    page, link, at = _found(), _link(), clock.now()
    if not page.button or request.form.get("state", "") != page.state:
        return redirect(_here(), 303)
    own = visitors.find_visitor(at) if link.purpose in _SHORTCUTS else None
    is_in = (
        own is not None and own.customer_id == link.customer_id and own.on_behalf_of in (None, g.holder.on_behalf_of)
    )
    if own is not None and is_in and own.flow is None:
        return redirect(_inside(), 303)
    if page.needs_code:
        return _ask_for_code()
    try:
        with acting_as(ActorType.CUSTOMER, link.customer_id):
            return _ACTIONS.get(link.purpose, _begin)()
    except BillingError:
        return _page(page, _("This is not possible any more.")), 409


@blueprint.get("/invoice.pdf")
def download_invoice() -> Response:
    """The invoice that the link is about, as PDF."""
    return pages.invoice_file(_own_invoice())


@blueprint.get("/receipt.pdf")
def download_receipt() -> Response:
    """Its receipt."""
    return pages.receipt_file(_own_invoice())


def _own_invoice() -> InvoiceView:
    if _link().purpose != Purpose.INVOICE or g.holder.is_too_old:
        abort(404)
    return invoices.find(g.visitor.scope, _link().object_id) or abort(404)


def _link() -> EmailLink:
    link: EmailLink = g.email_link
    return link


def _here() -> str:
    return url_for("email_links.show", token=g.email_token)


def _found() -> LinkPage:
    """What the page of this link says. A link whose object has no page any more is answered with 404."""
    link = _link()
    if g.holder.is_too_old and link.purpose != Purpose.REMINDERS:
        return email_link_pages.too_old()
    flow = email_links.find_flow(link)
    muted = link.purpose == Purpose.REMINDERS and email_links.is_muted(link)
    return email_link_pages.page_of(link, g.visitor, flow, muted, g.now) or abort(404)


def _page(page: LinkPage, refusal: str = "") -> str:
    is_possible = not page.needs_code or _can_send_code()
    note = ""
    if page.needs_code and is_possible:
        email = masked(g.holder.email)
        note = _("To make sure that it is you, we will send a code to %(email)s.", email=email)
    shown = {
        "page": page, "here": _here(), "note": note, "refusal": refusal, "now": g.now, "business": g.visitor,
        "button": page.button if is_possible and not refusal else "",
    }  # fmt: skip
    if page.invoice is None:
        return render_template("portal/email_links/show.html", **shown)
    files = [(_("Download PDF"), url_for("email_links.download_invoice", token=g.email_token))]
    if page.invoice.has_receipt:
        files.append((_("Receipt"), url_for("email_links.download_receipt", token=g.email_token)))
    return render_template("portal/email_links/invoice.html", invoice=page.invoice, documents=files, **shown)


def _can_send_code() -> bool:
    return bool(g.holder.email and current_app.config["SETTINGS"].sends_mail)


def _begin() -> AnyResponse | tuple[str, int]:
    """Open a session for what the link is for; where that needs more than the link, after a code."""
    at = clock.now()
    entry = email_links.begin(_link(), g.holder, at)
    if entry is None:
        return _ask_for_code()
    return_after_login.resume_page(entry.token, entry.cookie, at, keep_language=True)
    return redirect(url_for("portal.show_overview"), 303)  # its guard leads to the first page of the flow


def _ask_for_code() -> AnyResponse:
    at = clock.now()
    if not _can_send_code():
        return redirect(_here(), 303)
    session_id = email_links.begin_replaceable(_link(), g.holder, at)
    return_after_login.remember_page(g.visitor, _inside(), at)
    return redirect(url_for("replacements.show_login", ticket=signing.sign(login_codes.TICKET, session_id)), 303)


def _inside() -> str:
    """The page of the portal that shows what the link is about."""
    link = _link()
    if link.purpose == Purpose.INVOICE:
        return url_for("portal.show_invoice", invoice_id=link.object_id)
    if link.purpose in (Purpose.SUBSCRIPTION, Purpose.KEEP):
        return url_for("portal.show_subscription", subscription_id=link.object_id)
    if link.purpose == Purpose.PAYMENT_METHOD and g.visitor.features.payment_method_update.enabled:
        return url_for("portal.new_payment_method")
    return url_for("portal.show_overview")


def _keep() -> AnyResponse:
    cancellations.keep(g.holder.customer_id, _link().object_id, g.now)
    return redirect(_here(), 303)


def _switch_reminders() -> AnyResponse:
    email_links.switch_reminders(_link(), g.holder)
    return redirect(_here(), 303)


# What a customer who is logged in does on the portal's own pages.
_SHORTCUTS = (Purpose.INVOICE, Purpose.PAYMENT_METHOD, Purpose.SUBSCRIPTION)
_ACTIONS: dict[Purpose, Callable[[], AnyResponse]] = {Purpose.KEEP: _keep, Purpose.REMINDERS: _switch_reminders}
