"""An endpoint's turn: it is sent what waits for it, one event after the other, until something fails or its time is over."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy.orm import Session

from portal_site.billing.models import WebhookEndpoint
from portal_site.billing.resources import programs as shapes
from portal_site.billing.webhooks import pending, queue, signatures
from portal_site.billing.webhooks.queue import Job, Outcome
from portal_site.db.faults import is_of_surroundings
from portal_site.db.json_columns import json_text
from portal_site.db.transactions import reading
from portal_site.deliveries import given_up
from portal_site.deliveries.connections import Sender, Stopped

TURN = 5.0  # seconds; then others come first
log = logging.getLogger("portal.webhooks")


@dataclass(frozen=True)
class Waiting:
    """An endpoint that has something to be sent, and whether its last tries failed or took long."""

    id: str
    is_slow: bool


SLOW = 2000  # milliseconds


def waiting(at: int) -> list[Waiting]:
    """The endpoints that have something to be sent now."""
    with reading() as reader:
        rows = reader.execute(queue.waiting(at)).all()
    return [Waiting(row.id, row.failures > 0 or row.last_took >= SLOW) for row in rows]


def take_turn(sender: Sender, endpoint_id: str, at: int, *, most: int | None = None) -> bool:
    """Send an endpoint what waits for it at `at`, at most so many events. Whether there may be more now."""
    endpoint = queue.claim(endpoint_id, at)
    if endpoint is None:
        return False
    began = time.monotonic()

    def now() -> int:
        return at + int(time.monotonic() - began)

    reached, is_more = None, False
    try:
        batch = queue.next_batch(endpoint, at)
        jobs = batch.jobs[:most]
        left = _send_some(sender, endpoint, jobs, now, began + TURN)
        if left is not None:
            is_whole = left == 0 and len(jobs) == len(batch.jobs)
            reached, is_more = batch.reached if is_whole else None, batch.is_more or not is_whole
    except Stopped:
        log.info("the endpoint %s is sent to later", endpoint.id)
    finally:
        queue.release(endpoint, reached)
    return is_more


def _send_some(
    sender: Sender, endpoint: WebhookEndpoint, jobs: list[Job], now: Callable[[], int], until: float
) -> int | None:
    """How many were left when the time was over; None if the endpoint can have nothing more now."""
    current: WebhookEndpoint | None = endpoint
    for place, job in enumerate(jobs):
        if sender.is_stopped:
            raise Stopped
        if current is None:
            return None
        if time.monotonic() > until:
            return len(jobs) - place
        outcome = _send_safely(sender, current, job, now())
        at = now()

        def tell(session: Session, row: WebhookEndpoint, at: int = at) -> None:
            log.warning("the endpoint %s is disabled: nothing has reached it for three days", row.id)
            given_up.write(session, row, at)

        current = queue.record(current, job, outcome, at, tell)
    return 0 if current is not None else None


def _send_safely(sender: Sender, endpoint: WebhookEndpoint, job: Job, at: int) -> Outcome:
    """One try. What cannot be sent for a reason of our own must not hold up what comes after it."""
    try:
        return _send(sender, endpoint, job, at)
    except Exception as error:
        if isinstance(error, Stopped) or is_of_surroundings(error):
            raise
        log.exception("the event %s cannot be sent", job.event_id)
        return Outcome(None, "it could not be sent")


def _send(sender: Sender, endpoint: WebhookEndpoint, job: Job, at: int) -> Outcome:
    """One try, signed with its own time."""
    secrets = signatures.secrets_of(endpoint, at)
    if not secrets:
        return Outcome(None, "its secret was encrypted under another secret key: roll it")
    row = queue.event_of(endpoint, job.event_id)
    if row is None:
        return Outcome(None, "the account that it happened to is not connected any more")
    count = pending.counts(row.account_id, row.livemode, [row])[row.id]
    document = shapes.event(row, count, row.account_id if endpoint.connect else None)
    body = json_text(document).encode()
    return sender.post(endpoint.url, body, signatures.header(body, secrets, at))
