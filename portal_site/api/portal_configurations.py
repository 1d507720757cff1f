"""`GET /v1/billing_portal/configurations`, and one of them."""

from typing import Any, ClassVar

from flask import Response, url_for

from portal_site.api import answers, lists, parameters
from portal_site.api.parameters import ListParameters, Parameters, Truth
from portal_site.api.routes import route
from portal_site.billing.api_access.api_keys import READ
from portal_site.billing.models import PortalConfiguration
from portal_site.billing.resources import portal
from portal_site.db.json_columns import JsonObject

PRODUCTS = "features.subscription_update.products"
EXPANDABLE = frozenset({"application", "business_profile", "features", "login_page", PRODUCTS})
URL = "/v1/billing_portal/configurations"


class _List(ListParameters):
    EXPANDABLE: ClassVar[frozenset[str]] = EXPANDABLE
    active: Truth | None = None
    is_default: Truth | None = None


class _One(Parameters):
    EXPANDABLE: ClassVar[frozenset[str]] = EXPANDABLE


@route("GET", "/billing_portal/configurations", "customer_portal", READ)
def list_configurations() -> Response:
    """The configurations, the newest first."""
    wanted, table = parameters.read(_List), PortalConfiguration
    filters = [(wanted.active, table.active), (wanted.is_default, table.is_default)]
    products = PRODUCTS in wanted.expanded
    return answers.json(
        lists.page(
            table, wanted, URL, "configuration",
            lambda rows: [to_json(row, with_products=products) for row in rows],
            *(column.is_(value) for value, column in filters if value is not None),
        )
    )  # fmt: skip


@route("GET", "/billing_portal/configurations/<name>", "customer_portal", READ)
def retrieve_configuration(name: str) -> Response:
    """One configuration."""
    wanted = parameters.read(_One)
    row = lists.one(PortalConfiguration, name)
    if row is None:
        raise answers.missing("configuration", name, "configuration")
    return answers.json(to_json(row, with_products=PRODUCTS in wanted.expanded))


def to_json(row: Any, *, with_products: bool) -> JsonObject:
    """A configuration with the URL of its login page, if that is open."""
    page_id = row.login_page_id if row.login_page_enabled else None
    url = url_for("logins.show_login", login_page_id=page_id, _external=True) if page_id else None
    return portal.configuration(row, with_products=with_products, login_url=url)
