"""Where a subscription stands at Stripe, by what Stripe says of it and of its invoices since the boundary."""

from typing import Any

import pytest

from portal_site.billing.migration import positions
from portal_site.billing.migration.checks import Method
from portal_site.billing.migration.positions import MARK, Position
from portal_site.billing.models import TakeOver
from tests.stripe.billing_double import DAY, MONTH, NOW

VOID, PAID, DRAFT = ({"status": status, "total": 1200} for status in ("void", "paid", "draft"))
EMPTY = {"status": "paid", "total": 0}
STOPPED: dict[str, Any] = {"cancel_at_period_end": True, "pause_collection": {"behavior": "void"}}


def _row(method: Method) -> TakeOver:
    return TakeOver(subscription_id="sub_one", method=str(method), boundary=NOW, mark="tko_one")


def _at_stripe(end: int = NOW, *, marked: bool = True, **members: Any) -> dict[str, Any]:
    return {
        "status": "active", "cancel_at_period_end": False, "cancel_at": None, "pause_collection": None, "ended_at": None,
        "metadata": {MARK: "tko_one"} if marked else {}, "items": {"data": [{"current_period_end": end}]}, **members,
    }  # fmt: skip


@pytest.mark.parametrize("method", Method)
@pytest.mark.parametrize(
    ("document", "position"),
    [
        (None, Position.ENDED),
        (_at_stripe(), Position.RUNNING),
        (_at_stripe(marked=False), Position.RUNNING),
        (_at_stripe(**STOPPED), Position.STOPPED),
        (_at_stripe(marked=False, **STOPPED), Position.ENDED),  # somebody else did
        (_at_stripe(status="past_due"), Position.ENDED),
        (_at_stripe(NOW - DAY), Position.ENDED),  # its billing day was moved
        (_at_stripe(NOW + MONTH, marked=False), Position.BILLED),
        (_at_stripe(status="canceled", ended_at=NOW - DAY), Position.ENDED),
    ],
)
def test_before_the_boundary(method: Method, document: dict[str, Any] | None, position: Position) -> None:
    assert positions.of(_row(method), document) == position


@pytest.mark.parametrize(
    ("document", "position"),
    [
        (_at_stripe(status="canceled", ended_at=NOW), Position.STOPPED),
        (_at_stripe(status="canceled", ended_at=NOW, marked=False), Position.ENDED),
        (_at_stripe(NOW + MONTH, **STOPPED), Position.BILLED),
        (_at_stripe(NOW + MONTH, status="canceled", ended_at=NOW + MONTH), Position.BILLED),
    ],
)
def test_what_was_to_be_canceled_after_the_boundary(document: dict[str, Any], position: Position) -> None:
    assert positions.of(_row(Method.CANCEL), document) == position
    assert not positions.needs_invoices(_row(Method.CANCEL), document)


@pytest.mark.parametrize(
    ("invoices", "paused", "position"),
    [
        ([VOID], True, Position.STOPPED),
        ([VOID, EMPTY], True, Position.STOPPED),
        ([PAID], True, Position.BILLED),
        ([PAID, VOID], True, Position.UNCLEAR),  # a person has to look
        ([VOID], False, Position.UNCLEAR),  # somebody lets Stripe collect again
        ([PAID], False, Position.BILLED),
        ([DRAFT], True, Position.UNFINISHED),
        ([], True, Position.UNFINISHED),
    ],
)
def test_what_was_to_be_paused_after_the_boundary(
    invoices: list[dict[str, Any]], paused: bool, position: Position
) -> None:
    document = _at_stripe(NOW + MONTH, pause_collection={"behavior": "void"} if paused else None)
    row = _row(Method.PAUSE)
    assert positions.needs_invoices(row, document)
    assert positions.of(row, document, invoices) == position
