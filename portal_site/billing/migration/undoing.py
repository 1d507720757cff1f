"""The way back, until the first bill: nothing is billed here first, then Stripe is told to bill as before."""

from collections.abc import Callable, Iterator

from portal_site.billing.errors import BillingError, StateChanged
from portal_site.billing.gateways.registry import Gateways
from portal_site.billing.gateways.stripe import connections
from portal_site.billing.gateways.stripe.connections import StripeConnector
from portal_site.billing.gateways.stripe.gateway import NAME
from portal_site.billing.migration import rows, stripe_previews
from portal_site.billing.migration.positions import Position
from portal_site.billing.migration.stripe_api import Pace, StripeApi
from portal_site.billing.migration.take_over import (
    LAST,
    UNCLEAR,
    UNFINISHED,
    Outcome,
    go_on,
    look,
    restore,
    safely,
    waits,
)
from portal_site.billing.models import TakeOver
from portal_site.billing.models.imported import IN_FORCE, STOPPING, UNDOING

SILENT = 15 * 60  # seconds after which a command is taken for gone
NOT_HEEDED = "Stripe does not bill it though it was told to: run it again"
KEPT = "it is too late for Stripe to bill it: it is billed here"
ENDED_THERE = "somebody ended it at Stripe meanwhile"


def undo(
    api: StripeApi, account_id: str, livemode: bool, only: frozenset[str], now: Callable[[], int]
) -> Iterator[Outcome]:
    """Let Stripe bill again what was taken over and has not been billed here: these subscriptions, or (none named) all.

    What was begun and not finished goes back as well.
    """
    after = ""
    while found := rows.in_states(account_id, livemode, IN_FORCE, after):
        for row in found:
            after = row.subscription_id
            if not only or row.subscription_id in only:
                yield _undo(api, row, now)


def _undo(api: StripeApi, row: TakeOver, now: Callable[[], int]) -> Outcome:
    if row.state == STOPPING:
        outcome = safely(row, go_on, api, now)
        if outcome.result != "taken":
            return outcome
    if row.state != UNDOING:
        try:
            row = rows.stop(row.account_id, row.subscription_id, now())
        except StateChanged as error:
            return _outcome("refused", row, str(error))
    return safely(row, go_back, api, now)


def go_back(api: StripeApi, row: TakeOver, now: Callable[[], int]) -> Outcome:
    """Put Stripe back, unless it is back; or go on billing it here where Stripe has not billed and cannot any more."""
    document, position = look(api, row)
    is_there = (
        document is not None
        and document["status"] != "canceled"
        and stripe_previews.period_end(document) == row.boundary
    )
    if position == Position.STOPPED and is_there and row.boundary - now() >= LAST:
        restore(api, row)
        document, position = look(api, row)
        if position == Position.STOPPED:
            return waits(row, NOT_HEEDED, now())
    if position == Position.STOPPED:
        rows.start(row, "kept", now())
        return _outcome("taken", row, KEPT)
    if position in (Position.UNFINISHED, Position.UNCLEAR):
        return waits(row, UNFINISHED if position == Position.UNFINISHED else UNCLEAR, now())
    why = (ENDED_THERE,) if position == Position.ENDED else ()
    rows.undone(row, now(), *why)
    return _outcome("undone", row, *why)


def finish_interrupted(gateways: Gateways, at: int, pace: Pace) -> list[Outcome]:
    """Let what was begun by a command that is gone go on, or back; what Stripe does not answer now is tried again later."""
    connector, outcomes = gateways.connector(NAME), []
    for row in rows.left_behind(at - SILENT) if isinstance(connector, StripeConnector) else ():
        if row.steps[-1]["at"] >= at - SILENT:
            continue
        connection = connections.find(row.account_id, row.livemode)
        if connection is None or not isinstance(connector, StripeConnector):
            continue
        try:
            api = StripeApi(connector.client_of(connection), pace, most_tries=1)
            outcomes.append(safely(row, go_on if row.state == STOPPING else go_back, api, lambda: at))
        except BillingError as error:
            outcomes.append(_outcome("waits", row, str(error)))
    return outcomes


def _outcome(result: str, row: TakeOver, *why: str) -> Outcome:
    return Outcome(result, row.subscription_id, row.customer_id, why)
