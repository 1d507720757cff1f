"""Finding and locking the rows that a program names, of its account and mode."""

from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal_site.billing.customers import customers
from portal_site.billing.errors import BillingError, NotFound, ObjectMissing
from portal_site.billing.models import (
    CheckoutSession,
    Customer,
    IntentCharge,
    IntentRefund,
    PaymentIntent,
    PaymentMethod,
    SetupIntent,
    UnattachedMethod,
)

Row = TypeVar(
    "Row",
    CheckoutSession,
    IntentCharge,
    IntentRefund,
    PaymentIntent,
    PaymentMethod,
    SetupIntent,
    UnattachedMethod,
)
Method = PaymentMethod | UnattachedMethod
NOUNS: dict[type, str] = {
    CheckoutSession: "checkout.session",
    IntentCharge: "charge",
    IntentRefund: "refund",
    PaymentIntent: "payment_intent",
    PaymentMethod: "PaymentMethod",
    SetupIntent: "setupintent",
}
# What errors call the id in the path.
PARAMS = {
    "PaymentMethod": "payment_method",
    "checkout.session": "session",
    "mandate": "mandate",
    "payment_intent": "intent",
    "refund": "refund",
    "setupintent": "intent",
}


@dataclass
class Owner:
    """Whose rows a program works with: those of an account, in one mode."""

    account_id: str
    livemode: bool


def find(session: Session, kind: type[Row], owner: Owner, name: str) -> Row | None:
    """The row with this id, locked."""
    own = kind.account_id == owner.account_id, kind.livemode == owner.livemode
    # No id contains a NUL, and PostgreSQL refuses it as a parameter.
    query = select(kind).where(kind.id == name.replace("\0", ""), *own).with_for_update()
    row: Row | None = session.scalar(query.execution_options(populate_existing=True))
    return row


def get(session: Session, kind: type[Row], owner: Owner, name: str, param: str | None = None) -> Row:
    """The row with this id, locked. Raises ObjectMissing or, for one that a parameter names, NotFound."""
    row = find(session, kind, owner, name)
    if row is None:
        raise missing(NOUNS[kind], name, param)
    return row


def missing(noun: str, name: str, param: str | None = None) -> NotFound:
    """There is no such object, or it is somebody else's. `param` names it; None: it is that of the path."""
    error = ObjectMissing if param is None else NotFound
    return error("No such %(noun)s: '%(id)s'", "resource_missing", param or PARAMS.get(noun, "id"), noun=noun, id=name)


def method(session: Session, owner: Owner, name: str, param: str | None = None) -> Method:
    """The payment method with this id, attached or not, locked. Raises as `get`."""
    found = find(session, PaymentMethod, owner, name) or find(session, UnattachedMethod, owner, name)
    if found is None:
        raise missing(NOUNS[PaymentMethod], name, param)
    return found


def customer(session: Session, owner: Owner, name: str | None, param: str = "customer") -> Customer | None:
    """The customer that a parameter names, locked; None for none. Raises NotFound."""
    return None if name is None else customers.locked(session, owner.account_id, owner.livemode, name, param)


def time_of(session: Session, owner: Owner, row_customer_id: str | None, real: int) -> int:
    """The time of the customer of a row: that of its test clock, else the real one."""
    if row_customer_id is None:
        return real
    own = Customer.account_id == owner.account_id, Customer.id == row_customer_id
    return customers.time_of(session, session.scalars(select(Customer).where(*own)).one(), real)


def is_deleted(session: Session, owner: Owner, customer_id: str) -> bool:
    """Whether the customer of a row was deleted since."""
    own = Customer.account_id == owner.account_id, Customer.id == customer_id
    return session.scalar(select(Customer.id).where(*own, Customer.deleted_at.is_not(None))) is not None


def check_usable(row: Method, customer_id: str | None) -> None:
    """Raise BillingError unless a payment method may be used for this customer, or for none."""
    if isinstance(row, UnattachedMethod):
        if row.used_at is not None:
            raise _used_up()
        return
    if row.detached_at is not None:
        raise _used_up()
    if customer_id is None:
        raise BillingError(
            "The PaymentMethod %(id)s belongs to a Customer. Pass the Customer, too.", "", "payment_method", id=row.id
        )
    if row.customer_id != customer_id:
        raise BillingError(
            "The PaymentMethod %(id)s does not belong to the Customer you supplied.", "", "payment_method", id=row.id
        )


def _used_up() -> BillingError:
    return BillingError(
        "This PaymentMethod was previously used without being attached to a Customer or was detached from a Customer, and may "
        "not be used again."
    )
