"""The live preview: the real pages of the portal for one customer, with settings that are shown and not stored.

It is framed by the dashboard, and can do nothing: its policy forbids scripts and forms, it has no session, and what it would
write is rolled back.
"""

from collections.abc import Mapping
from typing import Any

from flask import Response, render_template, request

from portal_site.billing.rules.portal import portal_features
from portal_site.dashboard import place
from portal_site.dashboard.reads import customer_states
from portal_site.dashboard.settings.sections import Section
from portal_site.dashboard.settings.subjects import Subject
from portal_site.db.json_columns import JsonObject
from portal_site.db.transactions import provisional_rows
from portal_site.portal.access import previews, visitors
from portal_site.samples import customers
from portal_site.staff.roles import Right
from portal_site.web.rendering import i18n, themes
from portal_site.web.security import CONTENT_SECURITY_POLICY

DAY = 24 * 60 * 60
FURTHEST = 400  # days
POLICY = (
    CONTENT_SECURITY_POLICY.replace("frame-ancestors 'none'", "frame-ancestors 'self'") + "; sandbox allow-same-origin"
)
# An e-mail brings its styles in its elements, as mail programs want them.
EMAIL_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'; sandbox allow-same-origin"
OF_SUBSCRIPTION = {
    "plan_change": "portal.show_plan_change",
    "cancellation": "portal.show_cancellation",
    "pause": "portal.show_pause",
    "restart": "portal.show_restart",
}
PAGES = {
    "overview": "Overview", "plan_change": "Changing the plan", "cancellation": "Canceling", "pause": "Pausing",
    "restart": "Coming back", "payment_methods": "Payment methods", "billing_information": "Billing information",
    "invoices": "Invoices",
}  # fmt: skip
OTHERS = {
    "overview": "portal.show_overview", "payment_methods": "portal.show_payment_methods",
    "billing_information": "portal.edit_billing_information", "invoices": "portal.show_invoices",
}  # fmt: skip


def show(subject: Subject, form: Section, settings: JsonObject, now: int) -> Response:
    """What the request's controls ask for, with these settings: a page of the portal, or what the form has to show."""
    if (own := form.preview()) is not None:
        return framed(own, EMAIL_POLICY)
    try:
        shown = subject.shown(settings)
    except ValueError:
        return unfit()
    row = subject.row
    states = customer_states.find(row.account_id, row.livemode, visible=place().may(Right.VIEW_CUSTOMERS))
    state = next((one for one in states if one.name == request.values.get("state")), states[0])
    if not state.is_sample:
        return framed(_rendered(subject, shown, state.customer_id, state.subscription_id, now) or nobody())
    with provisional_rows() as session:
        features = portal_features.read(shown.get("feature_document") or row.features)
        made = customers.build(session, row.account_id, row.livemode, features, state.name, now)
        return framed(_rendered(subject, shown, made.customer_id, made.subscription_id, now) or nobody())


def _rendered(
    subject: Subject, shown: Mapping[str, Any], customer_id: str, subscription_id: str, now: int
) -> str | None:
    """The page of the portal that the controls ask for, for this customer; None if the customer does not get to it."""
    visitor = visitors.find_previewed(subject.row.account_id, subject.row.id, customer_id, shown)
    days = max(0, min(request.values.get("days", type=int) or 0, FURTHEST))
    language = i18n.match(request.values.get("language", ""))
    endpoint, values = _page(request.values.get("page", ""), subscription_id)
    scheme = themes.DARK if request.values.get("scheme") == themes.DARK else themes.LIGHT
    at = visitor.time(now) + days * DAY
    return previews.render(visitor, endpoint, values, at, language, scheme) if endpoint else None


def nobody() -> str:
    """What stands in the place of a page that a customer does not get to."""
    return in_words("This customer does not get to this page.", "Switch it on, or choose another customer above.")


def unfit() -> Response:
    """What stands in the place of a page while there can be none."""
    return framed(in_words("What you typed does not fit together yet.", "The form says why when you save it."))


def _page(name: str, subscription_id: str) -> tuple[str, Mapping[str, str]]:
    if name in OF_SUBSCRIPTION:
        return (OF_SUBSCRIPTION[name], {"subscription_id": subscription_id}) if subscription_id else ("", {})
    return OTHERS.get(name, OTHERS["overview"]), {}


def in_words(title: str, advice: str) -> str:
    """A page for the frame where there is none of the portal's."""
    return render_template("dashboard/settings/no_preview.html", title=title, advice=advice)


def framed(page: str, policy: str = POLICY) -> Response:
    """A page as the answer for a frame of the dashboard, in which nothing can be done."""
    response = Response(page, content_type="text/html; charset=utf-8")
    response.headers["Content-Security-Policy"] = policy
    response.headers["X-Frame-Options"] = "SAMEORIGIN"
    return response
