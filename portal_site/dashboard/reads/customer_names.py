"""Customers by name, for what names one of them."""

from collections.abc import Collection, Sequence

from sqlalchemy import select

from portal_site.billing.models import Customer
from portal_site.db.transactions import reading


def of(account_id: str, customer_ids: Collection[str]) -> dict[str, str]:
    """The names of an account's customers by id, or what else they are known by."""
    if not customer_ids:
        return {}
    query = select(Customer.id, Customer.name, Customer.email).where(
        Customer.account_id == account_id, Customer.id.in_(customer_ids)
    )
    with reading() as reader:
        return {row.id: row.name or row.email or row.id for row in reader.execute(query)}


def with_email(account_id: str, livemode: bool, email: str) -> Sequence[str]:
    """The ids of the customers of a mode with this e-mail address, at most two of them."""
    own = Customer.account_id == account_id, Customer.livemode == livemode, Customer.deleted_at.is_(None)
    query = select(Customer.id).where(*own, Customer.email == email.replace("\0", "")).order_by(Customer.id).limit(2)
    with reading() as reader:
        return reader.scalars(query).all()
