"""What happened about a customer and who did it, from the events that name the customer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from portal_site.billing.events.actors import ActorType
from portal_site.billing.models import ApiKey, Event
from portal_site.dashboard.reads import people
from portal_site.db.page_query import literal_limit
from portal_site.db.transactions import reading
from portal_site.web.rendering.filters import minute, money

SHOWN = 20
WORDS: Mapping[str, str] = {
    "customer.created": "Customer created",
    "customer.updated": "Customer changed",
    "customer.tax_id.created": "Tax ID {value} added",
    "customer.tax_id.deleted": "Tax ID {value} removed",
    "customer.discount.created": "Discount given",
    "customer.discount.updated": "Discount changed",
    "customer.discount.deleted": "Discount ended",
    "customer.subscription.created": "Subscription created",
    "customer.subscription.updated": "Subscription changed",
    "customer.subscription.paused": "Subscription paused",
    "customer.subscription.resumed": "Subscription resumed",
    "customer.subscription.deleted": "Subscription ended",
    "customer.subscription.pending_update_applied": "Plan change paid and made",
    "customer.subscription.pending_update_expired": "Plan change not paid in time",
    "subscription_schedule.created": "Plan change planned",
    "subscription_schedule.updated": "Planned change made, or changed",
    "subscription_schedule.canceled": "Planned change undone",
    "subscription_schedule.released": "Planned change over",
    "invoice.created": "Invoice {number} created",
    "invoice.updated": "Invoice {number} changed",
    "invoice.finalized": "Invoice {number} finalized, {total}",
    "invoice.paid": "Invoice {number} paid",
    "invoice.payment_failed": "Payment of invoice {number} failed",
    "invoice.payment_action_required": "Invoice {number} waits for the customer’s bank",
    "invoice.marked_uncollectible": "Invoice {number} given up",
    "invoice.voided": "Invoice {number} voided",
    "invoice.deleted": "Draft invoice thrown away",
    "invoiceitem.created": "{amount} noted for the next invoice",
    "credit_note.created": "Credit note {number} over {amount}",
    "charge.succeeded": "{amount} charged",
    "charge.failed": "Charge of {amount} failed",
    "charge.pending": "Debit of {amount} under way at the bank",
    "charge.refunded": "Charge refunded",
    "charge.dispute.created": "Payment of {amount} disputed",
    "charge.dispute.updated": "Dispute of {amount} changed",
    "charge.dispute.closed": "Dispute of {amount} over",
    "charge.dispute.funds_withdrawn": "{amount} taken back by the bank",
    "charge.dispute.funds_reinstated": "{amount} returned by the bank",
    "credit_note.voided": "Credit note {number} void",
    "refund.created": "Refund of {amount}",
    "refund.updated": "Refund of {amount} changed",
    "refund.failed": "Refund of {amount} failed",
    "payment_intent.requires_action": "Payment of {amount} waits for the customer’s bank",
    "payment_intent.processing": "Payment of {amount} under way at the bank",
    "payment_intent.canceled": "Payment of {amount} canceled",
    "payment_method.attached": "Payment method added",
    "payment_method.updated": "Payment method changed",
    "payment_method.detached": "Payment method removed",
    "setup_intent.created": "Saving a payment method begun",
    "setup_intent.requires_action": "Saving a payment method waits for the customer’s bank",
    "setup_intent.setup_failed": "Payment method declined",
    "setup_intent.canceled": "Saving a payment method canceled",
    "checkout.session.completed": "Payment method saved on a page",
    "checkout.session.expired": "Page for a payment method expired",
    "billing_portal.session.created": "Portal link made",
}  # fmt: skip
# What other events of the same change say already.
REPEATED = (
    "invoice.payment_succeeded", "invoice_payment.paid", "payment_intent.created", "payment_intent.succeeded",
    "payment_intent.payment_failed", "setup_intent.succeeded",
)  # fmt: skip
CHANGED = {"customer.updated", "customer.subscription.updated", "invoice.updated"}
ACTORS = {
    ActorType.CUSTOMER: "The customer",
    ActorType.WORKER: "The worker, when it was due",
    ActorType.IMPORT: "An import",
    ActorType.OPERATOR: "An operator at the command line",
    ActorType.PROVIDER: "The payment provider",
}


@dataclass(frozen=True)
class Happening:
    """An event in words, the members that it changed, and who did it."""

    at: int
    type: str
    words: str
    changed: str
    actor: str


@dataclass(frozen=True)
class History:
    """A page of what happened, the newest first. `before` is where the next page begins, if there is one."""

    happenings: Sequence[Happening]
    before: int | None
    begins_late: str  # that older events are not known, in words


def newest(account_id: str, customer_id: str, before: int | None) -> Any:
    """A page of a customer's events, and one more."""
    columns = Event.sequence, Event.created, Event.type, Event.data, Event.actor_type, Event.actor_id
    mine = Event.account_id == account_id, Event.customer_id == customer_id
    query = select(*columns).where(*mine, Event.sequence.is_not(None), Event.type.not_in(REPEATED))
    if before is not None:
        query = query.where(Event.sequence < before)
    return query.order_by(Event.sequence.desc()).limit(literal_limit(SHOWN + 1))


