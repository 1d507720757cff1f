"""What is compared and with which reasons, what is refused, what is undone, and what later imports leave alone."""

from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from portal_site.billing.importing.report import Result
from portal_site.billing.migration import checks, comparing, comparison, rows, take_over
from portal_site.billing.migration.bills import Bill, Part
from portal_site.billing.migration.checks import Method
from portal_site.billing.migration.comparison import compare
from portal_site.billing.migration.positions import MARK
from portal_site.billing.models import Subscription
from tests.stripe.billing_double import DAY, MODED, MONTH, NOW
from tests.stripe.double import Document
from tests.stripe.migrating import Move, moving
from tests.world import reading

LINE = Part("si_one", "Team", 1200, "price_1200", 1)
BILL = Bill(NOW, "eur", 1200, 0, 0, 1200, 0, 1200, (LINE,))


def _part(**changed: Any) -> Part:
    values = {name: getattr(LINE, name) for name in Part.__slots__}
    return Part(**{**values, **changed})


def _bill(**changed: Any) -> Bill:
    values = {name: getattr(BILL, name) for name in Bill.__slots__}
    return Bill(**{**values, **changed})


@pytest.mark.parametrize(
    ("ours", "theirs", "what", "reason"),
    [
        (BILL, _bill(date=NOW + 1), "date", comparison.OTHER_DATE),
        (BILL, _bill(currency="usd"), "currency", comparison.OTHER_CURRENCY),
        (BILL, _bill(parts=(LINE, _part(key="ii_one", is_pending=True))), "line", comparison.PENDING_THERE),
        (BILL, _bill(parts=(LINE, _part(key="si_two"))), "line", comparison.ITEM_THERE),
        (_bill(parts=(LINE, _part(key="si_two"))), BILL, "line", comparison.ITEM_HERE),
        (_bill(parts=(LINE, _part(key="ii_one", is_pending=True))), BILL, "line", comparison.PENDING_HERE),
        (BILL, _bill(parts=(_part(price="price_2500"),)), "line", comparison.OTHER_PRICE.format(price="price_2500")),
        (BILL, _bill(parts=(_part(quantity=2, amount=2400),)), "line", comparison.OTHER_QUANTITY.format(quantity=2)),
        (BILL, _bill(parts=(_part(amount=1201, is_proration=True),)), "line", comparison.PRORATION),
        (BILL, _bill(parts=(_part(amount=1202, is_proration=True),)), "line", comparison.AMOUNT),
        (_bill(parts=(_part(is_metered=True),)), BILL, "line", comparison.USAGE),
        (BILL, _bill(parts=None, subtotal=1300), "subtotal", comparison.AMOUNT),
        (_bill(discount=100), BILL, "discount", comparison.DISCOUNT),
        (_bill(discount=1), BILL, "discount", comparison.DISCOUNT_ROUNDED),
        (BILL, _bill(tax=240), "tax", comparison.TAX),
        (BILL, _bill(tax=1), "tax", comparison.TAX_ROUNDED),
        (BILL, _bill(balance=-300), "balance", comparison.BALANCE),
        (BILL, _bill(amount_due=0), "amount due", comparison.SMALLEST),
        (BILL, None, "invoice", comparison.NOTHING_THERE),
        (None, BILL, "invoice", comparison.NOTHING_HERE),
    ],
)  # fmt: skip
def test_each_difference_has_its_reason(ours: Bill | None, theirs: Bill | None, what: str, reason: str) -> None:
    found = compare(ours, theirs)
    assert (found[0].what, found[0].reason) == (what, reason)


def test_equal_invoices_have_no_differences() -> None:
    assert compare(BILL, _bill()) == compare(None, None) == ()


def test_a_price_of_another_currency_is_the_same_price_and_computed_tax_is_named() -> None:
    variant = _bill(parts=(_part(price="price_1200_usd"),))
    assert compare(variant, BILL) == ()
    found = compare(BILL, _bill(tax=240, total=1440, amount_due=1440), computes_tax=True)
    assert [(one.what, one.reason) for one in found] == [
        ("tax", comparison.AUTOMATIC_TAX), ("total", comparison.CONSEQUENCE), ("amount due", comparison.CONSEQUENCE),
    ]  # fmt: skip


def test_differences_that_were_planted_are_found_and_refused(app: Flask, tmp_path: Path) -> None:
    with moving(8) as move:
        move.bring(tmp_path / "read")
        item = move.double.objects["sub_0002"]["items"]["data"][0]
        item["quantity"] += 3
        move.double.objects["sub_0003"]["discounts"] = []
        move.double.objects["cus_0004"]["balance"] = -500
        move.double.planted["sub_0005"] = {"period_end": NOW + 3 * DAY}
        found = {
            one.subscription: {difference.reason for difference in one.differences}
            for one in comparing.compare_all(move.api, move.account_id, False, frozenset(), "", NOW)
        }
        assert {name for name, reasons in found.items() if reasons} == {"sub_0002", "sub_0003", "sub_0004", "sub_0005"}
        quantity = comparison.OTHER_QUANTITY.format(quantity=item["quantity"])
        assert found["sub_0002"] == {quantity, comparison.CONSEQUENCE}
        assert {comparison.DISCOUNT, comparison.CONSEQUENCE} == found["sub_0003"]
        assert found["sub_0004"] == {comparison.BALANCE, comparison.CONSEQUENCE}
        assert found["sub_0005"] == {comparison.OTHER_DATE}
        outcomes = move.take()
        assert {name for name, one in outcomes.items() if one.result == "refused"} == {
            "sub_0002", "sub_0003", "sub_0004", "sub_0005",
        }  # fmt: skip
        assert outcomes["sub_0004"].why == (checks.BALANCE,)
        accepted = move.take(accept_differences=True)
        assert {name: one.result for name, one in accepted.items()} == {
            "sub_0002": "taken", "sub_0003": "taken", "sub_0004": "refused", "sub_0005": "taken",
        }  # fmt: skip


