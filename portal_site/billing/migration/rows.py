"""What is stored of take-overs: each step is, in the transaction that changes what is billed here."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BindParameter, Select, bindparam, func, select
from sqlalchemy.orm import Session

from portal_site.billing.errors import NotFound, StateChanged
from portal_site.billing.loading import ownership
from portal_site.billing.migration.checks import MARGIN, Method
from portal_site.billing.models import Subscription, TakeOver
from portal_site.billing.models.imported import IN_FORCE, STOPPING, TAKEN_OVER, UNDOING, UNDONE, WITHDRAWN
from portal_site.billing.subscriptions import due_dates, subscription_items
from portal_site.db.json_columns import JsonObject
from portal_site.db.transactions import reading, transaction
from portal_site.ids import new_id

UNFINISHED = (STOPPING, UNDOING)
REMEMBERED = ("status", "cancel_at", "cancel_at_period_end", "pause_collection", "current_period_end", "latest_invoice")
WAITS = "waits"
CHANGED = "it has been changed here meanwhile"
BILLED = "%(id)s has been billed here: nothing can be undone any more"
SOON = "%(id)s is billed here within the hour: it is too late to undo it"


@dataclass(frozen=True, slots=True)
class Counts:
    """How many take-overs are in a state, and how many of them have been billed here."""

    state: str
    subscriptions: int
    billed: int


def plan(
    account_id: str, customer_id: str, subscription_id: str, boundary: int, method: Method, before: JsonObject, at: int
) -> TakeOver:
    """Store that Stripe is going to be stopped, with the keys of the calls. Raises StateChanged if it was changed meanwhile."""
    with transaction() as session:
        ownership.lock_customer(session, customer_id)
        subscription = ownership.get_owned(session, Subscription, customer_id, subscription_id, lock=True)
        former = _find(session, account_id, subscription_id)
        if subscription.due_at is not None or _boundary(session, subscription) != boundary:
            raise StateChanged(CHANGED)
        if former is not None and former.state in IN_FORCE:
            raise StateChanged("somebody else is taking it over")
        steps = list(former.steps) if former is not None else []
        row = former or TakeOver(subscription_id=subscription_id, account_id=account_id, customer_id=customer_id)
        row.created, row.livemode, row.method, row.state = at, subscription.livemode, str(method), STOPPING
        row.boundary, row.mark = boundary, new_id("tko")
        row.stop_key, row.restore_key = new_id("tkokey"), new_id("tkokey")
        row.before = {name: before.get(name) for name in REMEMBERED if not isinstance(before.get(name), dict)}
        row.before = {**row.before, "pause_collection": before.get("pause_collection")}
        row.steps, row.note = [*steps, {"step": "planned", "at": at}], None
        session.add(row)
    return row


def start(row: TakeOver, step: str, at: int) -> None:
    """Let it be billed here from the boundary on. A boundary that is over already is billed by the next billing run."""
    with transaction() as session:
        ownership.lock_customer(session, row.customer_id)
        stored = _locked(session, row)
        subscription = ownership.get_owned(session, Subscription, row.customer_id, row.subscription_id, lock=True)
        if subscription.due_at is None:
            subscription.billed_elsewhere = False
            subscription.due_at = row.boundary  # what begins at the boundary is to be found, however late this is
            items = subscription_items.load_items(session, subscription)
            due_dates.recompute_due_at(session, subscription, items, at)
        _go(stored, TAKEN_OVER, step, at)


def stop(account_id: str, subscription_id: str, at: int) -> TakeOver:
    """Let nothing be billed here any more, so that Stripe can be put back. Raises StateChanged once the first bill is near."""
    with transaction() as session:
        row = _find(session, account_id, subscription_id)
        if row is None or row.state != TAKEN_OVER:
            raise NotFound("%(id)s is not taken over.", "resource_missing", id=subscription_id)
        ownership.lock_customer(session, row.customer_id)
        row = _locked(session, row)
        subscription = ownership.get_owned(session, Subscription, row.customer_id, subscription_id, lock=True)
        if subscription.due_at is None or _boundary(session, subscription) != row.boundary:
            raise StateChanged(BILLED, id=subscription_id)
        if row.boundary - at < MARGIN:
            raise StateChanged(SOON, id=subscription_id)
        due_dates.put_off(subscription, None)
        subscription.overdue_since, subscription.billed_elsewhere = None, True
        row.restore_key = new_id("tkokey")
        _go(row, UNDOING, "undo planned", at)
    return row


def end(row: TakeOver, state: str, note: str | None, at: int) -> None:
    """Store that Stripe bills it again (`undone`), or on (`withdrawn`)."""
    with transaction() as session:
        ownership.lock_customer(session, row.customer_id)
        stored = _locked(session, row)
        subscription = ownership.get_owned(session, Subscription, row.customer_id, row.subscription_id, lock=True)
        subscription.due_at, subscription.overdue_since, subscription.billed_elsewhere = None, None, True
        _go(stored, state, state, at, note)


def remember(row: TakeOver, note: str, at: int) -> TakeOver:
    """Store why it does not go on yet, with keys for the next calls: those of before would be answered as before."""
    with transaction() as session:
        stored = _locked(session, row)
        stored.stop_key, stored.restore_key = new_id("tkokey"), new_id("tkokey")
        waited = stored.steps[-1]["step"] == WAITS
        stored.steps = stored.steps[:-1] if waited else stored.steps  # the last of several is enough
        _go(stored, stored.state, WAITS, at, note)
    return stored


def unfinished(account_id: str, livemode: bool, after: str = "", most: int = 100) -> Sequence[TakeOver]:
    """The take-overs, after this subscription, that have to go on or back. The rows belong to no transaction."""
    return in_states(account_id, livemode, UNFINISHED, after, most)


def in_states(
    account_id: str, livemode: bool, states: Sequence[str], after: str = "", most: int = 100
) -> Sequence[TakeOver]:
    """The take-overs in these states after this subscription, by its id. The rows belong to no transaction."""
    query = select(TakeOver.__table__).where(
        TakeOver.account_id == account_id, TakeOver.livemode.is_(livemode), TakeOver.state.in_(states),
        TakeOver.subscription_id > after,
    )  # fmt: skip
    with reading() as reader:
        return [
            TakeOver(**row) for row in reader.execute(query.order_by(TakeOver.subscription_id).limit(most)).mappings()
        ]


def taken(account_id: str, customer_id: str) -> frozenset[str]:
    """The customer's subscriptions that Stripe does not bill, or is being told not to."""
    query = select(TakeOver.subscription_id).where(
        TakeOver.account_id == account_id, TakeOver.customer_id == customer_id, TakeOver.state.in_(IN_FORCE)
    )
    with reading() as reader:
        return frozenset(row[0] for row in reader.execute(query))


