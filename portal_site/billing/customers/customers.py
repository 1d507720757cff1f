"""Customers as a merchant's program has them: made, changed and deleted with the members of Stripe's object."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from portal_site.billing.customers import new_customers, payment_methods
from portal_site.billing.customers.new_customers import NewCustomer
from portal_site.billing.errors import BillingError, NotFound, ObjectMissing
from portal_site.billing.events.emission import emit
from portal_site.billing.invoicing.invoice_writer import add_to_balance
from portal_site.billing.loading import ownership
from portal_site.billing.models import (
    Customer,
    CustomerBalanceTransaction,
    Invoice,
    PaymentMethod,
    Subscription,
    TestClock,
)
from portal_site.billing.resources import customers as shapes
from portal_site.billing.rules.catalog import members
from portal_site.billing.rules.portal import locales
from portal_site.billing.rules.subscriptions.statuses import ENDED
from portal_site.billing.subscriptions import trials
from portal_site.db.json_columns import JsonObject
from portal_site.db.transactions import transaction
from portal_site.ids import new_id, random_letters

TEXTS = ("name", "email", "phone", "description")
ADDRESS = ("line1", "line2", "city", "state", "postal_code", "country")
EXEMPTIONS = ("none", "exempt", "reverse")
DEFAULT_METHOD = "invoice_settings[default_payment_method]"


def create(account_id: str, livemode: bool, wanted: Mapping[str, Any], at: int) -> Customer:
    """Make a customer with these members, named as at Stripe. One on a test clock begins at the clock's time.

    Raises BillingError, with `param` set, for a member that makes no sense.
    """
    with transaction() as session:
        clock_id = wanted.get("test_clock")
        at = _frozen(session, account_id, livemode, clock_id, at)
        customer = Customer(
            id=new_id("cus"), account_id=account_id, livemode=livemode, created=at, balance=0, preferred_locales=[],
            invoice_prefix=random_letters(new_customers.PREFIX_LENGTH).upper(), metadata_={}, test_clock_id=clock_id,
        )  # fmt: skip
        _set(session, customer, {name: value for name, value in wanted.items() if name != "test_clock"})
        session.add(customer)
        session.flush()
        if customer.balance:
            customer.currency = _currency(session, customer)
            _note_balance(session, customer, customer.balance, customer.balance, customer.currency, at)
        emit(session, "customer.created", customer, at)
    return customer


def change(account_id: str, livemode: bool, customer_id: str, changes: Mapping[str, Any], at: int) -> Customer:
    """Set these members; of hashes those that they have, and of the metadata its keys. Raises NotFound and BillingError."""
    with transaction() as session:
        customer = locked(session, account_id, livemode, customer_id)
        at = _frozen(session, account_id, livemode, customer.test_clock_id, at)
        before, balance = shapes.customer(customer), customer.balance
        _set(session, customer, {name: value for name, value in changes.items() if name != "balance"})
        previous = differing(before, shapes.customer(customer))
        if previous:
            session.flush()
            emit(session, "customer.updated", customer, at, previous=previous)
        if "invoice_settings" in previous:
            trials.follow_payment_method(session, customer, at)
        wanted = changes.get("balance")
        moved = 0 if wanted is None else wanted - balance
        if moved:
            currency = _currency(session, customer)
            left = add_to_balance(session, customer, moved, currency, at)
            _note_balance(session, customer, moved, left, currency, at)
    return customer


def delete(account_id: str, livemode: bool, customer_id: str, at: int) -> list[PaymentMethod]:
    """Delete a customer for ever, and its payment methods with it, which are returned. What was billed stays.

    Raises NotFound, and BillingError while a subscription runs or an invoice is to be paid: ending these is another decision.
    """
    with transaction() as session:
        customer = locked(session, account_id, livemode, customer_id)
        at = _frozen(session, account_id, livemode, customer.test_clock_id, at)
        own = Subscription.customer_id == customer.id, Subscription.status.not_in(ENDED)
        if (found := session.scalar(select(Subscription.id).where(*own).limit(1))) is not None:
            raise BillingError("This customer has the subscription %(id)s. Cancel it first.", "", "id", id=found)
        open_ = Invoice.customer_id == customer.id, Invoice.status.in_(("draft", "open"))
        if (found := session.scalar(select(Invoice.id).where(*open_).limit(1))) is not None:
            raise BillingError("The invoice %(id)s of this customer is not settled. Void it first.", "", "id", id=found)
        methods = payment_methods.detach_all(session, customer, at)
        customer.deleted_at, customer.default_payment_method_id = at, None
        session.flush()
        emit(session, "customer.deleted", customer, at)
    return methods


def locked(session: Session, account_id: str, livemode: bool, customer_id: str, param: str | None = None) -> Customer:
    """The customer, locked. Raises ObjectMissing or, for one that a parameter names, NotFound."""
    own = Customer.account_id == account_id, Customer.livemode == livemode, Customer.deleted_at.is_(None)
    query = select(Customer).where(Customer.id == customer_id.replace("\0", ""), *own).with_for_update()
    customer = session.scalar(query.execution_options(populate_existing=True))
    if customer is None:
        kind = ObjectMissing if param is None else NotFound
        raise kind("No such customer: '%(id)s'", "resource_missing", param or "id", id=customer_id)
    return customer


def time_of(session: Session, customer: Customer | None, real: int) -> int:
    """The customer's time: that of its test clock, else the real one."""
    if customer is None or customer.test_clock_id is None:
        return real
    return _frozen(session, customer.account_id, customer.livemode, customer.test_clock_id, real)


