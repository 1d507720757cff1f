"""What is here of the subscriptions that Stripe bills: their next invoice as the billing run would write it, and who pays it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, cast

from sqlalchemy import select

from portal_site.billing.loading import planned_phases, snapshots
from portal_site.billing.loading.plans import Reader
from portal_site.billing.migration.bills import Bill, Part, merged
from portal_site.billing.models import Customer, ImportedObject, PaymentMethod, ProviderCustomer, Subscription
from portal_site.billing.rules.invoicing.invoices import InvoiceLine
from portal_site.billing.rules.subscriptions import forecast
from portal_site.billing.rules.subscriptions.snapshot import SubscriptionSnapshot


@dataclass(frozen=True, slots=True)
class LocalSubscription:
    """A subscription here. `boundary` is when its first item's period ends, `pending` are the ids of its pending lines,
    and `balance` is its customer's.

    `unbillable` are the reasons why it cannot be billed right here; None if no import has looked. `is_charged` says that its
    payment method is one that Stripe charges for the customer whom it belongs to.
    """

    id: str
    customer_id: str
    status: str
    boundary: int
    bill: Bill | None
    balance: int
    pending: frozenset[str]
    unbillable: tuple[str, ...] | None
    is_charged: bool
    collection_method: str
    items: frozenset[str]


def load(
    reader: Reader, account_id: str, customer_ids: Sequence[str], ids: Sequence[str], at: int
) -> list[LocalSubscription]:
    """These subscriptions of these customers, by customer and id."""
    query = select(*snapshots.SUBSCRIPTION_COLUMNS).where(
        Subscription.account_id == account_id, Subscription.customer_id.in_(customer_ids), Subscription.id.in_(ids)
    )
    rows = [SimpleNamespace(**row._mapping) for row in reader.execute(query)]
    rows.sort(key=lambda row: (row.customer_id, row.id))
    if not rows:
        return []
    customers = _customers(reader, account_id, {row.customer_id for row in rows})
    loaded = snapshots.load(reader, cast(Any, rows), cast(Any, customers), at)
    phases: dict[str, Any] = {}
    for name in customers:
        phases |= planned_phases.load_phases(reader, name, at)
    reasons = _unbillable(reader, account_id, [row.id for row in rows])
    charged = _charged(reader, account_id, rows, customers)
    found = []
    for row in rows:
        snapshot = replace(loaded[row.id], phases=tuple(phases.get(row.id, ())))
        if snapshot.items:
            found.append(
                _local(row, snapshot, customers[row.customer_id].balance, reasons.get(row.id), row.id in charged)
            )
    return found


def _local(
    row: Any, snapshot: SubscriptionSnapshot, balance: int, unbillable: tuple[str, ...] | None, is_charged: bool
) -> LocalSubscription:
    return LocalSubscription(
        id=row.id,
        customer_id=row.customer_id,
        status=row.status,
        boundary=snapshot.period_end,
        bill=_bill(snapshot),
        balance=balance,
        pending=frozenset(line.id for line in snapshot.pending_lines if line.id),
        unbillable=unbillable,
        is_charged=is_charged,
        collection_method=row.collection_method,
        items=frozenset(item.id for item in snapshot.items),
    )


def _bill(snapshot: SubscriptionSnapshot) -> Bill | None:
    """The next invoice, alone: Stripe's preview knows nothing of the customer's other subscriptions either."""
    state = forecast.CustomerState.of(snapshot)
    found = forecast.forecast((snapshot,), state)[snapshot.id]
    if found is None:
        return None
    parts = None
    if not snapshot.has_transition_at(found.date):
        renewal = forecast.renew(snapshot, state, found.date)
        parts = merged([_part(line) for line in renewal.invoice.lines]) if renewal.invoice else None
    return Bill(
        date=found.date, currency=found.currency, subtotal=found.subtotal, discount=found.discount, tax=found.tax,
        total=found.total, balance=snapshot.usable_balance, amount_due=found.amount_due, parts=parts,
    )  # fmt: skip


def _part(line: InvoiceLine) -> Part:
    return Part(
        key=line.id or line.item_id, name=line.offer.product, amount=line.amount, price=line.offer.price_id,
        quantity=line.quantity, is_pending=line.id is not None, is_proration=line.proration is not None,
        is_metered=line.offer.terms.metered,
    )  # fmt: skip


def _customers(reader: Reader, account_id: str, names: set[str]) -> Mapping[str, SimpleNamespace]:
    columns = (*snapshots.OWNER_COLUMNS, Customer.default_payment_method_id)
    query = select(*columns).where(Customer.account_id == account_id, Customer.id.in_(names))
    return {row.id: SimpleNamespace(**row._mapping) for row in reader.execute(query)}


def _unbillable(reader: Reader, account_id: str, ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
    query = select(ImportedObject.id, ImportedObject.unbillable).where(
        ImportedObject.account_id == account_id, ImportedObject.kind == "subscription", ImportedObject.id.in_(ids)
    )
    return {row.id: tuple(row.unbillable.splitlines()) for row in reader.execute(query) if row.unbillable is not None}


def _charged(
    reader: Reader, account_id: str, rows: Sequence[Any], customers: Mapping[str, SimpleNamespace]
) -> frozenset[str]:
    """The subscriptions whose payment method is at Stripe, with the customer there that it belongs to."""
    wanted = dict(_methods(rows, customers))
    query = select(
        PaymentMethod.id, PaymentMethod.customer_id, ProviderCustomer.reference, PaymentMethod.gateway_reference
    )
    query = query.join(ProviderCustomer, ProviderCustomer.customer_id == PaymentMethod.customer_id).where(
        PaymentMethod.account_id == account_id,
        PaymentMethod.id.in_(set(wanted.values())),
        PaymentMethod.detached_at.is_(None),
        PaymentMethod.gateway == "stripe",
        ProviderCustomer.gateway == "stripe",
    )
    usable = {
        row.id
        for row in reader.execute(query)
        # One that came with an import belongs to the customer of the same id; one that was added here to whoever is known.
        if row.gateway_reference != row.id or row.reference == row.customer_id
    }
    return frozenset(name for name, method in wanted.items() if method in usable)


def _methods(rows: Sequence[Any], customers: Mapping[str, SimpleNamespace]) -> Iterator[tuple[str, str]]:
    for row in rows:
        method = row.default_payment_method_id or customers[row.customer_id].default_payment_method_id
        if method is not None:
            yield row.id, method
