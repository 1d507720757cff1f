"""A customer's billing information: name, e-mail, phone, addresses and tax ids."""

from collections.abc import Mapping

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from portal_site.billing.errors import BillingError
from portal_site.billing.events.emission import emit
from portal_site.billing.loading import ownership
from portal_site.billing.models import Customer, TaxId
from portal_site.billing.rules.customers import tax_ids
from portal_site.billing.translation_marks import N_
from portal_site.db.json_columns import JsonObject
from portal_site.db.transactions import transaction
from portal_site.ids import new_id

MOST_TAX_IDS = 5
EDITABLE = frozenset({"name", "email", "address", "phone", "shipping"})


def update_billing_information(customer_id: str, changes: Mapping[str, str | JsonObject | None], at: int) -> Customer:
    """Set some of name, email, phone, address and shipping. Existing invoices keep the old data.

    Raises ValueError for any other member, and NotFound.
    """
    if not EDITABLE.issuperset(changes):
        raise ValueError(f"not billing information: {set(changes) - EDITABLE}")
    with transaction() as session:
        customer = ownership.lock_customer(session, customer_id)
        previous = {
            name: getattr(customer, name) for name, value in changes.items() if getattr(customer, name) != value
        }
        for name in previous:
            setattr(customer, name, changes[name])
        if previous:
            emit(session, "customer.updated", customer, at, previous=previous)
    return customer


def add_tax_id(customer_id: str, kind: str, value: str, at: int) -> TaxId:
    """Add a tax id, which is printed on the customer's future invoices.

    Raises BillingError, with `param` set, for an invalid or duplicate tax id and for more than MOST_TAX_IDS.
    """
    if kind not in tax_ids.TYPES:
        raise BillingError(N_("Choose a type of tax ID from the list."), "tax_id_invalid", "type")
    with transaction() as session:
        customer = ownership.lock_customer(session, customer_id)
        normal = _checked_tax_id(kind, value, customer)
        _check_room_for(session, customer_id, kind, normal)
        row = TaxId(
            id=new_id("txi"),
            account_id=customer.account_id,
            customer_id=customer_id,
            livemode=customer.livemode,
            created=at,
            type=kind,
            value=normal,
            country=tax_ids.country_of(kind, normal),
            verification_status=tax_ids.initial_verification(kind, normal, customer.livemode),
        )
        session.add(row)
        emit(session, "customer.tax_id.created", row, at)
    return row


def _checked_tax_id(kind: str, value: str, customer: Customer) -> str:
    try:
        return tax_ids.check(kind, value, (customer.address or {}).get("country") or "")
    except tax_ids.TaxIdInvalid as invalid:
        message = N_("This is not a valid number of this type. It looks like %(example)s.")
        raise BillingError(message, "tax_id_invalid", "value", example=invalid.example) from None


def _check_room_for(session: Session, customer_id: str, kind: str, value: str) -> None:
    """Raise BillingError if the customer has this tax id already, or as many as it can have."""
    owned = select(TaxId.value).where(TaxId.customer_id == customer_id)
    if session.scalar(owned.where(TaxId.type == kind, TaxId.value == value)) is not None:
        raise BillingError(N_("You have already added this tax ID."), "resource_already_exists", "value")
    if (session.scalar(select(func.count()).select_from(owned.subquery())) or 0) >= MOST_TAX_IDS:
        raise BillingError(N_("You can have up to %(most)s tax IDs. Remove one first."), "", "value", most=MOST_TAX_IDS)


def remove_tax_id(customer_id: str, tax_id: str, at: int) -> None:
    """Delete a tax id. Existing invoices keep it. Raises NotFound."""
    with transaction() as session:
        row = ownership.get_owned(session, TaxId, customer_id, tax_id, lock=True)
        emit(session, "customer.tax_id.deleted", row, at)
        session.delete(row)
