"""Writes the e-mails that follow from events: whatever happens leads to its e-mail once, however many workers there are."""

import logging
from contextlib import suppress

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

READER = "notices"
AT_ONCE = 100  # e-mails
SPAN = 2000  # events that are looked through
CLAIM = 5 * 60  # seconds that a worker has for them
_ALL = events.UNSCOPED
log = logging.getLogger("portal.mail")


def follow(at: int, *, stays_local: bool) -> bool:
    """Write the e-mails of the next events, and remember how far it got in the same transaction. Whether there may be more.

    `stays_local` says that e-mails do not leave this machine.
    """
    start = _position()
    last = _last_of(start)
    if last <= start or not _claim(start, at):
        return False
    # From here on this worker is the only one, unless it takes longer than CLAIM: then what it wrote is given up.
    try:
        found, reached = _next(start, last)
        notices = [notice for event in found for notice in _notices_of(event)]
        written = writing.write_all(notices, at, stays_local=stays_local)
    except Exception:  # the next look need not wait for the end of the claim
        _unclaim(start, at)
        raise
    with transaction() as session:
        moved = update(FollowedEvents).where(FollowedEvents.reader == READER, FollowedEvents.sequence == start)
        if session.execute(moved.values(sequence=reached, claimed_until=0)).rowcount == 1:  # type: ignore[attr-defined]
            for each in written:
                outbox.write(session, each.draft, each.content, at)
    return True


def _notices_of(event: StoredEvent) -> list[Notice]:
    try:
        return triggers.notices_of(event)
    except Exception:  # an object of another version of the program, which may run beside this one
        log.exception("the event %s cannot be followed", event.id)
        return []


def _position() -> int:
    with reading() as reader:
        return reader.scalar(select(FollowedEvents.sequence).where(FollowedEvents.reader == READER)) or 0


def _last_of(start: int) -> int:
    """The number of the last event that is looked at now."""
    events.number_waiting()
    with reading() as reader:
        first = reader.scalar(select(func.min(Event.sequence)).where(Event.sequence > start).execution_options(**_ALL))
        if first is None:
            return start
        span = Event.sequence >= first, Event.sequence <= first + SPAN
        return reader.scalar(select(func.max(Event.sequence)).where(*span).execution_options(**_ALL)) or start


def _claim(start: int, at: int) -> bool:
    with transaction() as session:
        if session.get(FollowedEvents, READER) is None:
            with suppress(IntegrityError), session.begin_nested():  # another worker may insert it first
                session.add(FollowedEvents(reader=READER, sequence=0, claimed_until=0))
        free = FollowedEvents.reader == READER, FollowedEvents.sequence == start, FollowedEvents.claimed_until <= at
        claimed = session.execute(update(FollowedEvents).where(*free).values(claimed_until=at + CLAIM))
        return bool(claimed.rowcount == 1)  # type: ignore[attr-defined]


def _unclaim(start: int, at: int) -> None:
    mine = FollowedEvents.reader == READER, FollowedEvents.sequence == start, FollowedEvents.claimed_until == at + CLAIM
    with transaction() as session:
        session.execute(update(FollowedEvents).where(*mine).values(claimed_until=0))


def _next(start: int, last: int) -> tuple[list[StoredEvent], int]:
    """The events between these numbers that lead to e-mails, at most AT_ONCE, and the number that is reached with them."""
    found = events.of_types(start, last, triggers.TYPES, AT_ONCE)
    return found, found[-1].sequence if len(found) == AT_ONCE else last
