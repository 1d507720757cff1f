"""The log: the events of people and of their programs, each with a keyed hash of itself and of the entry before it.

Who changes, removes or slips in an entry breaks the chain from there on. What the worker and payment providers do is no part of
it: they write far more events, and nobody answers for those.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Text, cast, or_, select

from portal_site import encryption
from portal_site.billing.events.actors import ActorType
from portal_site.billing.models import Event, EventCounter
from portal_site.db.json_columns import json_text
from portal_site.db.page_query import Row
from portal_site.db.transactions import reading

LOGGED = frozenset({ActorType.CUSTOMER, ActorType.USER, ActorType.API_KEY, ActorType.OPERATOR})
START = "0" * 64  # what the first entry follows
AT_ONCE = 1000
_ALL = {"unscoped": "the log is verified as a whole"}
_PARTS = ("sequence", "id", "account_id", "livemode", "created", "type", "actor_type", "actor_id")


def belongs(actor_type: str | None) -> bool:
    """Whether events of this kind of actor are entries of the log."""
    return actor_type in LOGGED


def chain(state: str | None, rows: Sequence[Row]) -> str:
    """Put the hashes into the rows that are entries; the new state of the counter: the last one's hash, sealed."""
    head = (state or START).partition(":")[0]
    for row in rows:
        if belongs(row["actor_type"]):
            row["log_hash"] = head = _hashes(head, [row[name] for name in _PARTS], json_text(row["data"]))[0]
    return f"{head}:{_seals(head)[0]}"


def _hashes(before: str, parts: Sequence[object], data: str) -> tuple[str, ...]:
    """The hash of an entry, under each secret key: nobody can make one who can only write into the database."""
    return encryption.fingerprints("log", json_text([before, *parts, data]))


def _seals(head: str) -> tuple[str, ...]:
    """What says that this is the last entry, so that none is removed from the end."""
    return encryption.fingerprints("log-end", head)


@dataclass(frozen=True)
class Verdict:
    """What a verification has found: how many entries are right, the last one's hash, and what is wrong, if anything is."""

    count: int
    head: str
    fault: str = ""


def verify(advance: Callable[[int, int], None] = lambda _done, _total: None) -> Verdict:
    """Compute all hashes again. `advance` is told the number of the last event looked at, and of the last one that there is."""
    with reading() as reader:
        counter = reader.execute(
            select(EventCounter.last, EventCounter.log_hash).execution_options(**_ALL)
        ).one_or_none()
    if counter is None:
        return Verdict(0, START)
    if stray := _stray(counter.last):
        return Verdict(0, START, f"{stray} was slipped in: its number is none that was given")
    head, count = START, 0
    for row in _entries(counter.last):
        advance(row.sequence, counter.last)
        wrong = f"entry {row.sequence} ({row.id}) is not what it was, or what stood before it is not"
        if row.log_hash not in _hashes(head, [getattr(row, name) for name in _PARTS], row.stored):
            return Verdict(count, head, wrong)
        head, count = row.log_hash, count + 1
    last, _, seal = (counter.log_hash or "").partition(":")
    is_whole = last == head and seal in _seals(head) if counter.log_hash else head == START
    return Verdict(count, head, "" if is_whole else "the end of the log is missing")


def _stray(last: int) -> str | None:
    """An entry with a number that the counter has not given, or with none."""
    has_none = or_(Event.sequence.is_(None), Event.sequence > last)
    with reading() as reader:
        return reader.scalar(
            select(Event.id).where(Event.log_hash.is_not(None), has_none).limit(1).execution_options(**_ALL)
        )


def _entries(last: int) -> Iterator[Any]:
    """The entries in their order, read in parts: what is written meanwhile is left for the next time."""
    columns = [getattr(Event, name) for name in _PARTS]
    query = (
        select(*columns, cast(Event.data, Text).label("stored"), Event.log_hash)
        .where(Event.log_hash.is_not(None), Event.sequence <= last)
        .order_by(Event.sequence)
        .limit(AT_ONCE)
        .execution_options(**_ALL)
    )
    after = 0
    while True:
        with reading() as reader:
            rows = reader.execute(query.where(Event.sequence > after)).all()
        yield from rows
        if len(rows) < AT_ONCE:
            return
        after = rows[-1].sequence
