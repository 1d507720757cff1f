"""The frame of all pages: title, headline, test mode, links; and the pages for expired links and sessions."""

from flask import get_flashed_messages, request, url_for
from markupsafe import Markup, escape

from portal_site.billing.portal_access.devices import DeviceView
from portal_site.portal.access.visitors import PortalOwner, Visitor
from portal_site.web import urls
from portal_site.web.rendering import filters
from portal_site.web.rendering.i18n import gettext as _

# The pages of forms that are submitted to a URL of their own; the others have the same URL.
FORM_OF = {
    "portal.apply_promotion_code": "portal.show_plan_change",
    "portal.add_tax_id": "portal.new_tax_id",
    "portal.choose_country": "portal.edit_billing_information",
    "portal.tell_reason": "portal.show_cancellation",
}


def title(name: str, has_errors: object) -> str:
    """The title of a page, after a warning if its form has errors."""
    return " ".join((_("Error:"), name)) if has_errors else name


def done() -> str:
    """What the title of a page begins with that says that something was done; empty on other pages."""
    return _("Done:") + " " if get_flashed_messages(category_filter=["good"]) else ""


def site(visitor: Visitor) -> str:
    """What the title of each page ends with: whose billing pages these are."""
    return " · ".join((_("Billing"), visitor.business_name))


def headline(visitor: Visitor) -> str:
    """The merchant's headline, else the portal's."""
    business = visitor.business_name
    return visitor.headline or _("Manage your plan, payment methods and invoices with %(business)s.", business=business)


def credit(visitor: Visitor) -> str:
    """The customer's credit with the merchant; empty if there is none."""
    if visitor.balance >= 0 or not visitor.currency:
        return ""
    amount = filters.money(-visitor.balance, visitor.currency)
    return _("You have %(amount)s of credit. It is used for your next invoices.", amount=amount)


def this_page() -> str:
    """The URL that shows this page again in another language: after a refused form, that of the form's page."""
    if request.method == "GET":
        return urls.here()
    form = FORM_OF.get(request.endpoint or "")
    return (
        url_for(form, **(request.view_args or {})) if form else urls.nearest_page(urls.root() + request.path, "portal")
    )


def device(view: DeviceView, current: str | None) -> str:
    """A remembered device, by the day on which it was."""
    if view.id == current:
        return _("This device")
    return _("Device remembered on %(date)s", date=filters.date(view.created))


def links(visitor: Visitor) -> list[tuple[str, str]]:
    """The merchant's own pages as (name, URL), and that of the devices where customers can stay logged in."""
    mail = f"mailto:{visitor.support_email}" if visitor.support_email else ""
    found = [
        (_("Terms"), filters.safe_link(visitor.terms_of_service_url)),
        (_("Privacy"), filters.safe_link(visitor.privacy_policy_url)),
        (_("Help"), filters.safe_link(visitor.support_url) or mail),
    ]
    if visitor.remembers_devices and visitor.flow is None:
        found.append((_("Devices"), url_for("portal.show_devices")))
    return [(name, address) for name, address in found if address]


def session_ended(come_back: Markup) -> Markup:
    """The notice on a page whose session has expired; `come_back` is the URL for a new session."""
    sentence = _("Your session has ended. What you entered is still here: %(come_back)s, then continue in this one.")
    return Markup(escape(sentence)) % {"come_back": come_back}  # noqa: S704 - escaped here


def over_title(reason: str) -> str:
    """The title: the link or the session has expired, or a link in an e-mail leads nowhere."""
    if reason == "email":
        return _("This link is no longer valid")
    return _("This link has expired") if reason == "link" else _("Your session has ended")


def over_explanation(reason: str) -> str:
    """Why it has expired."""
    if reason == "email":
        return _("It was withdrawn, or what it is about has changed since.")
    if reason == "link":
        return _("For your security, links to your billing page only work for a few minutes.")
    return _("For your security, you are logged out after an hour of inactivity. Nothing you saved is lost.")


def new_link(business: PortalOwner | None) -> str:
    """How to get a new link."""
    if business is None:
        return _("Go back to the site or email you came from and open your billing page again.")
    name = business.business_name
    return _("Open your billing page again from your account with %(business)s to get a new link.", business=name)


def account_name(name: str | None, created: int) -> str:
    """A customer among several with one e-mail address."""
    since = _("customer since %(date)s", date=filters.date(created))
    return f"{name}, {since}" if name else since[:1].upper() + since[1:]


def contact(business: PortalOwner | None) -> list[tuple[str, str]]:
    """The merchant's contact as (name, URL), if known."""
    if business is None:
        return []
    name, site, mail = business.business_name, filters.safe_link(business.support_url), business.support_email
    if site:
        return [(_("Contact %(business)s", business=name), site)]
    return [(mail, f"mailto:{mail}")] if mail else []
