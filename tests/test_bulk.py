"""Bulk writes: rows are stored unchanged, and a missing row is an error."""

import pytest
from flask import Flask
from sqlalchemy import func, select

from portal_site.billing.models import Customer, Event
from portal_site.billing.rules.subscriptions.statuses import InvoiceStatus
from portal_site.db import bulk
from portal_site.db.transactions import transaction
from portal_site.ids import new_id
from tests import world
from tests.world import reading

AWKWARD = 'A "quoted" \\ back\nslash, %s, :name, {x}, Ünïcode, 中文, 🙂'


def test_bulk_rows_are_read_as_they_were_written(app: Flask) -> None:
    account = world.shop().customer.account_id
    data = {"text": AWKWARD, "none": None, "list": [], "large": 2**53 + 1, "yes": True, "status": InvoiceStatus.PAID}
    common = {"account_id": account, "livemode": True, "created": 2**40, "type": "bulk"}
    with transaction() as session:
        bulk.insert(session, Event, [{"id": new_id("evt"), "data": data, **common} for _ in range(700)])
    with reading() as reader:
        rows = reader.execute(select(Event.livemode, Event.created, Event.data).where(Event.type == "bulk")).all()
    assert [tuple(row) for row in rows] == [(True, 2**40, data)] * 700


def test_a_bulk_update_changes_only_its_own_row(app: Flask) -> None:
    first, second = (world.shop(name).customer.id for name in ("One", "Two"))
    address = {"line1": AWKWARD}
    for customer_id, name, given in ((first, AWKWARD, address), (second, None, None)):
        with transaction() as session:
            changed = {"id": customer_id, "name": name, "address": given, "balance": -5, "preferred_locales": []}
            bulk.update(session, Customer, [changed])
    with reading() as reader:
        names = select(Customer.id, Customer.name, Customer.balance, Customer.preferred_locales, Customer.address)
        found = {row[0]: tuple(row[1:]) for row in reader.execute(names)}
        missing = reader.scalar(select(func.count()).select_from(Customer).where(Customer.address.is_(None)))
    assert (found[first], found[second]) == ((AWKWARD, -5, [], address), (None, -5, [], None))
    assert missing == sum(row[3] is None for row in found.values())


def test_a_bulk_update_of_a_missing_row_raises_and_writes_nothing(app: Flask) -> None:
    customer_id = world.shop().customer.id
    rows = [{"id": customer_id, "balance": -7}, {"id": "cus_gone", "balance": -7}]
    with pytest.raises(RuntimeError, match="1 rows, not 2"), transaction() as session:
        bulk.update(session, Customer, rows)
    with reading() as reader:
        assert reader.scalar(select(Customer.balance).where(Customer.id == customer_id)) == 0
