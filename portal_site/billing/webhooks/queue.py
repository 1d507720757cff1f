"""What each endpoint has to be sent, in the order of the commits, and what becomes of it.

An endpoint has a cursor, which moves in the transaction that stores how a try ended; what failed is a row with the time of its
next try. So whatever happens in between, nothing is lost, and at worst something is sent twice.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, case, exists, func, or_, select, update
from sqlalchemy.orm import Session

from portal_site.billing.errors import BillingError, NotFound
from portal_site.billing.events import types
from portal_site.billing.models import Account, Event, EventCounter, WebhookDelivery, WebhookEndpoint
from portal_site.billing.webhooks import endpoints
from portal_site.billing.webhooks.endpoints import DISABLED, ENABLED, FAILED, PENDING, SUCCEEDED
from portal_site.db.page_query import literal_limit
from portal_site.db.transactions import reading, transaction
from portal_site.ids import new_id

MINUTE, HOUR = 60, 60 * 60
# Seconds until the next try of one event, by the number of tries that failed: 72 hours in all.
PAUSES = (
    1 * MINUTE, 5 * MINUTE, 15 * MINUTE, 39 * MINUTE, 1 * HOUR, 2 * HOUR, 4 * HOUR, 8 * HOUR, 8 * HOUR,
    12 * HOUR, 12 * HOUR, 12 * HOUR, 12 * HOUR,
)  # fmt: skip
PATIENCE = sum(PAUSES)  # seconds after which an event is given up, and an endpoint that nothing has reached is disabled
# After so many failures in a row an endpoint rests, as long as an event that failed so often does, but for an hour at most:
# one that does not answer would otherwise be asked once for each event.
TOLERATED, LONGEST_REST = 3, 1 * HOUR
CLAIM = 2 * MINUTE  # for one turn; after that another worker goes on
RETRIES_AT_ONCE, NEW_AT_ONCE, SPAN = 20, 50, 500
LONGEST_FAULT = 200
_OF_ALL = {"unscoped": "the worker sends for all merchants"}


@dataclass(frozen=True)
class Job:
    """An event that is to be sent now. `sequence` is where the cursor moves with it; None for one that is tried again."""

    event_id: str
    event_type: str
    number: int
    sequence: int | None


@dataclass(frozen=True)
class Batch:
    """What an endpoint has to be sent next, and where its cursor stands when all of that is done."""

    jobs: list[Job]
    reached: int
    is_more: bool


@dataclass(frozen=True)
class Outcome:
    """How a try ended: the HTTP status, if there was an answer, what was wrong, if anything was, and what it took in ms."""

    status: int | None
    fault: str = ""
    took: int = 0

    @property
    def succeeded(self) -> bool:
        """Whether the endpoint has taken it."""
        return not self.fault


def waiting(at: int) -> Select[*tuple[Any, ...]]:
    """The select of the endpoints that have something to be sent now, with how the last tries went."""
    due = exists().where(
        WebhookDelivery.endpoint_id == WebhookEndpoint.id,
        WebhookDelivery.status == PENDING,
        WebhookDelivery.due_at <= at,
    )
    # The last number is one step in an index. For «is there a greater one» PostgreSQL may choose one that it has to read whole.
    own = _last_number_of(WebhookEndpoint.account_id) > WebhookEndpoint.sequence
    theirs = exists().where(
        Account.platform_id == WebhookEndpoint.account_id, _last_number_of(Account.id) > WebhookEndpoint.sequence
    )
    query = select(WebhookEndpoint.id, WebhookEndpoint.failures, WebhookEndpoint.last_took).where(
        WebhookEndpoint.status == ENABLED,
        WebhookEndpoint.paused_until <= at,
        WebhookEndpoint.claimed_until <= at,
        or_(due, WebhookEndpoint.connect.is_(False) & own, WebhookEndpoint.connect.is_(True) & theirs),
    )
    return query.order_by(WebhookEndpoint.id).execution_options(**_OF_ALL)


def _last_number_of(account_id: Any) -> ColumnElement[int]:
    """The number of the last event of an account."""
    return select(func.max(Event.sequence)).where(Event.account_id == account_id).scalar_subquery()


def claim(endpoint_id: str, at: int) -> WebhookEndpoint | None:
    """Take an endpoint's turn, so that no other worker sends to it meanwhile. None if it is taken, resting or disabled."""
    free = (
        WebhookEndpoint.id == endpoint_id, WebhookEndpoint.status == ENABLED, WebhookEndpoint.paused_until <= at,
        WebhookEndpoint.claimed_until <= at,
    )  # fmt: skip
    taken = update(WebhookEndpoint).where(*free).values(claimed_until=at + CLAIM)
    with transaction() as session:
        if session.execute(taken.execution_options(**_OF_ALL, synchronize_session=False)).rowcount != 1:  # type: ignore[attr-defined]
            return None
        query = select(WebhookEndpoint).where(WebhookEndpoint.id == endpoint_id)
        return session.scalars(query.execution_options(**_OF_ALL, populate_existing=True)).one()


