"""Return after an expired session: to the page that was refused, with the forms in other tabs still valid."""

from flask import session

from portal_site.billing.portal_access.portal_sessions import hash_token
from portal_site.portal.access import visitors
from portal_site.portal.access.visitors import PortalOwner
from portal_site.web import security, urls

MEMBER = "turned_away"
LIFE = 60 * 60  # seconds; after that, a new link leads to the overview


def remember_page(lost: PortalOwner | None, there: str | None, at: int) -> None:
    """Remember the refused page in the browser's cookie."""
    if lost is not None and there is not None:
        session[MEMBER] = [there, _who(lost), at]


def resume_page(token: str, cookie: str, at: int, *, keep_language: bool = False) -> str | None:
    """Start a session for this browser. Returns the page on which this customer was refused before, if any.

    The cookie, the language (but with `keep_language`, if it was chosen on the page that led here) and the CSRF secret of an
    earlier customer are deleted first. The CSRF secret of the same customer is kept, because forms in its other tabs hold what
    it typed.
    """
    coming, before = (
        visitors.find_expired_owner(token),
        visitors.find_expired_owner(session.get(visitors.COOKIE_MEMBER)),
    )
    there = _recall(coming, at)
    same = coming is not None and before is not None and coming.customer_id == before.customer_id
    language = session.get("locale") if keep_language else None
    security.start_over(keep_forms=same)
    if language:
        session["locale"] = language
    session[visitors.COOKIE_MEMBER] = cookie
    return there


def _recall(coming: PortalOwner | None, at: int) -> str | None:
    there, who, since = session.get(MEMBER) or (None, None, 0)
    if coming is None or who != _who(coming) or at - since > LIFE:
        return None
    return urls.page(there or "", "portal")


def _who(business: PortalOwner) -> str:
    return hash_token(business.customer_id)  # the cookie is readable, and should not show the customer's id
