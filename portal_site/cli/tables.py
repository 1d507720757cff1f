"""Figures as tables on a terminal, and as plain text where the output goes elsewhere."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table

from portal_site.billing.cancellation.retention_results import Result
from portal_site.billing.invoicing.drafts import Draft
from portal_site.billing.rules.amounts import money
from portal_site.billing.rules.retention.experiment import FEWEST, Difference


def show(table: Table) -> None:
    """Print it."""
    Console().print(table)


def retention(result: Result, days: int) -> Table:
    """What one type of offer brought. The bounds of a difference hold the truth in 95 of 100 cases."""
    offered, alone = result.comparison.offered, result.comparison.held_out
    table = Table(title=f"Offer: {result.type} ({result.currency.upper()})", title_justify="left")
    for name in (f"after {days} days", "made it", "held out", "difference"):
        table.add_column(name, justify="left" if name.startswith("after") else "right")
    table.add_row("wanted to leave", str(offered.count), str(alone.count))
    table.add_row("took it", str(result.accepted))
    stayed = _difference(result.comparison.stayed, lambda part: f"{part * 100:+.1f}", " points")
    table.add_row("stayed", f"{offered.share:.1%}", f"{alone.share:.1%}", stayed)

    def amount(minor: float) -> str:
        return f"{money.major(round(minor), result.currency)}"

    paid = _difference(result.comparison.paid, lambda minor: f"{money.major(round(minor), result.currency):+}")
    table.add_row("paid since, each", amount(offered.mean), amount(alone.mean), paid)
    return table


def drafts(found: Sequence[Draft]) -> Table:
    """Invoices that wait for the merchant, oldest first."""
    table = Table()
    for name in ("draft", "customer", "since", "total"):
        table.add_column(name, justify="right" if name == "total" else "left", no_wrap=name == "draft")
    for draft in found:
        total = f"{money.major(draft.total, draft.currency)} {draft.currency.upper()}"
        table.add_row(draft.id, draft.customer, f"{datetime.fromtimestamp(draft.created, UTC):%Y-%m-%d}", total)
    return table


def _difference(found: Difference | None, write: Callable[[float], str], unit: str = "") -> str:
    if found is None:
        return f"fewer than {FEWEST} on a side"
    doubt = "" if found.is_clear else "\nmay be chance"
    return f"{write(found.value)}{unit}\n({write(found.low)} to {write(found.high)}){doubt}"
