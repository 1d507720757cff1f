"""Taking subscriptions over, one by one: Stripe is stopped first, and once it says so, it is billed here from the boundary on.

What is going to be done is stored before each call, so a command that is killed at any instant goes on when it is run again: it
asks Stripe where the subscription stands (`positions`), and nothing else decides what comes next.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from portal_site.billing.errors import StateChanged
from portal_site.billing.migration import (
    candidates,
    checks,
    local_subscriptions,
    positions,
    rows,
    stripe_api,
    stripe_previews,
)
from portal_site.billing.migration.checks import AtStripe, Method
from portal_site.billing.migration.comparison import Difference, compare
from portal_site.billing.migration.local_subscriptions import LocalSubscription
from portal_site.billing.migration.positions import MARK, Position
from portal_site.billing.migration.stripe_api import StripeApi
from portal_site.billing.models import TakeOver
from portal_site.billing.models.imported import STOPPING
from portal_site.db.json_columns import JsonObject
from portal_site.db.transactions import reading

LAST = 10 * 60  # seconds before the boundary in which Stripe is not told to stop any more, nor to go on
CYCLE = "subscription_cycle"
SHARED = ("balance", "amount due")  # what differs because another subscription of the customer is billed here already
NOT_HEEDED = "Stripe goes on billing it though it was told to stop: run it again"
UNFINISHED = "Stripe has not finished the invoice of its new period: run it again in an hour"
UNCLEAR = "Stripe has billed some periods since it was stopped and not others: a person has to look at it"
TOO_LATE = "it renews in a few minutes: Stripe goes on billing it"
BILLED_THERE = "Stripe billed the period before it was stopped: import again"
ENDED_THERE = "somebody ended or stopped it at Stripe meanwhile: import again"
DIFFERS = "its next invoice differs from Stripe's: {what}"


@dataclass(frozen=True, slots=True)
class Options:
    """What to take over, and how. `accept_differences` takes what would be billed otherwise than by Stripe."""

    method: Method
    livemode: bool = False
    only: frozenset[str] = frozenset()
    limit: int | None = None
    accept_differences: bool = False
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a subscription: `taken`, `would take`, `refused`, `withdrawn`, `undone` or `waits`, and why.

    `date`, `amount_due` and `currency` are those of the first invoice here.
    """

    result: str
    subscription: str
    customer: str
    why: tuple[str, ...] = ()
    date: int | None = None
    amount_due: int | None = None
    currency: str = ""


def take_over(api: StripeApi, account_id: str, options: Options, now: Callable[[], int]) -> Iterator[Outcome]:
    """Finish what was begun, then take over what can be. `now` is asked before each step: there may be hours between them."""
    if not options.dry_run:
        yield from resume(api, account_id, options.livemode, now)
    done = 0
    for customer, ids in candidates.of_customers(account_id, options.livemode, options.only):
        if options.limit is not None and done >= options.limit:
            return
        for outcome in _of_customer(api, account_id, customer, ids, options, now):
            done += outcome.result in ("taken", "would take")
            yield outcome


def resume(api: StripeApi, account_id: str, livemode: bool, now: Callable[[], int]) -> Iterator[Outcome]:
    """Let everything that was begun and not finished go on, or back."""
    from portal_site.billing.migration import undoing

    after = ""
    while found := rows.unfinished(account_id, livemode, after):
        for row in found:
            after = row.subscription_id
            yield safely(row, go_on if row.state == STOPPING else undoing.go_back, api, now)


Step = Callable[[StripeApi, TakeOver, Callable[[], int]], Outcome]


def safely(row: TakeOver, step: Step, api: StripeApi, now: Callable[[], int]) -> Outcome:
    """The outcome of a step; one that Stripe refuses, or that somebody else has taken, waits."""
    import stripe

    try:
        return step(api, row, now)
    except StateChanged as error:
        return _outcome("waits", row, str(error))
    except stripe.InvalidRequestError as error:
        return waits(row, f"Stripe refuses: {error.user_message or type(error).__name__}", now())


def at_stripe(api: StripeApi, customer_id: str) -> AtStripe:
    """A customer as Stripe has it now."""
    import stripe

    params: Any = {"customer": customer_id, "expand": ["data.latest_invoice"]}
    waiting: Any = {"customer": customer_id, "pending": True}
    try:
        customer = api.ask(lambda asked: asked.customers.retrieve(customer_id))
        if customer.get("deleted"):
            return AtStripe({}, 0, ())
        running = _all(api, lambda asked, more: asked.subscriptions.list({**params, **more}))
        pending = _all(api, lambda asked, more: asked.invoice_items.list({**waiting, **more}))
    except stripe.InvalidRequestError as error:
        if not stripe_api.is_missing(error):
            raise
        return AtStripe({}, 0, ())
    return AtStripe({one["id"]: one for one in running}, customer.get("balance") or 0, tuple(pending))


def go_on(api: StripeApi, row: TakeOver, now: Callable[[], int]) -> Outcome:
    """Stop Stripe, unless it is stopped, and bill it here; or leave it to Stripe where it is too late."""
    document, position = look(api, row)
    if position == Position.RUNNING:
        if row.boundary - now() < LAST:
            rows.withdraw(row, TOO_LATE, now())
            return _outcome("withdrawn", row, TOO_LATE)
        _tell(api, row, row.stop_key, _stop(row))
        document, position = look(api, row)
        if position == Position.RUNNING:
            return waits(row, NOT_HEEDED, now())
    if position == Position.STOPPED:
        rows.start(row, "taken over", now())
        return _outcome("taken", row, date=row.boundary)
    if position in (Position.UNFINISHED, Position.UNCLEAR):
        return waits(row, UNFINISHED if position == Position.UNFINISHED else UNCLEAR, now())
    if position == Position.BILLED and document is not None and document["status"] != "canceled":
        restore_marked(api, row, document)
    why = BILLED_THERE if position == Position.BILLED else ENDED_THERE
    rows.withdraw(row, why, now())
    return _outcome("withdrawn", row, why)