def _pending(name: str, subscription: str, **members: Any) -> Document:
    return {
        "id": name, "object": "invoiceitem", "customer": "cus_0001", "currency": "eur", "amount": 700, "date": NOW,
        "description": "Setup", "discountable": False, "period": {"start": NOW, "end": NOW}, "proration": False,
        "quantity": 1, "parent": {"subscription_details": {"subscription": subscription}}, "invoice": None, **MODED, **members,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "method", "why"),
    [
        ({"status": "past_due"}, Method.PAUSE, checks.NOT_RUNNING.format(status="past_due")),
        ({"cancel_at_period_end": True, "cancel_at": NOW + MONTH}, Method.PAUSE, checks.ENDS),
        ({"pause_collection": {"behavior": "void"}}, Method.CANCEL, checks.PAUSED),
        ({"pending_update": {"expires_at": NOW}}, Method.CANCEL, checks.CHANGING),
        ({"schedule": "sub_sched_one"}, Method.CANCEL, checks.SCHEDULED),
        ({"status": "canceled"}, Method.PAUSE, checks.GONE),
    ],
)
def test_what_stripe_does_otherwise_since_the_import_is_refused(
    lite_app: Flask, tmp_path: Path, changed: Document, method: Method, why: str
) -> None:
    with moving() as move:
        move.double.fill(0)
        move.double.customer("cus_0001")
        move.double.subscription("sub_0001", "cus_0001", 1)
        move.bring(tmp_path / "read")
        move.double.objects["sub_0001"] |= changed
        outcome = move.take(method, accept_differences=True)["sub_0001"]
        assert (outcome.result, outcome.why) == ("refused", (why,))
        assert rows.counts(move.account_id, False) == []


@pytest.mark.parametrize(
    ("at", "why"),
    [
        (NOW + 28 * DAY - checks.MARGIN + 1, checks.SOON),
        (NOW + 28 * DAY + 60, checks.OTHER_PERIOD),
    ],
)
def test_nothing_is_begun_at_a_boundary(lite_app: Flask, tmp_path: Path, at: int, why: str) -> None:
    with moving() as move:
        move.double.fill(0)
        move.double.customer("cus_0001")
        move.double.subscription("sub_0001", "cus_0001", 1)
        move.bring(tmp_path / "read")
        move.double.advance(at)
        outcome = move.take(accept_differences=True)["sub_0001"]
        assert outcome.result == "refused"
        assert why in outcome.why


def test_pending_items_are_billed_by_one_side(lite_app: Flask, tmp_path: Path) -> None:
    """Stripe bills them at the end of what is canceled, and takes them into a void invoice of what is paused."""
    with moving() as move:
        move.double.fill(0)
        move.double.customer("cus_0001")
        move.double.subscription("sub_0001", "cus_0001", 1)
        move.double.put(_pending("ii_one", "sub_0001"))
        move.bring(tmp_path / "read")
        assert move.take(Method.CANCEL)["sub_0001"].why == (checks.PENDING,)
        would = move.take(Method.PAUSE, dry_run=True)["sub_0001"]
        move.double.put(_pending("ii_two", "sub_0001"))
        assert checks.UNKNOWN_PENDING in move.take(Method.PAUSE)["sub_0001"].why
        move.double.listed["invoiceitem", "cus_0001"].pop()
        taken = move.take(Method.PAUSE)["sub_0001"]
        assert (taken.result, taken.amount_due) == ("taken", would.amount_due)
        assert taken.amount_due == 2 * 2500 + 700


def test_a_balance_is_not_used_on_both_sides(lite_app: Flask, tmp_path: Path) -> None:
    with moving() as move:
        move.double.fill(0)
        move.double.customer("cus_0001", balance=-400)
        for number in (1, 2):
            move.double.subscription(f"sub_000{number}", "cus_0001", number)
        move.bring(tmp_path / "read")
        assert move.take(only=frozenset({"sub_0001"}))["sub_0001"].why == (checks.SHARED_BALANCE,)
        assert {one.result for one in move.take().values()} == {"taken"}


