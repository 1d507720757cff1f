"""Which e-mail follows from an event. Pure: it looks at nothing but the event."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from portal_site.billing.events.actors import ActorType
from portal_site.billing.events.reading import StoredEvent
from portal_site.notices.kinds import REMINDERS, Kind

DAY = 24 * 60 * 60
Object = Mapping[str, Any]


@dataclass(frozen=True)
class Notice:
    """An e-mail that is to be written: of which kind, to whom, and about what.

    `key` says which event or date it is about: there is one e-mail for each. `values` are what the event knows and the rows
    may not know any more. `until` is when it is of no use any more. Of a refund the customer is that of the invoice.
    """

    kind: Kind
    account_id: str
    livemode: bool
    key: str
    customer_id: str | None = None
    subscription_id: str | None = None
    invoice_id: str | None = None
    payment_method_id: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    happened_at: int | None = None
    until: int | None = None

    @property
    def is_reminder(self) -> bool:
        """Whether it comes because of a date, and can be turned off by its reader."""
        return self.kind in REMINDERS


def notices_of(event: StoredEvent) -> list[Notice]:
    """The e-mails that follow from an event: mostly none, two where an address was changed."""
    find = _TRIGGERS.get(event.type)
    return find(event, event.data["object"], event.data.get("previous_attributes") or {}) if find else []


def _notice(event: StoredEvent, kind: Kind, **members: Any) -> Notice:
    owner = {"account_id": event.account_id, "livemode": event.livemode, "happened_at": event.created}
    return Notice(kind, **{"key": f"{kind}:{event.id}", **owner, **members})


# --- invoices ---------------------------------------------------------------------------------------------------------


def _of_invoice(event: StoredEvent, kind: Kind, invoice: Object, **members: Any) -> list[Notice]:
    return [_notice(event, kind, customer_id=invoice["customer"], invoice_id=invoice["id"], **members)]


def _failed(event: StoredEvent, invoice: Object, _previous: Object) -> list[Notice]:
    # Whoever is paying at this moment sees it on the page.
    if event.actor_type == ActorType.CUSTOMER or invoice["status"] not in ("open", "uncollectible"):
        return []
    return _of_invoice(event, Kind.PAYMENT_FAILED, invoice)


def _needs_action(event: StoredEvent, invoice: Object, _previous: Object) -> list[Notice]:
    if event.actor_type == ActorType.CUSTOMER:
        return []
    return _of_invoice(event, Kind.AUTHENTICATION_NEEDED, invoice)


def _finalized(event: StoredEvent, invoice: Object, _previous: Object) -> list[Notice]:
    is_sent = invoice["collection_method"] == "send_invoice" and invoice["amount_remaining"] > 0
    return _of_invoice(event, Kind.INVOICE_FINALIZED, invoice) if is_sent else []


def _paid(event: StoredEvent, invoice: Object, _previous: Object) -> list[Notice]:
    return _of_invoice(event, Kind.RECEIPT, invoice) if invoice["amount_paid"] > 0 else []


def _refunded(event: StoredEvent, refund: Object, previous: Object) -> list[Notice]:
    is_news = event.type == "refund.created" or previous.get("status") == "pending"
    if refund["status"] != "succeeded" or not is_news:
        return []
    invoice_id = f"in_{refund['payment_intent'].partition('_')[2]}"
    values = {"amount": refund["amount"], "currency": refund["currency"]}
    return [_notice(event, Kind.REFUND, invoice_id=invoice_id, values=values)]


# --- subscriptions ----------------------------------------------------------------------------------------------------


def _of_subscription(event: StoredEvent, kind: Kind, subscription: Object, **members: Any) -> list[Notice]:
    owner = {"customer_id": subscription["customer"], "subscription_id": subscription["id"]}
    return [_notice(event, kind, **owner, **members)]


def _updated(event: StoredEvent, subscription: Object, previous: Object) -> list[Notice]:
    if subscription["status"] in ("incomplete", "incomplete_expired"):
        return []  # it has not begun
    if "cancel_at" in previous or "cancel_at_period_end" in previous:
        return _cancellation_changed(event, subscription, previous)
    if "schedule" in previous and event.actor_type == ActorType.CUSTOMER:
        what = "planned" if subscription["schedule"] else "planned_undone"
        return _of_subscription(event, Kind.CHANGE_CONFIRMED, subscription, values={"what": what})
    if "items" in previous and _plan(previous["items"]) != _plan(subscription["items"]):
        return _of_subscription(event, Kind.CHANGE_CONFIRMED, subscription, values={"what": "plan"})
    if subscription["status"] == "trialing" and "trial_end" in previous:
        return _short_trial(event, subscription)
    return []


def _cancellation_changed(event: StoredEvent, subscription: Object, previous: Object) -> list[Notice]:
    ends = subscription["cancel_at_period_end"] or subscription["cancel_at"] is not None
    was_ending = previous.get("cancel_at_period_end", subscription["cancel_at_period_end"]) or previous.get(
        "cancel_at", subscription["cancel_at"]
    )
    # The end of a trial without a payment method is a date that comes and goes by itself.
    if bool(ends) == bool(was_ending) or _is_for_want_of_method(subscription, previous):
        return []
    if not ends:
        return _of_subscription(event, Kind.CHANGE_CONFIRMED, subscription, values={"what": "kept"})
    ends_at = subscription["cancel_at"] or min(each["current_period_end"] for each in subscription["items"]["data"])
    return _of_subscription(event, Kind.CANCELLATION_CONFIRMED, subscription, values={"ends_at": ends_at})


def _is_for_want_of_method(subscription: Object, previous: Object) -> bool:
    at = subscription["cancel_at"] if subscription["cancel_at"] is not None else previous.get("cancel_at")
    is_asked = subscription["canceled_at"] is not None or previous.get("canceled_at") is not None
    return subscription["status"] == "trialing" and at == subscription["trial_end"] and not is_asked


def _plan(items: Object) -> list[tuple[str, int | None]]:
    return sorted((item["price"], item["quantity"]) for item in items["data"])


def _short_trial(event: StoredEvent, subscription: Object) -> list[Notice]:
    """A trial that ends before a reminder would come is reminded of at its start."""
    end = subscription["trial_end"]
    if subscription["status"] != "trialing" or end is None:
        return []
    # Whether that is too short for the account's own days is known where its settings are.
    key = f"{Kind.TRIAL_ENDING}:{subscription['id']}:{end}:begun"
    return _of_subscription(event, Kind.TRIAL_ENDING, subscription, key=key, until=end, values={"ends_at": end})


def _created(event: StoredEvent, subscription: Object, _previous: Object) -> list[Notice]:
    return _short_trial(event, subscription)


def _deleted(event: StoredEvent, subscription: Object, _previous: Object) -> list[Notice]:
    ended_at = subscription["ended_at"] or event.created
    if event.actor_type == ActorType.CUSTOMER:
        values = {"ends_at": ended_at, "at_once": True}
        return _of_subscription(event, Kind.CANCELLATION_CONFIRMED, subscription, values=values)
    reason = (subscription["cancellation_details"] or {}).get("reason")
    return _of_subscription(
        event, Kind.SUBSCRIPTION_ENDED, subscription, values={"ends_at": ended_at, "reason": reason}
    )


def _paused(event: StoredEvent, subscription: Object, _previous: Object) -> list[Notice]:
    return _of_subscription(event, Kind.PAUSE_BEGUN, subscription)


def _resumed(event: StoredEvent, subscription: Object, _previous: Object) -> list[Notice]:
    return _of_subscription(event, Kind.CHANGE_CONFIRMED, subscription, values={"what": "resumed"})


# --- customers --------------------------------------------------------------------------------------------------------


def _customer_updated(event: StoredEvent, customer: Object, previous: Object) -> list[Notice]:
    if "email" not in previous:
        return []
    both = {"old": previous["email"], "new": customer["email"]}
    return [
        _notice(
            event, Kind.EMAIL_CHANGED, key=f"{Kind.EMAIL_CHANGED}:{event.id}:{to}", customer_id=customer["id"],
            values={**both, "to": to},
        )
        for to in ("old", "new") if both[to]
    ]  # fmt: skip


_TRIGGERS: Mapping[str, Callable[[StoredEvent, Object, Object], list[Notice]]] = {
    "customer.subscription.created": _created,
    "customer.subscription.deleted": _deleted,
    "customer.subscription.paused": _paused,
    "customer.subscription.resumed": _resumed,
    "customer.subscription.updated": _updated,
    "customer.updated": _customer_updated,
    "invoice.finalized": _finalized,
    "invoice.paid": _paid,
    "invoice.payment_action_required": _needs_action,
    "invoice.payment_failed": _failed,
    "refund.created": _refunded,
    "refund.updated": _refunded,
}
TYPES = frozenset(_TRIGGERS)
