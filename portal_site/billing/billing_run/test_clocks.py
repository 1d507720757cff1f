"""Test clocks: attached customers are billed at its time. Advancing it processes everything that is due, in order."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal_site.billing.billing_run import runner
from portal_site.billing.billing_run.runner import Address
from portal_site.billing.errors import BillingError, NotFound
from portal_site.billing.events.emission import emit
from portal_site.billing.gateways.registry import Gateways
from portal_site.billing.loading import ownership
from portal_site.billing.models import TestClock
from portal_site.db.transactions import transaction
from portal_site.ids import new_id

FURTHEST = 10 * 366 * 24 * 60 * 60  # seconds, about ten years: the most that a clock advances at once
MOST_STEPS = 100_000


def create(frozen_time: int, at: int, account_id: str | None = None, name: str | None = None) -> TestClock:
    """Create a clock at `frozen_time`. Raises NotFound, and BillingError if the account must be named."""
    with transaction() as session:
        account = ownership.get_account(session, account_id)
        clock = TestClock(id=new_id("clock"), account_id=account.id, created=at, name=name, frozen_time=frozen_time)
        session.add(clock)
        session.flush()
        emit(session, "test_helpers.test_clock.created", clock, at)
    return clock


def attach(clock_id: str, customer: str) -> TestClock:
    """Attach a test-mode customer (id or e-mail address) to the clock. Raises NotFound, and BillingError in live mode."""
    with transaction() as session:
        clock = _lock_clock(session, clock_id)
        row = ownership.get_customer(session, clock.account_id, customer)
        if row.livemode:
            raise BillingError("Only customers of test mode can live by a test clock.", "livemode_mismatch", "customer")
        ownership.lock_customer(session, row.id).test_clock_id = clock.id
    return clock


def _lock_clock(session: Session, clock_id: str) -> TestClock:
    query = select(TestClock).where(TestClock.id == clock_id).with_for_update()
    clock = session.scalar(query.execution_options(unscoped="an operator names a clock", populate_existing=True))
    if clock is None:
        raise NotFound("No such test clock: '%(id)s'", "resource_missing", "test_clock", id=clock_id)
    return clock


def advance(gateways: Gateways, clock_id: str, to: int, return_url: Address) -> TestClock:
    """Advance the clock to `to`, stopping at each time at which something is due. It can be repeated after a crash.

    Raises NotFound, and BillingError for a time before the clock's or more than ten years after it.
    """
    _begin_advancing(clock_id, to)
    for _ in range(MOST_STEPS):
        with transaction() as session:
            clock = _lock_clock(session, clock_id)
            moment = runner.next_moment(session, clock_id, to)
            clock.frozen_time = max(clock.frozen_time, to if moment is None else moment)
        report = runner.run(gateways, clock.frozen_time, return_url, clock_id)
        if moment is None and not report.did_something:
            break
    with transaction() as session:
        clock = _lock_clock(session, clock_id)
        clock.status, clock.target_frozen_time = "ready", None
        emit(session, "test_helpers.test_clock.ready", clock, clock.frozen_time)
    return clock


def _begin_advancing(clock_id: str, to: int) -> None:
    with transaction() as session:
        clock = _lock_clock(session, clock_id)
        if to < clock.frozen_time or to > clock.frozen_time + FURTHEST:
            raise BillingError("A test clock moves forward, by at most ten years at once.", "", "frozen_time")
        clock.status, clock.target_frozen_time = "advancing", to
        emit(session, "test_helpers.test_clock.advancing", clock, clock.frozen_time)
