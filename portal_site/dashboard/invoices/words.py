"""Payments, refunds, credit notes and disputes in words."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask import url_for

from portal_site.billing.gateways.stripe.gateway import NAME as STRIPE
from portal_site.billing.payments.disputes import CLOSED, INQUIRY
from portal_site.billing.rules.subscriptions.statuses import AttemptStatus
from portal_site.dashboard.modes import LIVE, TEST
from portal_site.dashboard.reads.checklist import State
from portal_site.dashboard.reads.invoice_money import Alert
from portal_site.portal.reads.invoice_parts import PaidWith
from portal_site.portal.wording import payment_methods
from portal_site.web.rendering.filters import date, minute, money

PAYMENTS = {
    AttemptStatus.SUCCEEDED: State("Paid", "good"),
    AttemptStatus.DECLINED: State("Declined", "bad"),
    AttemptStatus.PROCESSING: State("Under way at the bank", "note"),
    AttemptStatus.REQUIRES_ACTION: State("Waits for the customer", "note"),
}
UNKNOWN = State("No answer yet", "note")
REFUNDS = {
    "succeeded": State("Refunded", "good"),
    "pending": State("On its way", "note"),
    "failed": State("Failed", "bad"),
}
ISSUED, VOID = State("Issued", "good"), State("Void", "quiet")
DISPUTES = {
    "warning_needs_response": State("Inquiry: needs a response", "bad"),
    "warning_under_review": State("Inquiry under review", "note"), "warning_closed": State("Inquiry closed", "good"),
    "needs_response": State("Needs a response", "bad"),
    "under_review": State("Under review at the bank", "note"), "won": State("Won", "good"), "lost": State("Lost", "bad"),
    "prevented": State("Prevented", "good"),
}  # fmt: skip
AT_STRIPE = "https://dashboard.stripe.com"
ARRIVED_NOT = "The money did not arrive. Refund it again, or credit it to the balance."


@dataclass(frozen=True)
class Entry:
    """One row: what it is, more about it, since when (`when` in words), and how it stands.

    `address` is where more is done about it, and `action` what.
    """

    name: str
    details: Sequence[str]
    created: int
    when: str
    state: State
    address: str = ""
    action: str = ""


@dataclass(frozen=True)
class Group:
    """The rows of a kind."""

    id: str
    title: str
    entries: Sequence[Entry]


def groups(rows: Mapping[str, Sequence[Mapping[str, Any]]], livemode: bool) -> list[Group]:
    """The kinds of which there is something."""
    kinds: tuple[tuple[str, str, Callable[[Mapping[str, Any]], Entry]], ...] = (
        ("disputes", "Disputes", lambda row: _dispute(row, livemode)),
        ("payments", "Payments", _payment),
        ("refunds", "Refunds", _refund),
        ("notes", "Credit notes", _note),
    )
    return [Group(name, title, [entry(row) for row in rows[name]]) for name, title, entry in kinds if rows[name]]


def _payment(row: Mapping[str, Any]) -> Entry:
    method = payment_methods.short_name(PaidWith(row["type"], row["brand"], row["last4"], row["label"]))
    reason = (row["decline_code"] or "").replace("_", " ").capitalize()
    state = PAYMENTS.get(row["status"], UNKNOWN)
    return Entry(_money(row), _some(method, reason, row["gateway_reference"]), *_when(row), state)


def _refund(row: Mapping[str, Any]) -> Entry:
    reason = (row["reason"] or "").replace("_", " ").capitalize()
    note = f"Credit note {row['note']}" if row["note"] else ""
    hint = ARRIVED_NOT if row["status"] == "failed" else ""
    details = _some(reason, note, row["gateway_reference"], hint)
    return Entry(_money(row), details, *_when(row), REFUNDS.get(row["status"], UNKNOWN))


def _note(row: Mapping[str, Any]) -> Entry:
    where = "For a refund" if row["refund_id"] else "Credited to the balance" if row["post_payment_amount"] else ""
    less = "Taken off what was due" if row["pre_payment_amount"] else ""
    state = VOID if row["voided_at"] else ISSUED
    return Entry(f"{row['number']}: {_money(row)}", _some(less, where, row["memo"]), *_when(row), state)


def _dispute(row: Mapping[str, Any], livemode: bool) -> Entry:
    reason = row["reason"].replace("_", " ").capitalize()
    taken = "The bank has the money." if row["is_withdrawn"] else ""
    at_stripe = f"{AT_STRIPE}{'' if livemode else '/test'}/disputes/{row['gateway_reference']}"
    return Entry(
        _money(row), _some(reason, taken, _answer_by(row["status"], row["evidence_due_by"])), *_when(row),
        DISPUTES.get(row["status"], UNKNOWN), at_stripe if row["gateway"] == STRIPE else "",
        "Respond at Stripe" if _waits(row["status"]) else "See it at Stripe",
    )  # fmt: skip


def _answer_by(status: str, due_by: int | None) -> str:
    return f"Respond by {date(due_by)}." if due_by and _waits(status) else ""


def _waits(status: str) -> bool:
    return status.endswith("needs_response")


def _when(row: Mapping[str, Any]) -> tuple[int, str]:
    return row["created"], minute(row["created"])


def _money(row: Mapping[str, Any]) -> str:
    return money(row["amount"], row["currency"])


def _some(*words: str | None) -> list[str]:
    return [word for word in words if word]


def alerts(found: Iterable[Alert], account_id: str, *, names_customer: bool) -> list[tuple[str, str]]:
    """What needs somebody's attention, as sentence and URL of the invoice's page."""
    return [(alert(one, names_customer=names_customer), _place(one, account_id)) for one in found]


def amount(one: Alert) -> str:
    """How much it is about."""
    return money(one.amount, one.currency)


def alert(one: Alert, *, names_customer: bool) -> str:
    """What needs somebody's attention, as a sentence."""
    who = f" of {one.customer}" if names_customer else ""
    if one.kind == "refund":
        return f"The refund of {amount(one)} for invoice {one.number}{who} failed."
    begin = "The bank asks about" if one.status.startswith(INQUIRY) else "A dispute is open about"
    words = f"{begin} the payment of {amount(one)} for invoice {one.number}{who}."
    return " ".join(_some(words, "" if one.status in CLOSED else _answer_by(one.status, one.due_by)))


def _place(one: Alert, account_id: str) -> str:
    mode = LIVE if one.livemode else TEST
    return url_for(
        "dashboard.show_invoice",
        account_id=account_id,
        mode=mode,
        customer_id=one.customer_id,
        invoice_id=one.invoice_id,
    )
