"""What stands around every page: title, headline, mode, links; and the pages for those who are not let in."""

from markupsafe import Markup, escape

from portal_site.portal.access.visitors import PortalOwner, Visitor
from portal_site.web.rendering import filters
from portal_site.web.rendering.i18n import gettext as _


def title(name: str, has_errors: object) -> str:
    """A page's name, after a warning that something in it has to be corrected."""
    return " ".join((_("Error:"), name)) if has_errors else name


def headline(visitor: Visitor) -> str:
    """The merchant's own, else what the portal is for."""
    business = visitor.business_name
    return visitor.headline or _("Manage your plan, payment methods and invoices with %(business)s.", business=business)


def test_mode(visitor: Visitor, now: int) -> str:
    """The mark on pages where no money moves, with the date where a test clock has its own."""
    return _("Test mode, at %(moment)s", moment=filters.instant(now)) if visitor.frozen_time else _("Test mode")


def links(visitor: Visitor) -> list[tuple[str, str]]:
    """The merchant's own pages, as name and address."""
    mail = f"mailto:{visitor.support_email}" if visitor.support_email else ""
    found = [
        (_("Terms"), filters.safe_link(visitor.terms_of_service_url)),
        (_("Privacy"), filters.safe_link(visitor.privacy_policy_url)),
        (_("Help"), filters.safe_link(visitor.support_url) or mail),
    ]
    return [(name, address) for name, address in found if address]


def session_ended(come_back: Markup) -> Markup:
    """What a page says that was left open too long; `come_back` is the link to a new one."""
    sentence = _("Your session has ended. What you entered is still here: %(come_back)s, then continue in this one.")
    return Markup(escape(sentence)) % {"come_back": come_back}  # noqa: S704 - escaped here


def over_title(reason: str) -> str:
    """What is over: the link or the session."""
    return _("This link has expired") if reason == "link" else _("Your session has ended")


def over_explanation(reason: str) -> str:
    """Why it is over."""
    if reason == "link":
        return _("For your security, links to your billing page only work for a few minutes.")
    return _("For your security, you are logged out after an hour of inactivity. Nothing you saved is lost.")


def new_link(business: PortalOwner | None) -> str:
    """What to do about it."""
    if business is None:
        return _("Go back to the site or e-mail you came from and open your billing page again.")
    name = business.business_name
    return _("Open your billing page again from your account with %(business)s to get a new link.", business=name)


def contact(business: PortalOwner | None) -> list[tuple[str, str]]:
    """Where to ask for help, as name and address, if it is known whom."""
    if business is None:
        return []
    name, site, mail = business.business_name, filters.safe_link(business.support_url), business.support_email
    if site:
        return [(_("Contact %(business)s", business=name), site)]
    return [(mail, f"mailto:{mail}")] if mail else []
