"""Coming back: a customer who was turned away on a page lands there again, and the forms in its other tabs are still good."""

from flask import session

from portal_site.billing.portal_access.portal_sessions import hash_token
from portal_site.portal.access import visitors
from portal_site.portal.access.visitors import PortalOwner
from portal_site.web import security, urls

MEMBER = "turned_away"
LIFE = 60 * 60  # seconds: tomorrow, whoever comes by a new link wants to begin at the beginning


def remember_page(lost: PortalOwner | None, there: str | None, at: int) -> None:
    """Keep in this browser's cookie where its customer wanted to go."""
    if lost is not None and there is not None:
        session[MEMBER] = [there, _who(lost), at]


def resume_page(token: str, cookie: str, at: int) -> str | None:
    """Let the browser in that followed a link, and say where its customer was turned away, if it was this customer.

    What an earlier customer left in this browser goes first: its cookie, its language, its forms' secret. The same
    customer's secret stays, since the forms in its other tabs hold what it typed.
    """
    coming, before = (
        visitors.find_expired_owner(token),
        visitors.find_expired_owner(session.get(visitors.COOKIE_MEMBER)),
    )
    there = _recall(coming, at)
    same = coming is not None and before is not None and coming.customer_id == before.customer_id
    security.start_over(keep_forms=same)
    session[visitors.COOKIE_MEMBER] = cookie
    return there


def _recall(coming: PortalOwner | None, at: int) -> str | None:
    there, who, since = session.get(MEMBER) or (None, None, 0)
    if coming is None or who != _who(coming) or at - since > LIFE:
        return None
    return urls.page(there or "", "portal")


def _who(business: PortalOwner) -> str:
    return hash_token(business.customer_id)  # a cookie can be read, and need not say whose it is
