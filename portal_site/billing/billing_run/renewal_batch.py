"""Renewal batches: the renewals of one transaction, decided by the rules in memory."""

from collections.abc import Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import TypedDict

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from portal_site.billing.billing_run.due_subscriptions import DueSubscription
from portal_site.billing.events.emission import emit
from portal_site.billing.invoicing.invoice_rows import InvoiceChanges
from portal_site.billing.invoicing.invoice_writer import InvoiceWriter
from portal_site.billing.invoicing.payers import Payer
from portal_site.billing.loading import snapshots
from portal_site.billing.models import (
    Account,
    Customer,
    Discount,
    Subscription,
    SubscriptionItem,
    SubscriptionSchedule,
    TaxId,
)
from portal_site.billing.resources import subscriptions as resources
from portal_site.billing.rules.invoicing.invoices import InvoiceTotals
from portal_site.billing.rules.subscriptions import pauses
from portal_site.billing.rules.subscriptions.forecast import CustomerState, Renewal, renew
from portal_site.billing.rules.subscriptions.snapshot import SubscriptionSnapshot
from portal_site.billing.rules.subscriptions.statuses import InvoiceStatus, SubscriptionStatus, next_due
from portal_site.billing.subscriptions import due_dates
from portal_site.db import bulk
from portal_site.db.json_columns import JsonObject

MOST_BEHIND = 15  # in periods; a subscription further behind is parked instead of billed for all of them
TOO_FAR_BEHIND = f"more than {MOST_BEHIND} periods behind"
UNSCOPED = {"unscoped": "a billing run is about all merchants"}


class SubscriptionChanges(TypedDict):
    """What changes in a subscription."""

    id: str
    latest_invoice_id: str | None
    due_at: int | None
    overdue_since: int | None
    status: str
    billing_error: str | None
    billing_failures: int


class ItemChanges(TypedDict):
    """What changes in an item that was billed for a further period."""

    id: str
    current_period_start: int
    current_period_end: int
    billing_cycle_anchor: int | None


