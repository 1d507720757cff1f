"""What has become of a subscription at Stripe that is being stopped, or put back. Pure: it gets what Stripe says of it now."""

from collections.abc import Sequence
from enum import StrEnum

from portal_site.billing.migration import stripe_previews
from portal_site.billing.migration.checks import TAKEN, Method
from portal_site.billing.models import TakeOver
from portal_site.db.json_columns import JsonObject

MARK = "portal_take_over"  # in the metadata of Stripe's subscription


class Position(StrEnum):
    """Where a subscription stands at Stripe, seen from the boundary at which it is to be billed here."""

    RUNNING = "running"  # Stripe will bill the boundary
    STOPPED = "stopped"  # Stripe will not bill it, or has not
    BILLED = "billed"  # Stripe has billed it
    UNFINISHED = "unfinished"  # Stripe has an invoice of it that is not finished
    ENDED = "ended"  # somebody else ended or stopped it there
    UNCLEAR = "unclear"  # Stripe has billed some of the periods since, and others not


def of(row: TakeOver, document: JsonObject | None, later: Sequence[JsonObject] = ()) -> Position:
    """The position of a subscription as Stripe has it (None: not any more). `later` are its invoices since the boundary."""
    if document is None:
        return Position.ENDED
    end = stripe_previews.period_end(document)
    if end is None or end < row.boundary:
        return Position.ENDED  # its billing day was moved
    marked = (document.get("metadata") or {}).get(MARK) == row.mark
    judge = _canceled if row.method == Method.CANCEL else _paused
    return judge(row, document, end, marked, later)


def needs_invoices(row: TakeOver, document: JsonObject | None) -> bool:
    """Whether only the invoices since the boundary tell: the subscription has gone on, with or without collection."""
    if document is None or row.method == Method.CANCEL:
        return False
    return (stripe_previews.period_end(document) or 0) > row.boundary


def _canceled(row: TakeOver, document: JsonObject, end: int, marked: bool, _later: Sequence[JsonObject]) -> Position:
    if end > row.boundary:
        return Position.BILLED
    if document["status"] == "canceled":
        ended = document.get("ended_at") or 0
        return Position.STOPPED if marked and ended >= row.boundary else Position.ENDED
    if document.get("cancel_at_period_end") or document.get("cancel_at"):
        return Position.STOPPED if marked and document.get("cancel_at_period_end") else Position.ENDED
    return Position.RUNNING if document["status"] in TAKEN else Position.ENDED


def _paused(row: TakeOver, document: JsonObject, end: int, marked: bool, later: Sequence[JsonObject]) -> Position:
    is_paused = document.get("pause_collection") is not None
    if end > row.boundary:
        position = _of_invoices(later) if marked else Position.BILLED
        return Position.UNCLEAR if position == Position.STOPPED and not is_paused else position
    if document["status"] == "canceled":
        return Position.ENDED
    if is_paused:
        return Position.STOPPED if marked else Position.ENDED
    return Position.RUNNING if document["status"] in TAKEN else Position.ENDED


def _of_invoices(later: Sequence[JsonObject]) -> Position:
    """What the invoices of a paused subscription since the boundary say: void and empty ones were not billed."""
    statuses = {one.get("status") if one.get("total") or one.get("status") == "draft" else "void" for one in later}
    if not statuses or "draft" in statuses:
        return Position.UNFINISHED
    if statuses == {"void"}:
        return Position.STOPPED
    return Position.UNCLEAR if "void" in statuses else Position.BILLED
