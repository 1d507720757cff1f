"""Tables for the command line: formatted on a terminal, plain text otherwise."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table

from portal_site.billing.cancellation.retention_results import Result
from portal_site.billing.invoicing.drafts import Draft
from portal_site.billing.models import ApiKey, WebhookDelivery, WebhookEndpoint
from portal_site.billing.rules.amounts import money
from portal_site.billing.rules.retention.experiment import FEWEST, Difference


def show(table: Table) -> None:
    """Print a table to standard output."""
    Console().print(table)


def retention(result: Result, days: int) -> Table:
    """The result of one type of offer after `days` days, with 95 % confidence intervals."""
    offered, held_out = result.comparison.offered, result.comparison.held_out
    table = Table(title=f"Offer: {result.type} ({result.currency.upper()})", title_justify="left")
    for name in (f"after {days} days", "made it", "held out", "difference"):
        table.add_column(name, justify="left" if name.startswith("after") else "right")
    table.add_row("wanted to leave", str(offered.count), str(held_out.count))
    table.add_row("took it", str(result.accepted))
    stayed = _difference(result.comparison.stayed, lambda part: f"{part * 100:+.1f}", " points")
    table.add_row("stayed", f"{offered.share:.1%}", f"{held_out.share:.1%}", stayed)

    def amount(minor: float) -> str:
        return f"{money.major(round(minor), result.currency)}"

    paid = _difference(result.comparison.paid, lambda minor: f"{money.major(round(minor), result.currency):+}")
    table.add_row("paid since, each", amount(offered.mean), amount(held_out.mean), paid)
    return table


def drafts(rows: Sequence[Draft]) -> Table:
    """Draft invoices, in the given order."""
    table = Table()
    for name in ("draft", "customer", "since", "total"):
        table.add_column(name, justify="right" if name == "total" else "left", no_wrap=name == "draft")
    for draft in rows:
        total = f"{money.major(draft.total, draft.currency)} {draft.currency.upper()}"
        table.add_row(draft.id, draft.customer, _day(draft.created), total)
    return table


def _difference(difference: Difference | None, write: Callable[[float], str], unit: str = "") -> str:
    """A difference with its confidence interval, on two or three lines."""
    if difference is None:
        return f"fewer than {FEWEST} on a side"
    doubt = "" if difference.is_clear else "\nmay be chance"
    return f"{write(difference.value)}{unit}\n({write(difference.low)} to {write(difference.high)}){doubt}"


def keys(rows: Sequence[ApiKey], now: int) -> Table:
    """API keys, in the given order."""
    table = Table()
    table.add_column("id", min_width=28)  # never cut off: it is what the other commands want
    for name in ("key", "name", "rights", "created", "state"):
        table.add_column(name)
    for row in rows:
        rights = "all" if row.rights is None else ", ".join(f"{right}={level}" for right, level in row.rights.items())
        table.add_row(row.id, row.redacted, row.name or "", rights, _day(row.created), _state(row.expires_at, now))
    return table


def webhook_endpoints(rows: Sequence[WebhookEndpoint]) -> Table:
    """Webhook endpoints, in the given order."""
    table = Table()
    table.add_column("id", min_width=27)  # never cut off: it is what the other commands want
    for name in ("url", "mode", "events", "state"):
        table.add_column(name)
    for row in rows:
        state = f"{row.status}, the last {row.failures} tries failed" if row.failures else row.status
        mode = "live" if row.livemode else "test"
        table.add_row(row.id, row.url, mode, ", ".join(row.enabled_events), state)
    return table


def deliveries(rows: Sequence[WebhookDelivery]) -> Table:
    """Deliveries of events, in the given order."""
    table = Table()
    table.add_column("event", min_width=31)
    for name in ("type", "state", "last try", "tries", "next try"):
        table.add_column(name)
    for row in rows:
        ended = row.fault or (f"it answered {row.response_status}" if row.response_status else "")
        tried = f"{_minute(row.tried_at)}: {ended}" if row.tried_at else ""
        due = _minute(row.due_at) if row.due_at is not None else ""
        table.add_row(row.event_id, row.event_type, row.status, tried, str(row.attempts), due)
    return table


def _state(expires_at: int | None, now: int) -> str:
    if expires_at is None:
        return "works"
    return f"ended on {_day(expires_at)}" if expires_at <= now else f"works until {_minute(expires_at)}"


def _day(at: int) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d}"


def _minute(at: int) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"