def find(account_id: str, customer_id: str, created: int, before: int | None) -> History:
    """What happened about a customer who was created at `created`, before the event of a number."""
    with reading() as reader:
        rows = reader.execute(newest(account_id, customer_id, before)).all()
        shown = rows[:SHOWN]
        keys = {row.actor_id for row in shown if row.actor_type == ActorType.API_KEY}
        query = select(ApiKey.id, ApiKey.name, ApiKey.redacted).where(
            ApiKey.account_id == account_id, ApiKey.id.in_(keys)
        )
        names = {row.id: f"API key {row.name or row.redacted}" for row in reader.execute(query)} if keys else {}
    names |= people.names([row.actor_id for row in shown if row.actor_type == ActorType.USER])
    happenings = [
        Happening(row.created, row.type, words(row.type, row.data), _changed(row.type, row.data), _actor(row, names))
        for row in shown
    ]
    more = shown[-1].sequence if len(rows) > SHOWN else None
    return History(happenings, more, "" if more else _begins_late(shown, created))


def _begins_late(shown: Sequence[Any], created: int) -> str:
    """That the list is not whole: events name the customer only since a version of this program, and imports emit none."""
    if any(row.type == "customer.created" for row in shown):
        return ""
    if not shown:
        return f"Nothing is listed yet of this customer, who was created on {minute(created)}."
    begin = minute(shown[-1].created)
    return f"The list begins on {begin}. The customer was created on {minute(created)}; what happened before is not listed."


def words(kind: str, data: Mapping[str, Any]) -> str:
    """An event in words."""
    thing: Mapping[str, Any] = data.get("object") or {}
    values = {
        "number": thing.get("number") or "",
        "value": thing.get("value") or "",
        "amount": _money(thing, "amount"),
        "total": _money(thing, "total"),
    }
    written = WORDS.get(kind, kind).format(**values)
    return " ".join(written.split())


def _money(thing: Mapping[str, Any], member: str) -> str:
    amount, currency = thing.get(member), thing.get("currency")
    return money(amount, currency) if isinstance(amount, int) and isinstance(currency, str) else ""


def _changed(kind: str, data: Mapping[str, Any]) -> str:
    """The members that an event says were different before."""
    if kind not in CHANGED:
        return ""
    return ", ".join(name.replace("_", " ") for name in data.get("previous_attributes") or {})


def _actor(row: Any, names: Mapping[str, str]) -> str:
    if row.actor_type == ActorType.USER:
        return names.get(row.actor_id or "", "Somebody of the team")
    if row.actor_type == ActorType.API_KEY:
        return names.get(row.actor_id or "", "A program, by an API key")
    return ACTORS.get(row.actor_type, "Not known")