def counts(account_id: str, livemode: bool) -> list[Counts]:
    """How many take-overs are in which state."""
    billed = (Subscription.due_at > TakeOver.boundary) & (TakeOver.state == TAKEN_OVER)
    query = (
        select(TakeOver.state, func.count(), func.count().filter(billed))
        .join(Subscription, Subscription.id == TakeOver.subscription_id)
        .where(TakeOver.account_id == account_id, TakeOver.livemode.is_(livemode))
        .group_by(TakeOver.state)
        .order_by(TakeOver.state)
    )
    with reading() as reader:
        return [Counts(*row) for row in reader.execute(query)]


def left_behind(before: int, most: int = 20) -> list[TakeOver]:
    """Take-overs of all accounts that were begun before this instant and are not finished. They belong to no transaction."""
    query = left_behind_query(before, most).execution_options(unscoped="a worker finishes those of all accounts")
    with reading() as reader:
        return [TakeOver(**row) for row in reader.execute(query).mappings()]


def left_behind_query(before: int, most: int) -> Select[Any]:
    """The select of `left_behind`. Its states are literal, so that the index of those that are not finished serves it."""
    states: BindParameter[tuple[str, ...]] = bindparam("states", UNFINISHED, expanding=True, literal_execute=True)
    query = select(TakeOver.__table__).where(TakeOver.state.in_(states), TakeOver.created < before)
    return query.order_by(TakeOver.created, TakeOver.subscription_id).limit(most)


def withdraw(row: TakeOver, note: str, at: int) -> None:
    """Leave it to Stripe."""
    end(row, WITHDRAWN, note, at)


def undone(row: TakeOver, at: int, note: str | None = None) -> None:
    """Store that Stripe bills it again."""
    end(row, UNDONE, note, at)


def _find(session: Session, account_id: str, subscription_id: str) -> TakeOver | None:
    return session.scalar(
        select(TakeOver)
        .where(TakeOver.account_id == account_id, TakeOver.subscription_id == subscription_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )


def _locked(session: Session, row: TakeOver) -> TakeOver:
    """The row as it is stored. Raises StateChanged if somebody else took a step since it was read."""
    stored = _find(session, row.account_id, row.subscription_id)
    if stored is None or (stored.mark, stored.state, len(stored.steps)) != (row.mark, row.state, len(row.steps)):
        raise StateChanged("somebody else is taking it over")
    return stored


def _boundary(session: Session, subscription: Subscription) -> int | None:
    items = subscription_items.load_items(session, subscription)
    return min((item.current_period_end for item in items), default=None)


def _go(row: TakeOver, state: str, step: str, at: int, note: str | None = None) -> None:
    row.state, row.note = state, note
    row.steps = [*row.steps, {"step": step, "at": at}]
