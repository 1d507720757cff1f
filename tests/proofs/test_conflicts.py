"""Conflicting transactions: a transaction that PostgreSQL rolls back is retried without a visible error."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event, func, select
from sqlalchemy.exc import OperationalError

from portal_site import worker
from portal_site.billing.models import Customer, Invoice, Subscription
from portal_site.db import db
from portal_site.db.transactions import TRIES, retry_on_conflict
from tests import world
from tests.conftest import Visit
from tests.world import reading

LATER = world.END + 60


class Deadlock(Exception):
    """A driver error for a deadlock."""

    sqlstate = "40P01"


@contextmanager
def every_write_fails(times: int, every: int = 1) -> Iterator[SimpleNamespace]:
    """Each `every`-th writing statement fails with a deadlock, `times` times in all."""
    counter = SimpleNamespace(writes=0, refused=0)

    def refuse(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if not statement.startswith(("UPDATE", "INSERT")) or counter.refused >= times:
            return
        counter.writes += 1
        if counter.writes % every == 0:
            counter.refused += 1
            raise OperationalError(statement, None, Deadlock())

    event.listen(db.engine, "before_cursor_execute", refuse)
    try:
        yield counter
    finally:
        event.remove(db.engine, "before_cursor_execute", refuse)


@pytest.mark.case("F9")
@pytest.mark.parametrize(("times", "status", "name"), [(TRIES - 1, 303, "After"), (TRIES, 503, "Hedda Berg")])
def test_a_request_is_retried_at_most_three_times_after_conflicts(
    app: Flask, visit: Visit, times: int, status: int, name: str
) -> None:
    client = visit(world.scene().customer)
    client.get("/billing-information/edit")
    app.config["PROPAGATE_EXCEPTIONS"] = False
    try:
        with every_write_fails(times) as counter:
            answer = client.send("/billing-information/edit", {"email": "hedda@acme.example", "name": "After"})
    finally:
        app.config["PROPAGATE_EXCEPTIONS"] = True
    assert (answer.status_code, counter.refused) == (status, times)
    db.session.remove()
    with reading() as reader:
        assert reader.scalar(select(Customer.name)) == name


@pytest.mark.case("F9")
@pytest.mark.parametrize("every", [1, 2, 3, 4, 5, 6, 7])
def test_a_billing_run_retries_conflicts_without_counting_failures(app: Flask, every: int) -> None:
    for number in range(3):
        world.shop(f"Shop{number}")
    with every_write_fails(2, every) as counter:
        worker.tick(app, LATER)
    assert counter.refused
    with reading() as reader:
        assert reader.scalar(select(func.count()).select_from(Invoice)) == 6
        assert set(reader.scalars(select(Subscription.billing_failures))) == {0}


def test_only_conflicts_are_retried() -> None:
    calls = []

    def fails() -> None:
        calls.append(1)
        raise OperationalError("SELECT", None, ValueError("disk full"))

    with pytest.raises(OperationalError):
        retry_on_conflict(fails)
    assert len(calls) == 1
