"""What the tests of documents share: the rows behind them."""

from typing import Any

from sqlalchemy import select, update

from portal_site.billing.models import Invoice, PrintedDocument
from tests import world
from tests.world import reading


def invoice_ids() -> list[str]:
    """The ids of all invoices, newest first."""
    with reading() as connection:
        return list(connection.scalars(select(Invoice.id).order_by(Invoice.created.desc(), Invoice.id.desc())))


def stored_ids() -> list[str]:
    """The ids of the documents that are kept."""
    with reading() as connection:
        return list(connection.scalars(select(PrintedDocument.id)))


def set_members(model: Any, where: Any, **values: Any) -> None:
    """Set these columns of the rows."""
    with world.transaction() as session:
        session.execute(update(model).where(where).values(**values))


def of_scene(scene: world.Scene) -> Any:
    """The condition for the invoices of a scene."""
    return Invoice.customer_id == scene.customer.id