def look(api: StripeApi, row: TakeOver) -> tuple[JsonObject | None, Position]:
    """The subscription at Stripe, and where that is."""
    import stripe

    try:
        document = api.ask(lambda asked: asked.subscriptions.retrieve(row.subscription_id))
    except stripe.InvalidRequestError as error:
        if not stripe_api.is_missing(error):
            raise
        return None, positions.of(row, None)
    later: list[JsonObject] = []
    if positions.needs_invoices(row, document):
        params: Any = {"subscription": row.subscription_id, "created": {"gte": row.boundary}}
        found = _all(api, lambda asked, more: asked.invoices.list({**params, **more}))
        later = [one for one in found if one.get("billing_reason") == CYCLE]
    return document, positions.of(row, document, later)


def restore(api: StripeApi, row: TakeOver) -> None:
    """Let Stripe bill it again as before."""
    cancels = row.method == Method.CANCEL
    params: Any = {"cancel_at_period_end": False, "proration_behavior": "none"} if cancels else {"pause_collection": ""}
    _tell(api, row, row.restore_key, {**params, "metadata": {MARK: ""}})


def restore_marked(api: StripeApi, row: TakeOver, document: JsonObject) -> None:
    """Take back what was done to a subscription that Stripe had billed already."""
    if (document.get("metadata") or {}).get(MARK) == row.mark:
        restore(api, row)


def waits(row: TakeOver, why: str, at: int) -> Outcome:
    """Store that it does not go on yet, and why."""
    rows.remember(row, why, at)
    return _outcome("waits", row, why)


def difference(
    local: LocalSubscription, preview: JsonObject | None, *, is_shared: bool = False
) -> tuple[Difference, ...]:
    """How the next invoice here differs from Stripe's preview. With `is_shared` the balance is used here already."""
    bill = stripe_previews.bill(preview) if preview is not None else None
    found = compare(local.bill, bill, computes_tax=preview is not None and stripe_previews.computes_tax(preview))
    return tuple(one for one in found if one.what not in SHARED) if is_shared else found


def _stop(row: TakeOver) -> JsonObject:
    cancels = row.method == Method.CANCEL
    params: JsonObject = {"pause_collection": {"behavior": "void"}}
    if cancels:
        params = {"cancel_at_period_end": True, "proration_behavior": "none"}
    return {**params, "metadata": {MARK: row.mark}}


def _tell(api: StripeApi, row: TakeOver, key: str, params: Any) -> None:
    api.ask(lambda asked: asked.subscriptions.update(row.subscription_id, params, {"idempotency_key": key}))


def _of_customer(
    api: StripeApi, account_id: str, customer: str, ids: Sequence[str], options: Options, now: Callable[[], int]
) -> Iterator[Outcome]:
    """Take a customer's subscriptions over: they share a balance, so it is decided about all of them first."""
    with reading() as reader:
        group = local_subscriptions.load(reader, account_id, [customer], ids, now())
    there, taken = at_stripe(api, customer), rows.taken(account_id, customer)
    problems = {one.id: checks.of_subscription(one, there, options.method, now()) for one in group}
    staying = set(there.subscriptions) - {one.id for one in group if not problems[one.id]} - taken
    of_all = None if taken else checks.of_balance(group, there, staying)
    for one in group:
        why = [*problems[one.id], *([of_all] if of_all else [])]
        if not why and not options.accept_differences:
            why = _differs(api, one, is_shared=bool(taken))
        if why:
            yield Outcome("refused", one.id, customer, tuple(why))
            continue
        if options.dry_run:
            yield _would(one)
            continue
        try:
            row = rows.plan(
                account_id, customer, one.id, one.boundary, options.method, there.subscriptions[one.id], now()
            )
        except StateChanged as error:
            yield Outcome("refused", one.id, customer, (str(error),))
            continue
        outcome = safely(row, go_on, api, now)
        yield _would(one, "taken") if outcome.result == "taken" else outcome


def _differs(api: StripeApi, one: LocalSubscription, *, is_shared: bool) -> list[str]:
    """What speaks against a take-over because of Stripe's preview."""
    try:
        found = difference(one, stripe_previews.preview(api, one.id), is_shared=is_shared)
    except stripe_previews.NoPreview as error:
        return [str(error)]
    return [DIFFERS.format(what="; ".join(dict.fromkeys(each.reason for each in found)))] if found else []


def _would(one: LocalSubscription, result: str = "would take") -> Outcome:
    bill = one.bill
    due, currency = (bill.amount_due, bill.currency) if bill else (None, "")
    return Outcome(
        result, one.id, one.customer_id, date=bill.date if bill else one.boundary, amount_due=due, currency=currency
    )


def _outcome(result: str, row: TakeOver, *why: str, date: int | None = None) -> Outcome:
    return Outcome(result, row.subscription_id, row.customer_id, why, date)


def _all(api: StripeApi, question: Callable[[Any, JsonObject], Any]) -> list[JsonObject]:
    """All objects of a short list, such as a customer's."""
    found: list[JsonObject] = []
    more: JsonObject = {"limit": 100}
    while True:
        page = api.ask(lambda asked, more=more: question(asked, more))  # type: ignore[misc]
        found += page["data"]
        if not page.get("has_more") or not page["data"]:
            return found
        more = {"limit": 100, "starting_after": page["data"][-1]["id"]}
