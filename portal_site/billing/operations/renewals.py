"""The billing run: claims what is due, lets the rules decide, and writes it, hundreds of subscriptions in one transaction.

Safe to run twice, in many processes, and to be killed at any instant: what is due is in the database, a customer's rows are
locked while they are worked on, and no period of a subscription can be billed twice.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from portal_site import bulk
from portal_site.billing.models import (
    Account,
    Customer,
    Discount,
    SchedulePhase,
    Subscription,
    SubscriptionItem,
    SubscriptionSchedule,
    TaxId,
)
from portal_site.billing.models.subscription import subscription_object
from portal_site.billing.operations import agreements, lookups, parking, turning_points
from portal_site.billing.operations.books import Books, add_to_balance
from portal_site.billing.rules import next_invoice, pauses
from portal_site.billing.rules.agreements import Agreement
from portal_site.billing.rules.invoices import Line
from portal_site.billing.rules.lifecycle import SubscriptionStatus, next_due
from portal_site.db import is_conflict, new_id, plain, transaction

MOST_BEHIND = 15  # periods: a subscription that is further behind is parked rather than billed for all of them

_CUSTOMER = (
    Customer.id,
    Customer.account_id,
    Customer.livemode,
    Customer.name,
    Customer.email,
    Customer.phone,
    Customer.address,
    Customer.shipping,
    Customer.balance,
    Customer.currency,
    Customer.tax_exempt,
    Customer.invoice_prefix,
    Customer.next_invoice_sequence,
)
# A schedule with something to do: its own phases, looked up for the few that have one.
_SCHEDULE = (
    select(func.min(SubscriptionSchedule.id))
    .where(SubscriptionSchedule.subscription_id == Subscription.id, SubscriptionSchedule.status == "active")
    .correlate(Subscription)
    .scalar_subquery()
    .label("schedule_id")
)
UNSCOPED = {"unscoped": "a billing run is about all merchants"}


@dataclass
class Batch:
    """What one transaction did: how many customers it took, how many subscriptions it looked at, billed, and found late."""

    claimed: int = 0
    seen: int = 0
    invoiced: int = 0
    late: int = 0
    parked: int = 0

    def __add__(self, other: "Batch") -> "Batch":
        return Batch(**{name: value + getattr(other, name) for name, value in vars(self).items()})


def renew_due(at: int, most: int, clock_id: str | None = None) -> Batch:
    """Bring up to `most` subscriptions that are due at `at` one step forward; `claimed` is 0 when none is due.

    `clock_id` takes the customers of one test clock, None those of real time. A subscription that cannot be billed is
    parked after three tries, and the others go on.
    """
    claimed: list[str] = []
    try:
        with transaction() as session:
            customers = _claim(session, at, most, clock_id)
            claimed = list(customers)
            done = _renew(session, customers, at)
    except Exception as error:
        lost = isinstance(error, DBAPIError) and (error.connection_invalidated or is_conflict(error))
        if lost or not claimed:
            raise
        done = _renew_in_halves(claimed, at)
    # Not what was seen: another worker may have finished these customers' work just before they were locked here, and more
    # is due behind them.
    done.claimed = len(claimed)
    return done


def _renew_in_halves(customer_ids: Sequence[str], at: int) -> Batch:
    """A batch failed: its halves on their own, down to the customer that is the reason."""
    if len(customer_ids) == 1:
        return _renew_alone(customer_ids[0], at)
    middle = len(customer_ids) // 2
    done = Batch()
    for half in (customer_ids[:middle], customer_ids[middle:]):
        try:
            with transaction() as session:
                done += _renew(session, _locked(session, half), at)
        except Exception:
            done += _renew_in_halves(half, at)
    return done


def _renew_alone(customer_id: str, at: int) -> Batch:
    try:
        with transaction() as session:
            return _renew(session, _locked(session, [customer_id]), at)
    except Exception as error:
        if isinstance(error, DBAPIError) and is_conflict(error):
            raise
        return _note_failure(customer_id, at, error)


def _note_failure(customer_id: str, at: int, error: Exception) -> Batch:
    parked = 0
    with transaction() as session:
        due = Subscription.customer_id == customer_id, Subscription.due_at <= at
        for subscription in session.scalars(select(Subscription).where(*due)):
            parked += parking.note_failure(subscription, at, error)
    return Batch(seen=1, parked=parked)


def _claim(session: Session, at: int, most: int, clock_id: str | None) -> dict[str, Any]:
    """The customers of the subscriptions that are due first, locked; those that another worker has are passed over."""
    whose = Customer.test_clock_id.is_(None) if clock_id is None else Customer.test_clock_id == clock_id
    query = (
        select(*_CUSTOMER)
        .join(Subscription, Subscription.customer_id == Customer.id)
        .where(Subscription.due_at <= at, whose)
        .order_by(Subscription.due_at, Subscription.id)
        .limit(most)
        .with_for_update(of=Customer, skip_locked=True)
    )
    return {row.id: row for row in plain(session.execute(query, execution_options=UNSCOPED))}


def _locked(session: Session, customer_ids: Sequence[str]) -> dict[str, Any]:
    # In one order for all workers, so that two of them cannot wait for each other.
    query = select(*_CUSTOMER).where(Customer.id.in_(customer_ids)).order_by(Customer.id).with_for_update(of=Customer)
    return {row.id: row for row in plain(session.execute(query))}


def _due(session: Session, customer_ids: Iterable[str], at: int) -> list[Any]:
    """The due subscriptions of these customers, one for each: the next is due again in the next batch."""
    query = (
        select(*agreements.SUBSCRIPTION, _SCHEDULE)
        .where(Subscription.customer_id.in_(list(customer_ids)), Subscription.due_at <= at)
        .order_by(Subscription.due_at, Subscription.id)
    )
    return plain(session.execute(query))


def _renew(session: Session, customers: Mapping[str, Any], at: int) -> Batch:
    rows = _due(session, customers, at)
    special = [row for row in rows if turning_points.is_special(row)]
    if special:
        later = _turn(session, special, at)
        customers = _locked(session, list(customers))
        rows = [row for row in _all_of(session, [row.id for row in rows]) if row.id not in later]
    run = _Run(session, customers, rows, at)
    run.bill()
    run.write()
    return Batch(seen=len(rows) + len(special), invoiced=run.invoiced, late=run.late, parked=run.parked)


def _turn(session: Session, special: Iterable[Any], at: int) -> set[str]:
    """Take the steps that are not renewals; the ids of those that have to wait."""
    later = set()
    for row in special:
        customer = lookups.locked_customer(session, row.customer_id)
        due, before = row.due_at, None
        # A worker that was away finds several steps behind each other; each says when the next one is due.
        while due is not None and due != before and due <= at:
            if not turning_points.pass_by(session, customer, row.id, at):
                later.add(row.id)
                break
            due, before = lookups.own(session, Subscription, customer.id, row.id).due_at, due
    session.flush()
    return later


def _all_of(session: Session, ids: Sequence[str]) -> list[Any]:
    query = (
        select(*agreements.SUBSCRIPTION, _SCHEDULE)
        .where(Subscription.id.in_(ids))
        .order_by(Subscription.due_at, Subscription.id)
    )
    return plain(session.execute(query, execution_options=UNSCOPED))


class _Run:
    """One transaction's renewals: everything is loaded in a few selects, decided in memory, and written together."""

    def __init__(self, session: Session, customers: Mapping[str, Any], rows: Sequence[Any], at: int) -> None:
        self.session, self.rows, self.at = session, rows, at
        self.customers = {name: _payer(row) for name, row in customers.items()}
        self.books = Books(session)
        self.changed: dict[type[Any], list[dict[str, Any]]] = defaultdict(list)
        self.spent: list[str] = []
        self.invoiced = self.late = self.parked = 0
        if rows:
            _complete(session, self.customers)
            self.agreements = agreements.load(session, rows, self.customers, at)
            self.phases = _phase_starts(session, [row.id for row in rows if row.schedule_id], at)

    def bill(self) -> None:
        """Decide for each subscription."""
        for row in self.rows:
            agreement = self.agreements[row.id]
            # A step that was just taken may have moved the due date beyond now.
            moment = self.at if row.due_at is None else min(row.due_at, self.at)
            ended = SubscriptionStatus(row.status).ended
            date = min((item.period_end for item in agreement.items), default=moment)
            if agreement.status.renews and _too_far_behind(agreement, date, self.at):
                self._park(row)
            elif (date <= moment and agreement.status.renews) or (ended and agreement.pending):
                self._renew(row, agreement, moment if ended else date)
            else:
                self._set(row, due_at=self._next_due(row, row.status, [item.period_end for item in agreement.items]))

    def _renew(self, row: Any, agreement: Agreement, date: int) -> None:
        self.late += self.at - date > 24 * 60 * 60
        if self.spent:  # by another subscription of this batch, a moment ago
            agreement = agreement.without_discounts(frozenset(self.spent))
        payer = self.customers[row.customer_id]
        lines: tuple[Line, ...] = ()
        if not agreement.collection_paused:
            lines = self._invoice(row, agreement, payer, date)
        ends = {item.id: item.period_end for item in agreement.items}
        for line in next_invoice.cycle_lines(agreement, date) if agreement.collection_paused else lines:
            if line.id is None:
                ends[line.item_id] = line.period_end
                self.changed[SubscriptionItem].append(
                    {
                        "id": line.item_id,
                        "current_period_start": line.period_start,
                        "current_period_end": line.period_end,
                    }
                )
        status = row.status if row.status != SubscriptionStatus.TRIALING else SubscriptionStatus.ACTIVE
        self._set(row, status=status, due_at=self._next_due(row, status, ends.values()))
        if not SubscriptionStatus(row.status).ended:
            self._tell(row, status, agreement, ends)

    def _invoice(self, row: Any, agreement: Agreement, payer: SimpleNamespace, date: int) -> tuple[Line, ...]:
        usable = payer.currency in (None, row.currency)
        bill = next_invoice.cycle_bill(agreement, date, payer.balance if usable else 0)
        if not bill.lines:
            return ()
        starts = [line.period_start for line in bill.lines if line.id is None] or [date]
        ends = [line.period_end for line in bill.lines if line.id is None] or [date]
        automatic = row.collection_method == "charge_automatically"
        invoice = self.books.invoice(
            payer, row, bill, self.at,
            billing_reason="subscription_cycle", cycle_at=date, period_start=min(starts), period_end=min(ends),
            next_payment_attempt=self.at if bill.amount_due and automatic else None,
        )  # fmt: skip
        payer.number += 1
        add_to_balance(payer, bill.balance_used, bill.currency)
        payer.touched = True
        self.spent += next_invoice.spent(agreement, bill, date)
        self.changed[Subscription].append({"id": row.id, "latest_invoice_id": invoice["id"]})
        self.invoiced += 1
        return bill.lines

    def _park(self, row: Any) -> None:
        self.parked += 1
        self._set(row, due_at=None, billing_error=f"more than {MOST_BEHIND} periods behind")

    def _set(self, row: Any, **values: Any) -> None:
        mine = self.changed[Subscription]
        if mine and mine[-1]["id"] == row.id:
            mine[-1].update(values)
        else:
            mine.append({"id": row.id, "latest_invoice_id": row.latest_invoice_id, **values})
        due = mine[-1]["due_at"]
        if due is not None and row.due_at is not None and due <= min(row.due_at, self.at):
            raise ValueError(f"{row.id} does not move on from {row.due_at}")  # else a run would never end
        mine[-1].setdefault("status", row.status)
        mine[-1].setdefault("billing_error", None)
        mine[-1]["billing_failures"] = 0

    def _next_due(self, row: Any, status: str, ends: Iterable[int]) -> int | None:
        resumes = pauses.resumes_at(row.status_details, row.pause_collection)
        expires = (row.pending_update or {}).get("expires_at")
        planned = None if status == SubscriptionStatus.PAUSED else self.phases.get(row.id)
        return next_due(status, ends, row.cancel_at, expires, resumes, planned)

    def _tell(self, row: Any, status: str, agreement: Agreement, ends: Mapping[str, int]) -> None:
        """The subscription's new periods and its invoice, as the field tells of them."""
        latest = self.changed[Subscription][-1]["latest_invoice_id"]
        now = {"status": status, "latest_invoice": latest, "items": _item_list(agreement, ends)}
        document = subscription_object(row)
        before = {name: document[name] for name in ("status", "latest_invoice") if document[name] != now[name]}
        previous = {**before, "items": _item_list(agreement, {})}
        document.update(now)
        self.books.event("customer.subscription.updated", row, self.at, document, previous)

    def _use_up(self) -> None:
        """End the discounts that were for one invoice."""
        mine = Discount.customer_id.in_(list(self.customers)), Discount.id.in_(self.spent)
        for discount in self.session.scalars(select(Discount).where(*mine)).all():
            discount.end = self.at
            owner = self.customers[discount.customer_id]
            self.books.event("customer.discount.deleted", owner, self.at, discount.as_object())
        self.session.flush()

    def write(self) -> None:
        """Send everything, one statement for each table."""
        if self.spent:
            self._use_up()
        self.books.write()
        for payer in self.customers.values():
            if payer.touched:
                self.changed[Customer].append(
                    {"id": payer.id, "balance": payer.balance, "next_invoice_sequence": payer.number,
                     "currency": payer.currency, "invoice_prefix": payer.invoice_prefix}
                )  # fmt: skip
        for kind in (SubscriptionItem, Subscription, Customer):
            if self.changed[kind]:
                bulk.update(self.session, kind, self.changed[kind])


