"""The entries of an account's log, the newest first."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import literal_column, select

from portal_site.billing.models import Event
from portal_site.billing.models.event import IN_LOG
from portal_site.dashboard.settings import differences
from portal_site.dashboard.settings.differences import Difference
from portal_site.db.transactions import reading

AT_ONCE = 50
EXPORTED_AT_ONCE = 500


@dataclass(frozen=True)
class Filter:
    """Whose entries: of a kind of actor, or of one; and those before a sequence."""

    actor_type: str = ""
    actor_id: str = ""
    before: int | None = None


@dataclass(frozen=True)
class Entry:
    """Something that somebody did: an event's type as words, its object, and what was different before."""

    sequence: int
    created: int
    livemode: bool
    type: str
    object_id: str
    actor_type: str
    actor_id: str | None
    differences: Sequence[Difference]
    log_hash: str

    @property
    def words(self) -> str:
        """What was done, such as “Customer updated”."""
        *names, verb = self.type.replace("_", " ").split(".")
        return " ".join([*dict.fromkeys(names), verb]).capitalize()


def select_entries(account_id: str, wanted: Filter, limit: int) -> Any:
    """The select of a page of the log."""
    query = (
        select(
            Event.sequence, Event.created, Event.livemode, Event.type, Event.data, Event.actor_type, Event.actor_id,
            Event.log_hash,
        )
        .where(Event.account_id == account_id, literal_column(IN_LOG))
        .order_by(Event.sequence.desc())
        .limit(limit)
    )  # fmt: skip
    if wanted.actor_type:
        query = query.where(Event.actor_type == wanted.actor_type)
    if wanted.actor_id:
        query = query.where(Event.actor_id == wanted.actor_id)
    return query.where(Event.sequence < wanted.before) if wanted.before else query


def page(account_id: str, wanted: Filter) -> tuple[list[Entry], int | None]:
    """A page of entries, and the sequence that the next page begins before, if there is one."""
    found = _find(account_id, wanted, AT_ONCE + 1)
    shown = found[:AT_ONCE]
    return shown, shown[-1].sequence if len(found) > AT_ONCE else None


def everything(account_id: str, wanted: Filter) -> Iterator[Entry]:
    """All entries, read in parts."""
    before = wanted.before
    while True:
        part = _find(account_id, Filter(wanted.actor_type, wanted.actor_id, before), EXPORTED_AT_ONCE)
        yield from part
        if len(part) < EXPORTED_AT_ONCE:
            return
        before = part[-1].sequence


def _find(account_id: str, wanted: Filter, limit: int) -> list[Entry]:
    with reading() as reader:
        return [_entry(row) for row in reader.execute(select_entries(account_id, wanted, limit)).all()]


def _entry(row: Any) -> Entry:
    document, previous = row.data["object"], row.data.get("previous_attributes") or {}
    now = {name: document.get(name) for name in previous}
    return Entry(
        row.sequence, row.created, row.livemode, row.type, str(document.get("id") or ""), row.actor_type, row.actor_id,
        differences.between(previous, now), row.log_hash,
    )  # fmt: skip