def _frozen(session: Session, account_id: str, livemode: bool, clock_id: str | None, real: int) -> int:
    if clock_id is None:
        return real
    own = TestClock.account_id == account_id, TestClock.livemode == livemode
    found = session.scalar(select(TestClock.frozen_time).where(TestClock.id == clock_id.replace("\0", ""), *own))
    if found is None:
        raise NotFound("No such testclock: '%(id)s'", "resource_missing", "test_clock", id=clock_id)
    return found


def _set(session: Session, customer: Customer, wanted: Mapping[str, Any]) -> None:
    country = (wanted.get("address") or {}).get("country")
    new_customers.check(NewCustomer(wanted.get("name"), wanted.get("email"), wanted.get("phone"), country))
    for name in TEXTS:
        if name in wanted:
            setattr(customer, name, wanted[name])
    for name, merge in (("address", address), ("shipping", shipping)):
        if name in wanted:
            setattr(customer, name, merge(getattr(customer, name), wanted[name], name))
    if "metadata" in wanted:
        customer.metadata_ = members.metadata(wanted["metadata"], customer.metadata_)
    _set_preferences(session, customer, wanted)


def _set_preferences(session: Session, customer: Customer, wanted: Mapping[str, Any]) -> None:
    if "preferred_locales" in wanted:
        chosen = wanted["preferred_locales"] or []
        customer.preferred_locales = [locales.check(one, "preferred_locales") for one in chosen]
    if "tax_exempt" in wanted:
        customer.tax_exempt = members.choice(wanted["tax_exempt"] or "none", "tax_exempt", EXEMPTIONS)
    if wanted.get("balance") is not None:
        customer.balance = wanted["balance"]
    if "default_payment_method" in (wanted.get("invoice_settings") or {}):
        customer.default_payment_method_id = _own_method(
            session, customer, wanted["invoice_settings"]["default_payment_method"]
        )


def _own_method(session: Session, customer: Customer, method_id: str | None) -> str | None:
    if method_id is None:
        return None
    own = PaymentMethod.account_id == customer.account_id, PaymentMethod.customer_id == customer.id
    there = PaymentMethod.id == method_id.replace("\0", ""), PaymentMethod.detached_at.is_(None)
    if session.scalar(select(PaymentMethod.id).where(*own, *there)) is None:
        raise BillingError(
            "No such PaymentMethod: '%(id)s'; it must be attached to the customer first.",
            "resource_missing", DEFAULT_METHOD, id=method_id,
        )  # fmt: skip
    # Otherwise a subscription with a payment method of its own would still be charged to it, as on the portal's page.
    session.execute(
        update(Subscription)
        .where(Subscription.customer_id == customer.id, Subscription.status.not_in(ENDED))
        .values(default_payment_method_id=None)
    )
    return method_id


def address(stored: JsonObject | None, changes: JsonObject | None, _param: str = "") -> JsonObject | None:
    """An address with the changed members; None for none."""
    return None if changes is None else {**dict.fromkeys(ADDRESS), **(stored or {}), **changes}


def shipping(stored: JsonObject | None, changes: JsonObject | None, param: str) -> JsonObject | None:
    """Where something is sent, with the changed members, and those of its address. It needs a name and an address."""
    if changes is None:
        return None
    known = stored or {}
    merged = {**dict.fromkeys(("name", "phone")), **known, **changes}
    if "address" in changes:
        merged["address"] = address(known.get("address"), changes["address"])
    if changes and not (merged.get("name") and merged.get("address")):
        part = f"{param}[{'address' if merged.get('name') else 'name'}]"
        raise BillingError("Missing required param: %(name)s.", "parameter_missing", part, name=part)
    return merged if changes else stored


def _currency(session: Session, customer: Customer) -> str:
    own = ownership.get_account(session, customer.account_id).default_currency
    return customer.currency or own or "usd"


def _note_balance(session: Session, customer: Customer, amount: int, left: int, currency: str, at: int) -> None:
    session.add(
        CustomerBalanceTransaction(
            id=new_id("cbtxn"), account_id=customer.account_id, customer_id=customer.id, livemode=customer.livemode,
            created=at, type="adjustment", amount=amount, currency=currency, ending_balance=left,
        )
    )  # fmt: skip


def differing(before: JsonObject, now: JsonObject) -> JsonObject:
    """The old values of the members that changed; of hashes those of the keys that changed, None for new ones."""
    previous: JsonObject = {}
    for name, old in before.items():
        new = now[name]
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            keys = sorted(key for key in {*old, *new} if old.get(key) != new.get(key))
            previous[name] = {key: old.get(key) for key in keys}
        else:
            previous[name] = old
    return previous