def release(endpoint: WebhookEndpoint, reached: int | None) -> None:
    """The turn is over. With `reached`, all events up to that number have been looked at."""
    values: dict[str, Any] = {"claimed_until": 0}
    if reached is not None:  # one that was enabled again meanwhile is further already
        cursor = WebhookEndpoint.sequence
        values["sequence"] = case((cursor < reached, reached), else_=cursor)
    own = WebhookEndpoint.account_id == endpoint.account_id, WebhookEndpoint.id == endpoint.id
    # A worker that took longer than its claim leaves it to the one that has claimed the endpoint since.
    mine = update(WebhookEndpoint).where(*own, WebhookEndpoint.claimed_until == endpoint.claimed_until)
    with transaction() as session:
        session.execute(mine.values(**values).execution_options(synchronize_session=False))


def next_batch(endpoint: WebhookEndpoint, at: int) -> Batch:
    """What is to be sent next: what is due again, then the events after the cursor."""
    with reading() as reader:
        again = reader.execute(retries(endpoint, at)).all()
        last = reader.scalar(select(EventCounter.last).execution_options(**_OF_ALL)) or 0
        looked_at = reader.execute(after(endpoint)).all()
    jobs = [Job(row.event_id, row.event_type, row.sequence, None) for row in again]
    wanted = [row for row in looked_at if row.livemode == endpoint.livemode and _wants(endpoint, row.type)]
    new = wanted[:NEW_AT_ONCE]
    jobs += [Job(row.id, row.type, row.sequence, row.sequence) for row in new]
    if len(wanted) > NEW_AT_ONCE:
        reached, is_more = new[-1].sequence, True
    elif len(looked_at) == SPAN:
        reached, is_more = looked_at[-1].sequence, True
    elif endpoint.connect:
        reached = min(endpoint.sequence + SPAN * SPAN, last)
        is_more = reached < last
    else:
        reached, is_more = max([endpoint.sequence, *(row.sequence for row in looked_at)]), False
    return Batch(jobs, reached, is_more or len(again) == RETRIES_AT_ONCE)


def _wants(endpoint: WebhookEndpoint, kind: str) -> bool:
    return kind in types.KNOWN and (types.ALL in endpoint.enabled_events or kind in endpoint.enabled_events)


def retries(endpoint: WebhookEndpoint, at: int) -> Select[*tuple[Any, ...]]:
    """The select of what is due again, the oldest first."""
    own = WebhookDelivery.account_id == endpoint.account_id, WebhookDelivery.endpoint_id == endpoint.id
    is_due = WebhookDelivery.status == PENDING, WebhookDelivery.due_at <= at
    query = select(WebhookDelivery.event_id, WebhookDelivery.event_type, WebhookDelivery.sequence).where(*own, *is_due)
    return query.order_by(WebhookDelivery.due_at, WebhookDelivery.sequence).limit(literal_limit(RETRIES_AT_ONCE))


def after(endpoint: WebhookEndpoint) -> Select[*tuple[Any, ...]]:
    """The select of the events after the cursor: the account's or, for `connect`, those of the accounts connected to it."""
    query = select(Event.id, Event.type, Event.livemode, Event.sequence).where(Event.sequence > endpoint.sequence)
    if endpoint.connect:
        # Of the events of all, so many at most are looked through at once.
        connected = select(Account.id).where(Account.platform_id == endpoint.account_id)
        query = query.where(Event.account_id.in_(connected), Event.sequence <= endpoint.sequence + SPAN * SPAN)
    else:
        query = query.where(Event.account_id == endpoint.account_id)
    return query.order_by(Event.sequence).limit(literal_limit(SPAN))


def event_of(endpoint: WebhookEndpoint, event_id: str) -> Any:
    """An event with all its columns; None if the endpoint's account may not see it any more."""
    columns: Any = (attribute.class_attribute.label(attribute.key) for attribute in Event.__mapper__.column_attrs)
    query = select(*columns).where(Event.id == event_id, _may_see(endpoint))
    with reading() as reader:
        return reader.execute(query).one_or_none()


def _may_see(endpoint: WebhookEndpoint) -> ColumnElement[bool]:
    if not endpoint.connect:
        return Event.account_id == endpoint.account_id
    return Event.account_id.in_(select(Account.id).where(Account.platform_id == endpoint.account_id))


WhenGivenUp = Callable[[Session, WebhookEndpoint], None]


def record(
    endpoint: WebhookEndpoint, job: Job, outcome: Outcome, at: int, when_given_up: WhenGivenUp
) -> WebhookEndpoint | None:
    """Store how a try ended, and move the cursor. `when_given_up` is called in the transaction that disables the endpoint.

    The endpoint as it is afterwards; None if it gets nothing more now: it was disabled, deleted, taken over, or has to rest.
    """
    with transaction() as session:
        row = session.scalar(
            select(WebhookEndpoint)
            .where(WebhookEndpoint.account_id == endpoint.account_id, WebhookEndpoint.id == endpoint.id)
            .with_for_update()
            .execution_options(populate_existing=True)
        )
        if row is None or row.status != ENABLED:
            return None
        _store(session, row, job, outcome, at)
        if job.sequence is not None:
            row.sequence = max(row.sequence, job.sequence)
        row.last_took = outcome.took
        if outcome.succeeded:
            _note_success(session, row, at)
        else:
            _note_failure(session, row, at)
            if row.status == DISABLED:
                when_given_up(session, row)
        is_taken_over = row.claimed_until != endpoint.claimed_until
        return None if row.status != ENABLED or row.paused_until > at or is_taken_over else row


