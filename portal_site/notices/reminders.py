"""Reminders: the e-mails that come some days before a date, or after it.

Each kind has, for each number of days, a place in the order of the dates: what lies before it was written. So a look costs what
lies between two looks, and no reminder is lost while no worker runs.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, Select, and_, func, literal_column, or_, select, update
from sqlalchemy.engine import Connection

from portal_site.billing.models import (
    Account,
    Customer,
    Invoice,
    PaymentMethod,
    Subscription,
    SubscriptionItem,
)
from portal_site.db.page_query import literal_limit
from portal_site.db.transactions import reading, transaction
from portal_site.mail import outbox
from portal_site.notices import writing
from portal_site.notices.kinds import REMINDERS, Kind, Settings
from portal_site.notices.models import FollowedDates
from portal_site.notices.triggers import Notice

DAY = 24 * 60 * 60
EVERY = 10 * 60  # seconds between two looks
AT_ONCE = 100
_ALL = {"unscoped": "reminders of all merchants are written in the order of their dates"}


@dataclass(frozen=True)
class Place:
    """How far the reminders of a kind, this many days before its date, have been written."""

    kind: Kind
    days: int
    through: int
    after_id: str


def write_due(at: int, *, stays_local: bool) -> bool:
    """Write the reminders that are due at `at`: a batch of each kind. Whether there may be more."""
    return sum(_write_batch(place, at, stays_local=stays_local) for place in _places(at)) > 0


def _places(at: int) -> list[Place]:
    """The places that are behind. New ones begin now: what was to be reminded of before is over."""
    with reading() as reader:
        own = select(Account.notices).where(Account.notices.is_not(None))
        documents = reader.scalars(own.execution_options(**_ALL))
        all_settings = [Settings(), *map(Settings.of, documents)]
        known = {(row.kind, row.days): row for row in reader.execute(select(FollowedDates.__table__)).all()}
    wanted = {(kind, days) for settings in all_settings for kind in REMINDERS for days in settings[kind].days}
    new = [each for each in sorted(wanted) if each not in known]
    if new:
        with transaction() as session:
            for kind, days in new:
                session.merge(FollowedDates(kind=kind, days=days, through=at + days * DAY, after_id=""))
    # One that stopped inside a batch goes on at once.
    behind = [
        row for key, row in known.items()
        if key in wanted and (row.after_id or at + row.days * DAY >= row.through + EVERY)
    ]  # fmt: skip
    return [Place(Kind(row.kind), row.days, row.through, row.after_id) for row in behind]


def _write_batch(place: Place, at: int, *, stays_local: bool) -> bool:
    until = at + place.days * DAY
    with reading() as reader:
        found = list(_FINDERS[place.kind](reader, place, until))
    rows = found[:AT_ONCE]
    notices = [notice for _date, _id, notice in rows]
    written = writing.write_all(notices, at, stays_local=stays_local)
    is_more = len(found) > AT_ONCE
    through, after_id = rows[-1][:2] if is_more else (until, "")
    here = (
        FollowedDates.kind == place.kind, FollowedDates.days == place.days,
        FollowedDates.through == place.through, FollowedDates.after_id == place.after_id,
    )  # fmt: skip
    with transaction() as session:
        moved = session.execute(update(FollowedDates).where(*here).values(through=through, after_id=after_id))
        if moved.rowcount == 1:  # type: ignore[attr-defined] # otherwise another worker was faster
            for each in written:
                outbox.write(session, each.draft, each.content, at)
    return is_more


Found = Iterator[tuple[int, str, Notice]]


def _beyond(date: Any, row_id: Any, place: Place, until: int) -> Sequence[Any]:
    """The rows after a place up to a date. Of the place's own second those with a greater id, if it stopped inside that."""
    after = date > place.through
    if place.after_id:
        after = and_(date >= place.through, or_(date > place.through, row_id > place.after_id))
    return after, date <= until


def _limited(query: Any, *order: Any) -> Select[Any]:
    limited: Select[Any] = query.order_by(*order).limit(literal_limit(AT_ONCE + 1)).execution_options(**_ALL)
    return limited


def subscriptions(place: Place, until: int, status: str) -> Select[Any]:
    """The subscriptions of a status whose next step comes in this span, oldest first; those on test clocks are not real."""
    date = Subscription.due_at
    query = (
        select(Subscription.id, Subscription.account_id, Subscription.livemode, date)
        .join(Customer, Customer.id == Subscription.customer_id)
        .where(*_beyond(date, Subscription.id, place, until), date.is_not(None))
        .where(Subscription.status == status, Subscription.overdue_since.is_(None))
        .where(Customer.test_clock_id.is_(None), Customer.deleted_at.is_(None))
    )
    return _limited(query, date, Subscription.id)


