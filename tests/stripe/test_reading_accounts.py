"""Reading an account at Stripe: every page once, whatever goes wrong on the way, and no faster than Stripe allows."""

import json
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from portal_site.billing.errors import BillingError, GatewayUnavailable
from portal_site.billing.importing import importer
from portal_site.billing.importing.foreseen import ForeseenBill
from portal_site.billing.importing.importer import Options
from portal_site.billing.migration.reading.export import Export
from portal_site.billing.migration.stripe_api import MOST_TRIES, Pace
from portal_site.billing.models import (
    Invoice,
    InvoiceLineItem,
    PaymentMethod,
    ProviderCustomer,
    Subscription,
)
from tests.conftest import SHARED
from tests.stripe.billing_double import NOW
from tests.stripe.double import Document
from tests.stripe.migrating import Waiting, moving
from tests.world import reading


def _ids(folder: Path) -> dict[str, list[str]]:
    return {
        path.stem: [one["id"] for line in path.read_text().splitlines() for one in json.loads(line)["data"]]
        for path in folder.glob("*.jsonl")
    }


def test_a_reading_that_is_cut_anywhere_goes_on_where_it_was(lite_app: Flask, tmp_path: Path) -> None:
    with moving(25, page=4) as move:
        Export(tmp_path / "whole", "acct").read(move.api, NOW)
        whole = _ids(tmp_path / "whole")
        assert len(whole["subscriptions"]) == len(set(whole["subscriptions"])) == 25
        assert len(whole["payment_methods"]) == len(whole["customers"]) > 20
        done = cuts = 0
        for _ in range(200):
            move.double.faults[:] = ["", "", "", *["500"] * MOST_TRIES]
            try:
                Export(tmp_path / "cut", "acct").read(move.api, NOW)
            except GatewayUnavailable:
                cuts += 1
                continue
            done = 1
            break
        assert (done, cuts > 10) == (1, True)
        assert _ids(tmp_path / "cut") == whole


