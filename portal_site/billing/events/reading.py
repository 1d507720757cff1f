"""Reading events in the order of their commits, for whatever follows them: mail, webhooks, exports."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import cast

from sqlalchemy import Select, select
from sqlalchemy.orm import InstrumentedAttribute

from portal_site.billing.events.emission import take_numbers
from portal_site.billing.models import Event
from portal_site.db import bulk
from portal_site.db.json_columns import JsonObject
from portal_site.db.page_query import literal_limit
from portal_site.db.transactions import reading, transaction

UNSCOPED = {"unscoped": "who follows the events follows those of all merchants"}
NUMBERED_AT_ONCE = 500  # all writers of events wait for a transaction that numbers


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event as it is stored. `actor_type` is an `ActorType`; None in events of a program that did not know who acted."""

    sequence: int
    id: str
    account_id: str
    livemode: bool
    created: int
    type: str
    data: JsonObject
    actor_type: str | None
    actor_id: str | None


def events_after(cursor: int, *, limit: int = 100, account_id: str | None = None) -> Sequence[StoredEvent]:
    """The events whose sequence is greater than `cursor`, in its order, at most `limit`; of one account, or of all.

    Who goes on from the sequence of the last one misses none: an event that is committed later has a greater one. Inside a
    transaction it must not be called.
    """
    number_waiting()
    with reading() as reader:
        return [StoredEvent(*row) for row in reader.execute(after(cursor, limit, account_id)).all()]


def of_types(cursor: int, last: int, types: Collection[str], limit: int) -> list[StoredEvent]:
    """Like `events_after`, of all merchants, only those of some types, and none with a sequence greater than `last`."""
    query = after(cursor, limit, None).where(Event.sequence <= last, Event.type.in_(sorted(types)))
    with reading() as reader:
        return [StoredEvent(*row) for row in reader.execute(query).all()]


def after(
    cursor: int, limit: int, account_id: str | None
) -> Select[int, str, str, bool, int, str, JsonObject, str | None, str | None]:
    """The select of `events_after`."""
    columns = Event.id, Event.account_id, Event.livemode, Event.created, Event.type, Event.data
    sequence = cast(InstrumentedAttribute[int], Event.sequence)  # events without one are not greater than `cursor`
    query = select(sequence, *columns, Event.actor_type, Event.actor_id).where(Event.sequence > cursor)
    query = query.order_by(Event.sequence).limit(literal_limit(limit))
    return query.execution_options(**UNSCOPED) if account_id is None else query.where(Event.account_id == account_id)


def unnumbered(limit: int) -> Select[*tuple[str]]:
    """The ids of events without a number, oldest first."""
    query = select(Event.id).where(Event.sequence.is_(None)).order_by(Event.created, Event.id)
    return query.limit(literal_limit(limit)).execution_options(**UNSCOPED)


def number_waiting() -> None:
    """Number the events that have no number, if there are any."""
    with reading() as reader:
        waiting = reader.scalar(unnumbered(1)) is not None
    if waiting:
        number_events()


def number_events() -> None:
    """Number the events that have none, as if they were committed now.

    They come from processes of the program of before `sequence`, which may go on while a new version is started.
    """
    found = True
    while found:
        with transaction() as session:
            take_numbers(session, 0)  # locks the counter, so that nobody else numbers the same events
            ids = session.scalars(unnumbered(NUMBERED_AT_ONCE)).all()
            numbers = take_numbers(session, len(ids))
            if ids:
                rows = [{"id": name, "sequence": number} for name, number in zip(ids, numbers, strict=True)]
                bulk.update(session, Event, rows)
            found = bool(ids)