def _item_list(agreement: Agreement, ends: Mapping[str, int]) -> dict[str, Any]:
    """Items as an event's subscription carries them, in the periods that end at `ends`, else in their present ones."""
    data = []
    for item in agreement.items:
        end = ends.get(item.id, item.period_end)
        start = item.period_end if end > item.period_end else item.period_start
        named = {
            "object": "subscription_item",
            "id": item.id,
            "subscription": agreement.id,
            "price": item.offer.price_id,
        }
        data.append({**named, "quantity": item.quantity, "current_period_start": start, "current_period_end": end})
    return {"object": "list", "data": data}


def _payer(row: Any) -> SimpleNamespace:
    known = vars(row).copy()
    prefix = known.pop("invoice_prefix") or new_id("x").upper()[2:10]
    number = known.pop("next_invoice_sequence")
    return SimpleNamespace(**known, invoice_prefix=prefix, number=number, tax_ids=[], account_name="", touched=False)


def _complete(session: Session, payers: Mapping[str, SimpleNamespace]) -> None:
    """Add what invoices keep of the day besides the customer's own row."""
    wanted = select(Account.id, Account.business_name).where(
        Account.id.in_({payer.account_id for payer in payers.values()})
    )
    names = {name: business for name, business in session.execute(wanted)}  # noqa: C416 - rows are not pairs to dict()
    for payer in payers.values():
        payer.account_name = names[payer.account_id]
    mine = select(TaxId.customer_id, TaxId.type, TaxId.value).where(TaxId.customer_id.in_(list(payers)))
    for customer_id, kind, value in session.execute(mine):
        payers[customer_id].tax_ids.append({"type": kind, "value": value})


def _phase_starts(session: Session, ids: Sequence[str], at: int) -> dict[str, int]:
    """When the next phase of each subscription's schedule begins."""
    if not ids:
        return {}
    query = (
        select(SubscriptionSchedule.subscription_id, func.min(SchedulePhase.start_date))
        .join(SchedulePhase, SchedulePhase.schedule_id == SubscriptionSchedule.id)
        .where(
            SubscriptionSchedule.subscription_id.in_(ids),
            SubscriptionSchedule.status == "active",
            SchedulePhase.start_date > at,
        )
        .group_by(SubscriptionSchedule.subscription_id)
    )
    return {name: start for name, start in session.execute(query, execution_options=UNSCOPED) if name}


def _too_far_behind(agreement: Agreement, date: int, at: int) -> bool:
    """Whether the worker was away, or the clock jumped, so far that somebody should look before all of it is billed."""
    shortest = min((item.offer.length for item in agreement.items), default=0)
    return at - date > MOST_BEHIND * shortest
