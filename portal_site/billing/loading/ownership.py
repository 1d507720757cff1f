"""Loading and locking rows by their owner. A row of another owner is treated as if it did not exist."""

from collections.abc import Collection, Sequence
from typing import TypeVar, cast

from sqlalchemy import Select, bindparam, select
from sqlalchemy.orm import Session

from portal_site.billing.errors import BillingError, NotFound
from portal_site.billing.models import (
    Account,
    CancellationAttempt,
    Customer,
    Invoice,
    PaymentAttempt,
    PaymentMethod,
    Refund,
    SetupIntent,
    Subscription,
    TaxId,
)
from portal_site.billing.translation_marks import N_
from portal_site.db.transactions import held_rows

Row = TypeVar(
    "Row", CancellationAttempt, Invoice, PaymentAttempt, PaymentMethod, Refund, SetupIntent, Subscription, TaxId
)
Found = TypeVar("Found")
_MISSING = N_("We could not find this."), "resource_missing"


def get_account(session: Session, account_id: str | None) -> Account:
    """The account with this id or, with None, the only account. Raises NotFound, and BillingError if there are several."""
    query = select(Account).where(Account.id == account_id) if account_id else select(Account)
    accounts = session.scalars(query.execution_options(unscoped="an operator names an account").limit(2)).all()
    if not accounts:
        raise NotFound("No such account: '%(id)s'", "resource_missing", "account", id=account_id or "")
    if len(accounts) > 1:
        raise BillingError("There are several accounts: name one with --account.", param="account")
    return accounts[0]


def get_customer(session: Session, account_id: str | None, id_or_email: str) -> Customer:
    """A customer by id or e-mail address, of one account or (None) of any.

    Raises NotFound, and BillingError if several customers have the e-mail address.
    """
    query = select_customer(by_email="@" in id_or_email, of_account=account_id is not None)
    found = session.scalars(query, {"customer": id_or_email, "account_id": account_id})
    return only_customer(found.all(), id_or_email)


def select_customer(*, by_email: bool, of_account: bool) -> Select[Customer]:
    """The select of `get_customer`, to which what is to be read with the customer can be added, for `only_customer`.

    Its parameters are `customer` and `account_id`.
    """
    column = Customer.email if by_email else Customer.id
    query = select(Customer).where(column == bindparam("customer"), Customer.deleted_at.is_(None)).limit(2)
    if of_account:
        return query.where(Customer.account_id == bindparam("account_id"))
    return query.execution_options(unscoped="an operator names a customer, whoever's it is")


def only_customer(found: Sequence[Found], id_or_email: str) -> Found:
    """The row of the one customer. Raises NotFound, and BillingError if several customers have the e-mail address."""
    if not found:
        raise NotFound("No such customer: '%(id)s'", "resource_missing", "customer", id=id_or_email)
    if len(found) > 1:
        raise BillingError("Several customers have this e-mail address: name one by its id.", param="customer")
    return found[0]


def get_owned(session: Session, kind: type[Row], customer_id: str, row_id: str, *, lock: bool = False) -> Row:
    """The row if it belongs to the customer. Raises NotFound otherwise, whether or not another customer has such a row."""
    held = held_rows(session).get((kind, row_id))
    if held is not None and held.customer_id == customer_id:
        return cast("Row", held)
    # No id contains a NUL, and PostgreSQL refuses it as a parameter.
    query = select(kind).where(kind.id == row_id.replace("\0", ""), kind.customer_id == customer_id)
    # populate_existing: the object in the session may be older than the lock.
    row: Row | None = session.scalar(
        query.with_for_update().execution_options(populate_existing=True) if lock else query
    )
    if row is None:
        raise NotFound(*_MISSING)
    return row


def lock_customer(session: Session, customer_id: str) -> Customer:
    """The customer, locked until the transaction ends, so that changes of what it owes are serialized. Raises NotFound."""
    return lock_customers(session, [customer_id])[0]


def lock_customers(session: Session, customer_ids: Collection[str]) -> list[Customer]:
    """Lock several customers in the order of their ids, as every caller must, lest two wait for each other. Raises NotFound."""
    query = select(Customer).where(Customer.id.in_(customer_ids), Customer.deleted_at.is_(None)).order_by(Customer.id)
    customers = session.scalars(query.with_for_update().execution_options(populate_existing=True)).all()
    if len(customers) < len(customer_ids):
        raise NotFound(*_MISSING)
    return list(customers)


def lock_all(session: Session, kind: type[Row], customer_ids: Collection[str], row_ids: Collection[str]) -> list[Row]:
    """Lock these rows, whose customers are locked already, in one statement and in the order of their ids. Raises NotFound.

    Until the transaction ends, `get_owned` returns them without reading them again.
    """
    query = select(kind).where(kind.customer_id.in_(customer_ids), kind.id.in_(row_ids)).order_by(kind.id)
    rows = session.scalars(query.with_for_update().execution_options(populate_existing=True)).all()
    if len(rows) < len(row_ids):
        raise NotFound(*_MISSING)
    held_rows(session).update({(kind, row.id): row for row in rows})
    return list(rows)
