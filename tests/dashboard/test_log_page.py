"""The page of the log, its filters and its export."""

import csv
import io

import pytest
from flask import Flask
from sqlalchemy import text as sql

from portal_site.billing.events.actors import ActorType, acting_as
from portal_site.billing.events.emission import OfAccount, emit
from portal_site.dashboard.reads import log_entries
from portal_site.dashboard.reads.log_entries import Filter
from portal_site.db import db
from portal_site.db.transactions import transaction
from tests import world
from tests.client import text
from tests.dashboard.desk import Desk
from tests.plans import plan


def _do(account_id: str, count: int, actor: ActorType, actor_id: str, note: str = "=1+1") -> None:
    for number in range(count):
        with acting_as(actor, actor_id), transaction() as session:
            document = {"object": "note", "id": f"note_{number}", "note": note}
            previous = {"note": "before"}
            emit(session, "note.updated", OfAccount(account_id), world.HALF, document=document, previous=previous)


def test_what_staff_and_customers_did_is_shown_with_who_and_what(desk: Desk) -> None:
    desk.save("words", headline="Hello")
    _do(desk.account_id, 1, ActorType.CUSTOMER, "cus_1", "now")
    _do(desk.account_id, 1, ActorType.WORKER, "", "never shown")
    page = text(desk.client.get(f"/dashboard/{desk.account_id}/log").text)
    assert "Note updated note_0 Note: before → now Customers" in page
    assert "Billing portal configuration updated" in page
    assert "Business profile: headline: none → Hello" in page
    assert "never shown" not in page
    mine = text(desk.client.get(f"/dashboard/{desk.account_id}/log?by=user").text)
    assert "Hello" in mine
    assert "before → now" not in mine
    one = text(desk.client.get(f"/dashboard/{desk.account_id}/log?actor=cus_1").text)
    assert "before → now" in one
    assert "Hello" not in one
    none = desk.client.get(f"/dashboard/{desk.account_id}/log?by=nonsense&actor=%25&before=x")
    assert "No entries match." in none.text


def test_the_pages_of_the_log_are_without_gaps(desk: Desk) -> None:
    _do(desk.account_id, 120, ActorType.CUSTOMER, "cus_1")
    entries, before = log_entries.page(desk.account_id, Filter())
    seen = [entry.sequence for entry in entries]
    while before is not None:
        entries, before = log_entries.page(desk.account_id, Filter(before=before))
        seen += [entry.sequence for entry in entries]
    assert len(seen) == len(set(seen))
    assert seen == sorted(seen, reverse=True)
    assert len(seen) >= 120
    assert "Earlier entries" in desk.client.get(f"/dashboard/{desk.account_id}/log").text


def test_the_export_has_everything_and_no_formulas(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_entries, "EXPORTED_AT_ONCE", 7)
    _do(desk.account_id, 20, ActorType.CUSTOMER, "=cmd()")
    response = desk.client.get(f"/dashboard/{desk.account_id}/log.csv?by=customer")
    rows = list(csv.DictReader(io.StringIO(response.text)))
    assert len(rows) == 20
    assert {row["actor"] for row in rows} == {"'=cmd()"}
    assert all(len(row["hash"]) == 64 for row in rows)


@pytest.mark.parametrize("wanted", [Filter(), Filter("user"), Filter(actor_id="cus_1"), Filter("user", before=99)])
def test_a_page_is_found_by_an_index(app: Flask, wanted: Filter) -> None:
    account_id = world.scene().account_id
    is_server = db.engine.dialect.name == "postgresql"
    with transaction() as session:  # enough events of the worker that a look through all of them would not pay
        session.execute(
            sql(
                "INSERT INTO events (id, account_id, livemode, created, type, data, sequence) WITH RECURSIVE n(i) AS"
                " (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)"
                f" SELECT 'evt_x' || i, '{account_id}', {'false' if is_server else '0'}, 1, 'x', '{{}}', 1000000 + i FROM n"
            ).execution_options(unscoped="a test's rows")
        )
    found = plan(log_entries.select_entries(account_id, wanted, 51), "events")
    assert "ix_events_log" in found, found