class RenewalBatch:
    """The renewals of one transaction: loaded in a few selects, decided in memory, and written with one statement per table.

    `customers` are the locked customers' rows by id, `rows` the due subscriptions.
    """

    def __init__(
        self, session: Session, customers: Mapping[str, Customer], rows: Sequence[DueSubscription], at: int
    ) -> None:
        self.session, self.rows, self.at = session, rows, at
        self.customers = {name: Payer.of(row) for name, row in customers.items()}
        self.writer = InvoiceWriter(session)
        self.subscriptions: list[SubscriptionChanges] = []
        self.items: list[ItemChanges] = []
        self.consumed_discounts: dict[str, int] = {}
        self.invoiced = self.late = self.parked = 0
        if rows:
            _add_accounts_and_tax_ids(session, self.customers)
            # Load as of the earliest date that is billed: discounts that ended since then were in force on it.
            since = snapshots.due_since((row.step_at for row in rows), at)
            self.snapshots = snapshots.load(session, rows, self.customers, since)
            self.states = {name: CustomerState(payer.balances) for name, payer in self.customers.items()}
            self.phases = _next_phases(session, [row.id for row in rows if row.schedule_id], at)

    def decide(self) -> None:
        """Renew or park each subscription, or only set its next due date."""
        for row in self.rows:
            snapshot = self.snapshots[row.id]
            # A transition that was just applied may have set the due date to later than now.
            moment = self.at if row.step_at is None else min(row.step_at, self.at)
            ended = SubscriptionStatus(row.status).ended
            date = min((item.period_end for item in snapshot.items), default=moment)
            too_far = snapshot.status.renews and _too_far_behind(snapshot, date, self.at)
            if too_far and row.billing_error != TOO_FAR_BEHIND:
                self._park(row)
            elif (date <= moment and snapshot.status.renews) or (ended and snapshot.pending_lines):
                self._renew(row, snapshot, (row.ended_at or date) if ended else date)
            else:
                ends = [item.period_end for item in snapshot.items]
                self._advance(row, row.status, self._next_due(row, row.status, ends), row.latest_invoice_id)

    def _renew(self, row: DueSubscription, snapshot: SubscriptionSnapshot, date: int) -> None:
        self.late += self.at - date > 24 * 60 * 60
        payer = self.customers[row.customer_id]
        state = self.states[row.customer_id]
        renewal = renew(snapshot, state, date)
        self.states[row.customer_id] = renewal.state
        latest = row.latest_invoice_id
        if renewal.invoice is not None:
            latest = self._add_invoice(row, payer, renewal, renewal.invoice, date)
        ends = self._begin_periods(snapshot, renewal)
        status = row.status if row.status != SubscriptionStatus.TRIALING else SubscriptionStatus.ACTIVE
        self._advance(row, status, self._next_due(row, status, ends.values()), latest)
        if not SubscriptionStatus(row.status).ended:
            self._add_updated_event(row, status, latest, _items(snapshot, {}), _items(snapshot, ends))

    def _begin_periods(self, snapshot: SubscriptionSnapshot, renewal: Renewal) -> dict[str, int]:
        """Move each item that was billed to its new period. Returns the period ends of all items by item id."""
        items = {item.id: item for item in snapshot.items}
        ends = {item.id: item.period_end for item in snapshot.items}
        for line in renewal.lines:
            if line.id is None:
                ends[line.item_id] = line.period_end
                self.items.append(
                    {
                        "id": line.item_id,
                        "current_period_start": line.period_start,
                        "current_period_end": line.period_end,
                        "billing_cycle_anchor": items[line.item_id].renewed(snapshot.anchor).anchor,
                    }
                )
        return ends

    def _add_invoice(
        self, row: DueSubscription, payer: Payer, renewal: Renewal, invoice: InvoiceTotals, date: int
    ) -> str:
        """Add the invoice of a renewal: a draft if collection is paused with `keep_as_draft`, else a finalized one.

        Returns its id.
        """
        members = _cycle_columns(invoice, date)
        if renewal.is_draft:
            invoice_row = self.writer.draft(payer, row, invoice, self.at, **members)
        else:
            automatic = row.collection_method == "charge_automatically" and not row.pause_collection
            members["next_payment_attempt"] = self.at if invoice.amount_due and automatic else None
            if renewal.is_uncollectible:
                members["status"], members["marked_uncollectible_at"] = InvoiceStatus.UNCOLLECTIBLE, self.at
            invoice_row = self.writer.invoice(payer, row, invoice, self.at, **members)
            payer.number += 1
            payer.balances = renewal.state.balances
            payer.touched = True
        self.consumed_discounts |= dict.fromkeys(renewal.consumed, date)
        self.invoiced += 1
        return invoice_row["id"]

    def _park(self, row: DueSubscription) -> None:
        self.parked += 1
        self.subscriptions.append(
            {
                "id": row.id,
                "latest_invoice_id": row.latest_invoice_id,
                "due_at": None,
                "overdue_since": row.step_at,
                "status": row.status,
                "billing_error": TOO_FAR_BEHIND,
                "billing_failures": 0,
            }
        )

    def _advance(self, row: DueSubscription, status: str, due_at: int | None, latest_invoice_id: str | None) -> None:
        """Set when the subscription is due next. Raises ValueError if that is not later than now."""
        if due_at is not None and row.step_at is not None and due_at <= min(row.step_at, self.at):
            raise ValueError(f"{row.id} does not move on from {row.step_at}")  # otherwise the run would not terminate
        # What an operator unparked though it was too far behind is billed until it has caught up.
        accepted = row.billing_error == TOO_FAR_BEHIND and due_at is not None and due_at <= self.at
        self.subscriptions.append(
            {
                "id": row.id,
                "latest_invoice_id": latest_invoice_id,
                "due_at": due_at,
                "overdue_since": None,
                "status": status,
                "billing_error": TOO_FAR_BEHIND if accepted else None,
                "billing_failures": 0,
            }
        )

    def _next_due(self, row: DueSubscription, status: str, ends: Iterable[int]) -> int | None:
        resumes = pauses.resumes_at(row.status_details, row.pause_collection)
        expires = row.pending_update.expires_at if row.pending_update else None
        return next_due(status, ends, row.cancel_at, expires, resumes, self.phases.get(row.id))

    def _add_updated_event(
        self, row: DueSubscription, status: str, latest_invoice_id: str | None, before: JsonObject, after: JsonObject
    ) -> None:
        """Add Stripe's event for the new status, latest invoice and periods, which are in the items before and after."""
        current = {"status": status, "latest_invoice": latest_invoice_id, "items": after}
        document = resources.subscription(row)
        changed = {name: document[name] for name in ("status", "latest_invoice") if document[name] != current[name]}
        previous = {**changed, "items": before}
        document.update(current)
        kind = "customer.subscription.updated"
        emit(self.session, kind, row, self.at, document=document, previous=previous)

    def _end_single_use_discounts(self) -> None:
        """End the consumed single-use discounts at the date of their invoice."""
        consumed = Discount.customer_id.in_(list(self.customers)), Discount.id.in_(list(self.consumed_discounts))
        for discount in self.session.scalars(select(Discount).where(*consumed)).all():
            discount.end = self.consumed_discounts[discount.id]
            owner = self.customers[discount.customer_id]
            document = resources.discount(discount)
            emit(self.session, "customer.discount.deleted", owner, self.at, document=document)
        self.session.flush()

    def write(self) -> None:
        """Write all rows and updates, with one statement per table."""
        if self.consumed_discounts:
            self._end_single_use_discounts()
        self.writer.write()
        if self.items:
            bulk.update(self.session, SubscriptionItem, self.items)
        if self.subscriptions:
            bulk.update(self.session, Subscription, self.subscriptions)
        if payers := [_payer_changes(payer) for payer in self.customers.values() if payer.touched]:
            bulk.update(self.session, Customer, payers)


