"""`GET /v1/billing_portal/configurations`, and one of them."""

from functools import partial
from typing import ClassVar

from flask import Response

from portal_site.api import answers, lists, parameters
from portal_site.api.expansion import objects
from portal_site.api.parameters import ListParameters, Parameters, Truth
from portal_site.api.routes import route
from portal_site.billing.api_access.api_keys import READ
from portal_site.billing.models import PortalConfiguration

KIND = "configuration"
URL = "/v1/billing_portal/configurations"


class _List(ListParameters):
    KIND: ClassVar[str] = KIND
    active: Truth | None = None
    is_default: Truth | None = None


class _One(Parameters):
    KIND: ClassVar[str] = KIND


@route("GET", "/billing_portal/configurations", "customer_portal", READ)
def list_configurations() -> Response:
    """The configurations, the newest first."""
    wanted, table = parameters.read(_List), PortalConfiguration
    filters = [(wanted.active, table.active), (wanted.is_default, table.is_default)]
    conditions = [column.is_(value) for value, column in filters if value is not None]
    make = partial(objects.of, KIND, wanted.expanded)
    return answers.json(lists.page(table, wanted, URL, KIND, make, *conditions))


@route("GET", "/billing_portal/configurations/<name>", "customer_portal", READ)
def retrieve_configuration(name: str) -> Response:
    """One configuration."""
    wanted = parameters.read(_One)
    row = lists.one(PortalConfiguration, name)
    if row is None:
        raise answers.missing(KIND, name, KIND)
    return answers.json(objects.of(KIND, wanted.expanded, [row])[0])