def _store(session: Session, endpoint: WebhookEndpoint, job: Job, outcome: Outcome, at: int) -> None:
    own = WebhookDelivery.account_id == endpoint.account_id, WebhookDelivery.endpoint_id == endpoint.id
    row = session.scalar(select(WebhookDelivery).where(*own, WebhookDelivery.event_id == job.event_id))
    if row is None:
        row = _new(session, endpoint, job.event_id, job.event_type, job.number, at)
    row.attempts, row.tried_at = row.attempts + 1, at
    row.response_status, row.fault = outcome.status, outcome.fault[:LONGEST_FAULT] or None
    until = row.tries_since + PATIENCE
    if outcome.succeeded:
        row.status, row.due_at = SUCCEEDED, None
    elif at >= until:
        row.status, row.due_at = FAILED, None
    else:
        row.status, row.due_at = PENDING, min(at + PAUSES[min(row.attempts, len(PAUSES)) - 1], until)


def _new(
    session: Session, endpoint: WebhookEndpoint, event_id: str, kind: str, number: int, at: int
) -> WebhookDelivery:
    row = WebhookDelivery(
        id=new_id("whd"), account_id=endpoint.account_id, livemode=endpoint.livemode, endpoint_id=endpoint.id,
        event_id=event_id, event_type=kind, sequence=number, created=at, status=PENDING, attempts=0, tries_since=at,
    )  # fmt: skip
    session.add(row)
    return row


def _note_success(session: Session, endpoint: WebhookEndpoint, at: int) -> None:
    """It answers again: what waits for its next try need not wait any longer."""
    if endpoint.failures >= TOLERATED:
        own = WebhookDelivery.account_id == endpoint.account_id, WebhookDelivery.endpoint_id == endpoint.id
        later = WebhookDelivery.status == PENDING, WebhookDelivery.due_at > at
        session.execute(update(WebhookDelivery).where(*own, *later).values(due_at=at))
    endpoint.failures, endpoint.failing_since, endpoint.paused_until = 0, None, 0


def _note_failure(session: Session, endpoint: WebhookEndpoint, at: int) -> None:
    endpoint.failures += 1
    if endpoint.failing_since is None:
        endpoint.failing_since = at
    if at >= endpoint.failing_since + PATIENCE:
        endpoints.disable(session, endpoint)
        endpoint.gave_up_at = at
    elif endpoint.failures >= TOLERATED:
        step = min(endpoint.failures - TOLERATED, len(PAUSES) - 1)
        endpoint.paused_until = at + min(PAUSES[step], LONGEST_REST)


def send_again(account_id: str, livemode: bool, event_id: str, endpoint_id: str, at: int) -> WebhookDelivery:
    """Let an event be sent to an endpoint again, with new tries, whatever became of it. Raises NotFound and BillingError."""
    with transaction() as session:
        endpoint = endpoints.locked(session, account_id, livemode, endpoint_id, "webhook_endpoint")
        if endpoint.status != ENABLED:
            raise BillingError("This webhook endpoint is disabled: enable it first.", "", "webhook_endpoint")
        event = session.scalar(select(Event).where(Event.id == event_id.replace("\0", ""), _may_see(endpoint)))
        if event is None or event.livemode != livemode or event.type not in types.KNOWN:
            raise NotFound("No such event: '%(id)s'", "resource_missing", "id", id=event_id)
        own = WebhookDelivery.account_id == account_id, WebhookDelivery.endpoint_id == endpoint.id
        row = session.scalar(select(WebhookDelivery).where(*own, WebhookDelivery.event_id == event.id))
        if row is None:
            row = _new(session, endpoint, event.id, event.type, event.sequence or 0, at)
        row.status, row.attempts, row.tries_since, row.due_at = PENDING, 0, at, at
        endpoint.paused_until = 0
        return row


def deliveries_of(endpoint: WebhookEndpoint, most: int) -> Sequence[WebhookDelivery]:
    """The last deliveries of an endpoint, those of the newest events first."""
    with transaction() as session:
        return session.scalars(last_of(endpoint, most)).all()


def last_of(endpoint: WebhookEndpoint, most: int) -> Select[*tuple[WebhookDelivery]]:
    """The select of `deliveries_of`."""
    own = WebhookDelivery.account_id == endpoint.account_id, WebhookDelivery.endpoint_id == endpoint.id
    return select(WebhookDelivery).where(*own).order_by(WebhookDelivery.sequence.desc()).limit(literal_limit(most))
