"""Writes the e-mails that follow from events: whatever happens leads to its e-mail once, however many workers there are."""

import logging
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError

from portal_site.billing.events import reading as events
from portal_site.billing.events.reading import StoredEvent
from portal_site.billing.models import Event
from portal_site.db.transactions import reading, transaction
from portal_site.mail import outbox
from portal_site.notices import triggers, writing
from portal_site.notices.models import FollowedEvents
from portal_site.notices.triggers import Notice
from portal_site.notices.writing import Written

AT_ONCE = 100  # events that lead to e-mails
SPAN = 2000  # events that are looked through
CLAIM = 5 * 60  # seconds that a worker has for them
_ALL = events.UNSCOPED
log = logging.getLogger("portal.mail")


@dataclass(frozen=True)
class Follower:
    """Follows the events of some types, of all merchants, with a cursor of its own, the reader's.

    `write_all` makes the e-mails that follow from events at an instant; `stays_local` says that they do not leave this machine.
    """

    reader: str
    types: Collection[str]
    write_all: Callable[[Sequence[StoredEvent], int, bool], list[Written]]

    def follow(self, at: int, *, stays_local: bool) -> bool:
        """Write the next e-mails, and remember how far it got in the same transaction. Whether there may be more."""
        start = self._position()
        last = _last_of(start)
        if last <= start or not self._claim(start, at):
            return False
        # From here on this worker is the only one, unless it takes longer than CLAIM: then what it wrote is given up.
        try:
            found, reached = self._next(start, last)
            written = self.write_all(found, at, stays_local)
        except Exception:  # the next look need not wait for the end of the claim
            self._unclaim(start, at)
            raise
        with transaction() as session:
            mine = FollowedEvents.reader == self.reader, FollowedEvents.sequence == start
            moved = update(FollowedEvents).where(*mine).values(sequence=reached, claimed_until=0)
            if session.execute(moved).rowcount == 1:  # type: ignore[attr-defined]
                for each in written:
                    outbox.write(session, each.draft, each.content, at)
        return True

    def _position(self) -> int:
        with reading() as reader:
            mine = FollowedEvents.reader == self.reader
            return reader.scalar(select(FollowedEvents.sequence).where(mine)) or 0

    def _claim(self, start: int, at: int) -> bool:
        with transaction() as session:
            if session.get(FollowedEvents, self.reader) is None:
                with suppress(IntegrityError), session.begin_nested():  # another worker may insert it first
                    session.add(FollowedEvents(reader=self.reader, sequence=0, claimed_until=0))
            mine = FollowedEvents.reader == self.reader, FollowedEvents.sequence == start
            free = update(FollowedEvents).where(*mine, FollowedEvents.claimed_until <= at)
            claimed = session.execute(free.values(claimed_until=at + CLAIM))
            return bool(claimed.rowcount == 1)  # type: ignore[attr-defined]

    def _unclaim(self, start: int, at: int) -> None:
        mine = FollowedEvents.reader == self.reader, FollowedEvents.sequence == start
        claimed = update(FollowedEvents).where(*mine, FollowedEvents.claimed_until == at + CLAIM)
        with transaction() as session:
            session.execute(claimed.values(claimed_until=0))

    def _next(self, start: int, last: int) -> tuple[list[StoredEvent], int]:
        """The events between these numbers that lead to e-mails, at most AT_ONCE, and the number that is reached with them."""
        found = events.of_types(start, last, self.types, AT_ONCE)
        return found, found[-1].sequence if len(found) == AT_ONCE else last


def _last_of(start: int) -> int:
    """The number of the last event that is looked at now."""
    events.number_waiting()
    with reading() as reader:
        first = reader.scalar(select(func.min(Event.sequence)).where(Event.sequence > start).execution_options(**_ALL))
        if first is None:
            return start
        span = Event.sequence >= first, Event.sequence <= first + SPAN
        return reader.scalar(select(func.max(Event.sequence)).where(*span).execution_options(**_ALL)) or start


def _write_all(found: Sequence[StoredEvent], at: int, stays_local: bool) -> list[Written]:
    notices = [notice for event in found for notice in _notices_of(event)]
    return writing.write_all(notices, at, stays_local=stays_local)


def _notices_of(event: StoredEvent) -> list[Notice]:
    try:
        return triggers.notices_of(event)
    except Exception:  # an object of another version of the program, which may run beside this one
        log.exception("the event %s cannot be followed", event.id)
        return []


CUSTOMERS = Follower("notices", triggers.TYPES, _write_all)
