"""Events by name for the tests of their sequence."""

from typing import Any

from portal_site.billing.events.emission import emit
from portal_site.billing.models import Customer


def emit_named(session: Any, customer: Customer, *names: str) -> None:
    for name in names:
        emit(session, "customer.updated", customer, 1, previous={"name": name})