def _payer_changes(payer: Payer) -> JsonObject:
    return {
        "id": payer.id,
        "balance": payer.balance,
        "next_invoice_sequence": payer.number,
        "currency": payer.currency,
        "other_balances": payer.other_balances,
        "invoice_prefix": payer.invoice_prefix,
    }


def _cycle_columns(bill: InvoiceTotals, date: int) -> InvoiceChanges:
    """The invoice columns about the renewal: its date, and the period that its new lines cover."""
    starts = [line.period_start for line in bill.lines if line.id is None] or [date]
    ends = [line.period_end for line in bill.lines if line.id is None] or [date]
    return {
        "billing_reason": "subscription_cycle",
        "cycle_at": date,
        "period_start": min(starts),
        "period_end": min(ends),
    }


def _items(snapshot: SubscriptionSnapshot, ends: Mapping[str, int]) -> JsonObject:
    """The list object of the items in a subscription event, with the new period of each item that has one in `ends`.

    `ends` are period ends by item id.
    """
    rows = []
    for item in snapshot.items:
        end = ends.get(item.id, item.period_end)
        start = item.period_end if end > item.period_end else item.period_start
        row = SimpleNamespace(
            id=item.id, created=item.created, subscription_id=snapshot.id, price_id=item.offer.price_id,
            quantity=item.quantity, current_period_start=start, current_period_end=end,
        )  # fmt: skip
        rows.append(row)
    return resources.subscription_items(rows)


def _add_accounts_and_tax_ids(session: Session, payers: Mapping[str, Payer]) -> None:
    """Add what invoices store of accounts, and the tax ids, besides the columns of the customer."""
    accounts = select(Account.id, Account.business_name, Account.address, Account.tax_ids).where(
        Account.id.in_({payer.account_id for payer in payers.values()})
    )
    sellers = {row.id: row for row in session.execute(accounts)}
    for payer in payers.values():
        payer.account_name = sellers[payer.account_id].business_name
        payer.account_address = sellers[payer.account_id].address
        payer.account_tax_ids = sellers[payer.account_id].tax_ids
    tax_ids = select(TaxId.customer_id, TaxId.type, TaxId.value).where(TaxId.customer_id.in_(list(payers)))
    for customer_id, kind, value in session.execute(tax_ids):
        payers[customer_id].tax_ids.append({"type": kind, "value": value})


def _next_phases(session: Session, ids: Sequence[str], at: int) -> dict[str, int]:
    """The next start or end of a phase after the subscription's current due date, by subscription id."""
    if not ids:
        return {}
    query = due_dates.next_phase_boundary(func.coalesce(Subscription.step_at, at)).where(
        SubscriptionSchedule.subscription_id.in_(ids)
    )
    boundaries = session.execute(query.group_by(Subscription.step_at), execution_options=UNSCOPED)
    return {name: moment for name, moment in boundaries if name and moment}


def _too_far_behind(snapshot: SubscriptionSnapshot, date: int, at: int) -> bool:
    """Whether more than MOST_BEHIND periods are unbilled, because the worker did not run or the clock jumped.

    An operator should check such a subscription before all of them are billed.
    """
    shortest = min((item.offer.length for item in snapshot.items), default=0)
    return at - date > MOST_BEHIND * shortest
