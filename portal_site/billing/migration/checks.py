"""What speaks against taking a subscription over now. Pure: it gets what is here, and Stripe's objects as they are."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from portal_site.billing.migration import stripe_previews
from portal_site.billing.migration.local_subscriptions import LocalSubscription
from portal_site.db.json_columns import JsonObject

MARGIN = 60 * 60  # seconds before a renewal in which nothing is begun
TAKEN = ("active", "trialing")
AGAIN = "import again"
GONE = "Stripe has no such subscription any more"
NOT_RUNNING = "it is {status} at Stripe, which has to collect what it billed first"
ENDS = "it ends at Stripe by itself"
PAUSED = "its collection is paused at Stripe"
CHANGING = "a change of it waits for its payment at Stripe"
OTHER_PERIOD = f"its period is another one at Stripe: {AGAIN}"
OTHER_ITEMS = f"its items are others at Stripe: {AGAIN}"
SOON = "it renews within an hour: run it again afterwards, when its new period is imported"
UNFINISHED = "Stripe has not finished the invoice of its present period: run it again in an hour"
NOT_LOOKED_AT = f"no import of this version has looked at it: {AGAIN}"
NO_METHOD = "its customer has no payment method that is charged through the connected account"
SCHEDULED = "it has a schedule, beside which Stripe cancels nothing: use --method pause"
MIXED = "its items have different periods, of which Stripe's end is only one: use --method pause"
PENDING = "Stripe bills its pending invoice items when it ends: use --method pause, or wait until they are billed"
UNKNOWN_PENDING = f"it has pending invoice items that are not here: {AGAIN}"
OF_CUSTOMER = "its customer has pending invoice items that any other subscription at Stripe would bill as well"
BALANCE = f"its customer's balance is another one at Stripe: {AGAIN}"
SHARED_BALANCE = "its customer has a balance, which subscriptions that stay at Stripe would use as well"


class Method(StrEnum):
    """How Stripe is stopped: the subscription ends there with its period, or goes on with invoices that are void."""

    CANCEL = "cancel"
    PAUSE = "pause"


@dataclass(frozen=True, slots=True)
class AtStripe:
    """A customer at Stripe: its running subscriptions by id, its balance, and its pending invoice items."""

    subscriptions: dict[str, JsonObject]
    balance: int
    pending: tuple[JsonObject, ...]


def of_subscription(local: LocalSubscription, there: AtStripe, method: Method, at: int) -> list[str]:
    """The reasons against taking this subscription over now."""
    document = there.subscriptions.get(local.id)
    if document is None:
        return [GONE]
    return [*_of_state(local, document, at), *_of_local(local), *_of_method(local, document, there, method)]


def _of_state(local: LocalSubscription, document: JsonObject, at: int) -> Iterator[str]:
    if document["status"] not in TAKEN or local.status not in TAKEN:
        yield NOT_RUNNING.format(status=document["status"])
    if document.get("cancel_at_period_end") or document.get("cancel_at"):
        yield ENDS
    if document.get("pause_collection"):
        yield PAUSED
    if document.get("pending_update"):
        yield CHANGING
    if stripe_previews.period_end(document) != local.boundary:
        yield OTHER_PERIOD
    if {one["id"] for one in document["items"]["data"]} != local.items:
        yield OTHER_ITEMS
    if local.boundary - at < MARGIN:
        yield SOON
    latest = document.get("latest_invoice")
    if isinstance(latest, dict) and latest.get("status") == "draft":
        yield UNFINISHED


def _of_local(local: LocalSubscription) -> Iterator[str]:
    if local.unbillable is None:
        yield NOT_LOOKED_AT
    yield from local.unbillable or ()
    if local.collection_method == "charge_automatically" and not local.is_charged:
        yield NO_METHOD


def _of_method(local: LocalSubscription, document: JsonObject, there: AtStripe, method: Method) -> Iterator[str]:
    pending = {str(one["id"]) for one in there.pending if _subscription(one) == local.id}
    loose = {str(one["id"]) for one in there.pending if _subscription(one) is None}
    if not pending <= local.pending:
        yield UNKNOWN_PENDING
    if loose and len(there.subscriptions) > 1:
        yield OF_CUSTOMER
    elif not loose <= local.pending:
        yield UNKNOWN_PENDING
    if method == Method.CANCEL:
        if document.get("schedule"):
            yield SCHEDULED
        if stripe_previews.has_mixed_periods(document):
            yield MIXED
        if pending or loose:
            yield PENDING


def of_balance(group: Sequence[LocalSubscription], there: AtStripe, staying: Collection[str]) -> str | None:
    """What speaks against all of a customer's: a balance that is used on both sides. `staying` are those that Stripe bills on."""
    if any(one.balance != there.balance for one in group):
        return BALANCE
    return SHARED_BALANCE if there.balance and staying else None


def _subscription(item: JsonObject) -> str | None:
    """The subscription that a pending item belongs to; None if any of the customer's may bill it."""
    parent = (item.get("parent") or {}).get("subscription_details") or {}
    return stripe_previews.name_of(parent.get("subscription")) or stripe_previews.name_of(item.get("subscription"))
