"""The twin's middleware: response headers, and the customer, found by the hash of the cookie among the portal's visits."""

import hashlib
import time
from collections.abc import Callable
from zoneinfo import ZoneInfo

from django.http import HttpRequest, HttpResponse, HttpResponseForbidden
from django.utils import timezone

from bench.twin.models import Visit

COOKIE = "visit"
IDLE_LIFE, WHOLE_LIFE, SEEN_STEP = 60 * 60, 12 * 60 * 60, 60
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'; object-src 'none'"
)
Answer = Callable[[HttpRequest], HttpResponse]


def headers(get_response: Answer) -> Answer:
    """Add the headers that Django 5.2 has no setting for."""

    def answer(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        response.headers.setdefault("Content-Security-Policy", POLICY)
        response.headers.setdefault(
            "Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"
        )
        response.headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    return answer


def visitor(get_response: Answer) -> Answer:
    """Find the customer's visit, and record its activity as often as the portal does."""

    def answer(request: HttpRequest) -> HttpResponse:
        now = int(time.time())
        visit = _find(request.COOKIES.get(COOKIE, ""), now)
        if visit is None:
            return HttpResponseForbidden("This session is over.")
        if now - visit.last_seen_at >= SEEN_STEP:
            Visit.objects.filter(id=visit.id).update(last_seen_at=now)
        request.now = now
        request.session_row = visit.session
        timezone.activate(ZoneInfo(visit.session.customer.timezone or visit.session.account.timezone))
        return get_response(request)

    return answer


def _find(token: str, now: int) -> Visit | None:
    return (
        Visit.objects.select_related("session__customer", "session__configuration", "session__account")
        .filter(
            token_hash=hashlib.sha256(token.encode()).hexdigest(),
            ended_at=None,
            last_seen_at__gt=now - IDLE_LIFE,
            opened_at__gt=now - WHOLE_LIFE,
            session__ended_at=None,
            session__configuration__active=True,
            session__customer__deleted_at=None,
        )
        .first()
    )