def _subscription_notice(place: Place, row: Row[Any], **values: Any) -> tuple[int, str, Notice]:
    key = f"{place.kind}:{row.id}:{row.due_at}:{place.days}"
    notice = Notice(
        place.kind, row.account_id, row.livemode, key, subscription_id=row.id, until=row.due_at,
        values={"days": place.days, "date": row.due_at, **values},
    )  # fmt: skip
    return row.due_at, row.id, notice


def _trials(reader: Connection, place: Place, until: int) -> Found:
    for row in reader.execute(subscriptions(place, until, "trialing")).all():
        yield _subscription_notice(place, row)


def _renewals(reader: Connection, place: Place, until: int) -> Found:
    rows = reader.execute(subscriptions(place, until, "active")).all()
    lengths = func.max(SubscriptionItem.current_period_end - SubscriptionItem.current_period_start)
    query = (
        select(SubscriptionItem.subscription_id, lengths)
        .where(SubscriptionItem.subscription_id.in_([row.id for row in rows]))
        .group_by(SubscriptionItem.subscription_id)
    )
    periods = {row[0]: row[1] for row in reader.execute(query.execution_options(**_ALL))}
    for row in rows:
        yield _subscription_notice(place, row, period=periods.get(row.id, 0))


def _pauses(reader: Connection, place: Place, until: int) -> Found:
    for row in reader.execute(subscriptions(place, until, "paused")).all():
        yield _subscription_notice(place, row)


def unpaid(place: Place, until: int) -> Select[Any]:
    """The open invoices that customers pay by themselves, whose due dates are in this span, oldest first."""
    date: Any = Invoice.due_date
    query = (
        select(Invoice.id, Invoice.account_id, Invoice.livemode, date)
        .join(Customer, Customer.id == Invoice.customer_id)
        .where(Invoice.status == literal_column("'open'"), *_beyond(date, Invoice.id, place, until))
        .where(Invoice.collection_method == "send_invoice", Invoice.amount_remaining > 0)
        .where(Customer.test_clock_id.is_(None), Customer.deleted_at.is_(None))
    )
    return _limited(query, date, Invoice.id)


def _unpaid(reader: Connection, place: Place, until: int) -> Found:
    for row in reader.execute(unpaid(place, until)).all():
        notice = Notice(
            place.kind, row.account_id, row.livemode, f"{place.kind}:{row.id}:{row.due_date}:{place.days}",
            invoice_id=row.id, values={"days": place.days}, until=_until(row.due_date, place.days),
        )  # fmt: skip
        yield row.due_date, row.id, notice


def _until(due_date: int, days: int) -> int:
    """How long a reminder of an invoice says what is so: before its date until then, on it for a day, after it for a week."""
    return due_date if days > 0 else due_date + DAY if days == 0 else due_date - days * DAY + 7 * DAY


def cards(year: int, month: int, after_id: str) -> Select[Any]:
    """The cards that expire at the end of a month."""
    query = (
        select(PaymentMethod.id, PaymentMethod.account_id, PaymentMethod.customer_id, PaymentMethod.livemode)
        .join(Customer, Customer.id == PaymentMethod.customer_id)
        .where(PaymentMethod.exp_year == year, PaymentMethod.exp_month == month, PaymentMethod.id > after_id)
        .where(PaymentMethod.detached_at.is_(None), PaymentMethod.exp_month.is_not(None))
        .where(Customer.test_clock_id.is_(None), Customer.deleted_at.is_(None))
    )
    return _limited(query, PaymentMethod.id)


def _cards(reader: Connection, place: Place, until: int) -> Found:
    """The cards of the months whose end is in this span. All of a month have the same date."""
    for year, month, end in _month_ends(place.through, until):
        after_id = place.after_id if end == place.through else ""
        if end == place.through and not after_id:
            continue
        for row in reader.execute(cards(year, month, after_id)).all():
            key = f"{place.kind}:{row.id}:{year}-{month:02}:{place.days}"
            notice = Notice(
                place.kind, row.account_id, row.livemode, key, customer_id=row.customer_id, payment_method_id=row.id,
                values={"days": place.days}, until=end,
            )  # fmt: skip
            yield end, row.id, notice


def _month_ends(after: int, until: int) -> Iterator[tuple[int, int, int]]:
    """The months (UTC) that end from `after` to `until`, as year, month, and the instant of the end."""
    first = datetime.fromtimestamp(after, UTC)
    year, month = (first.year, first.month - 1) if first.month > 1 else (first.year - 1, 12)
    while True:
        following = (year, month + 1) if month < 12 else (year + 1, 1)
        end = int(datetime(*following, 1, tzinfo=UTC).timestamp())
        if end > until:
            return
        if end >= after:
            yield year, month, end
        year, month = following


_FINDERS: Mapping[Kind, Callable[[Connection, Place, int], Found]] = {
    Kind.TRIAL_ENDING: _trials,
    Kind.RENEWAL_AHEAD: _renewals,
    Kind.CARD_EXPIRING: _cards,
    Kind.UNPAID_REMINDER: _unpaid,
    Kind.PAUSE_ENDING: _pauses,
}