def test_the_second_of_a_customer_follows_though_the_balance_was_used_here(lite_app: Flask, tmp_path: Path) -> None:
    with moving() as move:
        move.double.fill(0)
        move.double.customer("cus_0001")
        for number in (1, 5):
            move.double.subscription(f"sub_000{number}", "cus_0001", number)
        move.bring(tmp_path / "read")
        assert move.take(only=frozenset({"sub_0005"}))["sub_0005"].result == "taken"
        move.go_to(NOW + 25 * DAY)
        with reading() as connection:
            assert connection.scalar(select(Subscription.due_at).where(Subscription.id == "sub_0005")) == NOW + 54 * DAY
        assert move.take()["sub_0001"].result == "taken"


@pytest.mark.parametrize("method", Method)
def test_undoing_lets_stripe_bill_again(app: Flask, tmp_path: Path, method: Method) -> None:
    with moving(6) as move:
        move.bring(tmp_path / "read")
        before = {name: dict(one) for name, one in move.double.objects.items() if name.startswith("sub_")}
        move.take(method)
        assert all(MARK in move.double.objects[name]["metadata"] for name in before)
        undone = move.undo("sub_0000", "sub_0003")
        assert {name: one.result for name, one in undone.items()} == {"sub_0000": "undone", "sub_0003": "undone"}
        for name in undone:
            assert move.double.objects[name] == before[name]
        move.go_to(NOW + MONTH)
        assert {one.subscription for one in move.double.bills if one.status == "paid"} == set(undone)
        late = move.undo()
        assert {one.result for one in late.values()} == {"refused"}
        assert {one.why for one in late.values()} == {
            (rows.BILLED % {"id": name},) for name in set(before) - set(undone)
        }
        move.bring(tmp_path / "read")
        assert {name: one.result for name, one in move.take(method).items()} == {
            "sub_0000": "taken",
            "sub_0003": "taken",
        }


@pytest.mark.parametrize("method", Method)
def test_a_later_import_leaves_alone_what_was_taken_over(lite_app: Flask, tmp_path: Path, method: Method) -> None:
    """What Stripe says of it is what stopped it there, even before it is billed here."""
    with moving(3) as move:
        move.bring(tmp_path / "read")
        move.take(method, limit=1)
        taken = {row.subscription_id for row in rows.in_states(move.account_id, False, ("taken_over",))}
        left = {"sub_0000", "sub_0001", "sub_0002"} - taken
        assert len(left) in (1, 2)
        for name in left:
            document = move.double.objects[name]
            boundary = document["items"]["data"][0]["current_period_end"]
            row = rows.plan(move.account_id, document["customer"], name, boundary, method, document, NOW)
            stop: Document = {"pause_collection": {"behavior": "void"}}
            document |= {"cancel_at_period_end": True} if method == Method.CANCEL else stop
            document["metadata"] = {MARK: row.mark}
        report = move.bring(tmp_path / "read")
        assert report.updated.total() == 0
        assert report.count(Result.CONFLICT) == 3
        with reading() as connection:
            found = connection.execute(select(Subscription.cancel_at_period_end, Subscription.pause_collection)).all()
        assert [tuple(row) for row in found] == [(False, None)] * 3
        assert {name: one.result for name, one in move.take().items()} == dict.fromkeys(left, "taken")


def test_one_that_somebody_ends_at_stripe_meanwhile_is_left_to_stripe(lite_app: Flask, tmp_path: Path) -> None:
    with moving(2) as move:
        move.bring(tmp_path / "read")
        ours = next(iter(move.take(dry_run=True).values()))
        document = move.double.objects[ours.subscription]
        boundary = document["items"]["data"][0]["current_period_end"]
        rows.plan(move.account_id, ours.customer, ours.subscription, boundary, Method.CANCEL, document, NOW)
        document |= {"cancel_at_period_end": True, "cancel_at": boundary}
        assert move.take()[ours.subscription].why == (checks.ENDS,)
        (row,) = rows.in_states(move.account_id, False, ("withdrawn",))
        assert (row.subscription_id, row.note) == (ours.subscription, take_over.ENDED_THERE)
        assert MARK not in document["metadata"]


def test_what_is_refused_at_stripe_waits_with_the_reason(lite_app: Flask, tmp_path: Path) -> None:
    with moving(1) as move:
        move.bring(tmp_path / "read")
        document = move.double.objects["sub_0000"]
        boundary = document["items"]["data"][0]["current_period_end"]
        rows.plan(move.account_id, "cus_0000", "sub_0000", boundary, Method.CANCEL, document, NOW)
        document["schedule"] = "sub_sched_late"
        assert move.take()["sub_0000"].result == "waits"
        document["schedule"] = None
        assert move.take()["sub_0000"].result == "taken"


def _of(move: Move, name: str) -> list[str]:
    row = next(
        row for row in rows.in_states(move.account_id, False, ("taken_over", "undone")) if row.subscription_id == name
    )
    return [step["step"] for step in row.steps]


def test_each_step_is_kept(lite_app: Flask, tmp_path: Path) -> None:
    with moving(1) as move:
        move.bring(tmp_path / "read")
        move.take()
        move.undo()
        move.take(Method.CANCEL)
        assert _of(move, "sub_0000") == ["planned", "taken over", "undo planned", "undone", "planned", "taken over"]
