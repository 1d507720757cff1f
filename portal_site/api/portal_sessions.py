"""`POST /v1/billing_portal/sessions`: the link that a merchant's program makes for a customer."""

from typing import Annotated, ClassVar

from flask import Response, g, url_for

from portal_site.api import answers, lists, parameters
from portal_site.api.idempotency import idempotent
from portal_site.api.parameters import Filled, Parameters, Text
from portal_site.api.routes import route
from portal_site.billing.api_access.api_keys import WRITE
from portal_site.billing.models import PortalConfiguration
from portal_site.billing.portal_access import portal_sessions
from portal_site.billing.resources import portal
from portal_site.billing.rules.portal.locales import LOCALES

IN_CONFIGURATION = frozenset({"business_profile", "features", "features.subscription_update.products", "login_page"})


class _New(Parameters):
    EXPANDABLE: ClassVar[frozenset[str]] = frozenset(
        {"configuration", "flow", *(f"configuration.{name}" for name in IN_CONFIGURATION)}
    )
    customer: Filled
    configuration: Text = None
    locale: Annotated[str | None, parameters.choice(*sorted(LOCALES))] = None
    on_behalf_of: Text = None
    return_url: Text = None


@route("POST", "/billing_portal/sessions", "customer_portal", WRITE)
@idempotent
def create_portal_session() -> Response:
    """Create a session. Its URL works for five minutes, and is in this answer only."""
    wanted = parameters.read(_New)
    if "@" in wanted.customer:  # the engine would take an e-mail address too
        raise answers.missing("customer", wanted.customer, "customer", 400)
    opened = portal_sessions.open_session(
        wanted.customer,
        g.now,
        account_id=g.caller.account_id,
        livemode=g.caller.livemode,
        configuration_id=wanted.configuration,
        on_behalf_of=wanted.on_behalf_of,
        return_url=wanted.return_url,
        locale=wanted.locale,
    )
    made = portal.session(opened.row)
    made["url"] = url_for("sessions.follow_link", token=opened.token, _external=True)
    if "configuration" in {path.partition(".")[0] for path in wanted.expanded}:
        shown = "configuration.features.subscription_update.products" in wanted.expanded
        row = lists.one(PortalConfiguration, opened.row.configuration_id)
        made["configuration"] = portal.configuration(row, with_products=shown)
    return answers.json(made)
