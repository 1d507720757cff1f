"""The form for billing information, as the tests use it."""

from typing import Any

from sqlalchemy import select, update

from portal_site.billing.models import Customer
from tests import world
from tests.client import PortalClient
from tests.world import reading

EDIT = "/billing-information/edit"


def stored_customer(customer: Customer) -> Any:
    with reading() as connection:
        return connection.execute(select(Customer.__table__).where(Customer.id == customer.id)).one()


def submit(client: PortalClient, **changed: str | bytes) -> Any:
    """Send the form with these fields changed. Who types a shipping address unticks first that it is the billing address."""
    form = client.form(EDIT)
    if any(name.startswith("shipping_") for name in changed):
        form.pop("shipping_same", None)
    return client.send(EDIT, {**form, **changed})


# --- what was not changed, and what people type -----------------------------------------------------------------------------


def store(customer: Customer, **values: Any) -> None:
    with world.transaction() as session:
        session.execute(update(Customer).where(Customer.id == customer.id).values(**values))