def test_a_kill_between_a_page_and_its_state_repeats_no_page(
    lite_app: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """The process is gone."""

    with moving(9, page=2) as move:
        Export(tmp_path / "whole", "acct").read(move.api, NOW)
        save, left = Export._save, [0]

        def dying(self: Export) -> None:
            left[0] -= 1
            if left[0] == 0:
                raise Killed
            save(self)

        monkeypatch.setattr(Export, "_save", dying)
        for _ in range(100):
            left[0] = 3
            try:
                Export(tmp_path / "cut", "acct").read(move.api, NOW)
                break
            except Killed:
                continue
        assert _ids(tmp_path / "cut") == _ids(tmp_path / "whole")
        assert (tmp_path / "cut" / "customers.jsonl").stat().st_mode & 0o077 == 0


def test_calls_are_spread_and_a_pause_that_stripe_asks_for_is_kept(lite_app: Flask, tmp_path: Path) -> None:
    with moving(30) as move:
        Export(tmp_path / "read", "acct").read(move.api, NOW)
        calls = len(move.double.calls)
        assert move.waiting.at >= (calls - 10) / 20
        before = move.waiting.at
        move.double.faults[:] = ["429", "drop", "lose", "409", ""]
        found = move.api.ask(lambda stripe: stripe.customers.list({"limit": 1}))
        assert len(found["data"]) == 1
        assert move.waiting.at - before >= 3 + 1  # what Retry-After says, and growing pauses
        move.double.faults[:] = ["429"] * MOST_TRIES
        with pytest.raises(GatewayUnavailable):
            move.api.ask(lambda stripe: stripe.customers.list({"limit": 1}))


def test_the_pace_is_no_faster_than_it_should_be() -> None:
    waiting = Waiting()
    pace = Pace(10, waiting.monotonic, waiting.sleep)
    for _ in range(21):
        pace.wait()
    assert waiting.at == pytest.approx(2.0)
    pace.rest(5)
    pace.wait()
    assert waiting.at == pytest.approx(7.0)


def test_lists_inside_of_objects_are_read_to_their_end(lite_app: Flask, tmp_path: Path) -> None:
    with moving(2) as move:
        invoice = move.double.objects["in_sub_0001"]
        first = invoice["lines"]["data"][0]
        lines = [{**first, "id": f"il_many_{number}"} for number in range(14)]
        total = sum(line["amount"] for line in lines)
        invoice |= {"subtotal": total, "total": total, "amount_due": total, "amount_paid": total}
        move.double.lines["in_sub_0001"] = lines
        invoice["lines"] = {"object": "list", "has_more": True, "data": lines[:10]}
        report = move.bring(tmp_path / "read")
        assert list(report.findings()) == []
        with reading() as connection:
            mine = select(InvoiceLineItem.id).where(InvoiceLineItem.invoice_id == "in_sub_0001")
            assert set(connection.scalars(mine)) == {line["id"] for line in lines}
        assert not list((tmp_path / "read").glob("*.jsonl"))  # it names customers, and nobody needs it any more


def test_a_key_that_may_not_read_everything_says_so(lite_app: Flask, tmp_path: Path) -> None:
    with moving(2) as move:
        move.double.lacks.add("coupons")
        with pytest.raises(BillingError, match="Stripe refuses"):
            Export(tmp_path / "read", "acct").read(move.api, NOW)
        with pytest.raises(BillingError, match="has what was read from acct:"):
            Export(tmp_path / "read", "acct_other")


@pytest.mark.parametrize("already", [False, True])
def test_a_dry_run_says_what_would_be_billed_when(lite_app: Flask, tmp_path: Path, already: bool) -> None:
    """It stores nothing, and what it says is what is billed."""
    with moving(12) as move:
        if already:
            move.bring(tmp_path / "read")
        bills: dict[str, ForeseenBill] = {}
        folder = tmp_path / "dry"
        Export(folder, "acct").read(move.api, NOW)
        options = Options(dry_run=True, gateway="stripe", foresee=lambda bill: bills.update({bill.subscription: bill}))
        importer.import_objects(folder, NOW, move.account_id, options=options)
        with reading() as connection:
            assert bool(connection.scalars(select(Subscription.id)).all()) is already
        move.bring(tmp_path / "read")
        would = move.take(dry_run=True)
        assert {name: (bill.date, bill.amount_due, bill.currency) for name, bill in bills.items()} == {
            name: (one.date, one.amount_due, one.currency) for name, one in would.items()
        }
        assert len(bills) == 12


def test_methods_of_an_earlier_import_are_charged_where_they_are(lite_app: Flask, tmp_path: Path) -> None:
    """One who was at Stripe under another id before keeps that one, and is not taken over."""
    with moving(3) as move:
        folder = tmp_path / "files"
        Export(folder, "acct").read(move.api, NOW)
        importer.import_objects(folder, NOW, move.account_id)
        with reading() as connection:
            assert set(connection.scalars(select(PaymentMethod.gateway))) == {"sandbox"}
            assert connection.scalars(select(ProviderCustomer.reference)).all() == []
        assert {one.result for one in move.take().values()} == {"refused"}
        _know_as(move.account_id, "cus_0002", "cus_elsewhere")
        report = move.bring(tmp_path / "read")
        assert [finding.id for finding in report.findings()] == ["cus_0002"]
        with reading() as connection:
            methods = connection.execute(select(PaymentMethod.gateway, PaymentMethod.gateway_reference))
            assert sorted(map(str, (row[1] for row in methods))) == ["None", "pm_cus_0000"]
        taken = move.take()
        assert {name: one.result for name, one in taken.items()} == {
            "sub_0000": "taken", "sub_0001": "taken", "sub_0002": "refused",
        }  # fmt: skip


def _know_as(account_id: str, customer: str, reference: str) -> None:
    from portal_site.db.transactions import transaction

    with transaction() as session:
        session.add(
            ProviderCustomer(
                id="pcus_one",
                account_id=account_id,
                customer_id=customer,
                created=NOW,
                gateway="stripe",
                reference=reference,
            )
        )


def test_the_recorded_account_is_read_and_compared(lite_app: Flask, tmp_path: Path) -> None:
    """Objects as Stripe gave them, through the official library."""
    path = SHARED / "recorded-export.json"
    if not path.exists():
        pytest.skip("the recorded export is not here")
    recorded: dict[str, Any] = json.loads(path.read_bytes())
    with moving() as move:
        documents: list[Document] = [
            one for listed in recorded.values() if isinstance(listed, dict) for one in listed["data"]
        ]
        for document in documents:
            move.double.put(document)
        move.bring(tmp_path / "read")
        with reading() as connection:
            assert set(connection.scalars(select(Subscription.id))) == {
                one["id"] for one in recorded["subscription"]["data"]
            }
            assert set(connection.scalars(select(Invoice.id))) == {one["id"] for one in recorded["invoice"]["data"]}
            assert set(connection.scalars(select(ProviderCustomer.reference))) == {
                one["id"] for one in recorded["customer"]["data"]
            }
