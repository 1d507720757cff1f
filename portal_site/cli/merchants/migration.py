"""`portal migrate-billing`: from Stripe Billing to this program, subscription by subscription."""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
from flask import Flask

from portal_site.cli.groups import steps, with_app
from portal_site.cli.merchants import stripe_accounts
from portal_site.cli.serving import fail

if TYPE_CHECKING:
    from portal_site.billing.migration.take_over import Outcome

_account = click.option("--account", "account_id", help="The account; needed when there are several.")
_live = click.option("--live", is_flag=True, help="Live mode; test mode otherwise.")
_only = click.option("--only", multiple=True, metavar="SUBSCRIPTION", help="Only this one; may be given several times.")
_rate = click.option(
    "--rate", default=20, show_default=True, type=click.IntRange(1, 100), help="Calls of Stripe a second."
)


@click.group("migrate-billing")
def migrate_billing() -> None:
    """Move from Stripe Billing to this program: compare, take over, undo. Run `portal import --from-stripe` first."""


@migrate_billing.command("compare")
@_account
@_live
@_only
@_rate
@click.option("--output", type=click.Path(path_type=Path), help="A file for all of them, by its end .csv or .jsonl.")
@click.option("--continue", "goes_on", is_flag=True, help="Go on where the output ends.")
@with_app
def compare(
    app: Flask, account_id: str | None, live: bool, only: tuple[str, ...], rate: int, output: Path | None, goes_on: bool
) -> None:
    """Hold the next invoice of each subscription against Stripe's preview. The exit code is 1 if any differ."""
    from portal_site import clock
    from portal_site.billing.migration import candidates, comparing
    from portal_site.cli.merchants.comparisons import Comparisons, lines

    found = stripe_accounts.open_account(app, account_id, live, rate)
    wanted, reasons = frozenset(only), Counter[str]()
    with Comparisons(output, goes_on) as results, steps("Comparing") as advance:
        total = candidates.count(found.account_id, live, wanted)
        compared = comparing.compare_all(found.api, found.account_id, live, wanted, results.after, clock.now())
        for one in compared:
            results.add(one)
            reasons.update({difference.reason for difference in one.differences})
            if output is None and not one.is_equal:
                click.echo("\n".join(lines(one)))
            advance(results.count, total)
    click.echo(
        f"{results.count} compared, {results.count - results.differing} equal, {results.differing} differ.", err=True
    )
    for reason, count in reasons.most_common():
        click.echo(f"{count} × {reason}", err=True)
    if results.differing:
        raise SystemExit(1)


@migrate_billing.command("take-over")
@_account
@_live
@_only
@_rate
@click.option(
    "--method", required=True, type=click.Choice(["cancel", "pause"]),
    help="cancel: Stripe's subscription ends with its period. pause: it goes on, and its invoices are void.",
)  # fmt: skip
@click.option("--limit", type=click.IntRange(1), help="Stop after so many.")
@click.option(
    "--accept-differences", is_flag=True, help="Take over also what would be billed otherwise than by Stripe."
)
@click.option("--dry-run", is_flag=True, help="Say what would be taken over, and billed when; change nothing.")
@with_app
def take_over(
    app: Flask, *, account_id: str | None, live: bool, only: tuple[str, ...], rate: int, method: str, limit: int | None,
    accept_differences: bool, dry_run: bool,
) -> None:  # fmt: skip
    """Stop Stripe's billing and begin with ours, one by one. Run it again to go on. The exit code is 1 if any were left."""
    from portal_site import clock
    from portal_site.billing.migration import candidates
    from portal_site.billing.migration import take_over as taking
    from portal_site.billing.migration.checks import Method

    found = stripe_accounts.open_account(app, account_id, live, rate, connected=True)
    wanted = frozenset(only)
    options = taking.Options(Method(method), live, wanted, limit, accept_differences, dry_run)
    outcomes = taking.take_over(found.api, found.account_id, options, clock.now)
    _tell(outcomes, candidates.count(found.account_id, live, wanted), ("taken", "would take", "undone"))


@migrate_billing.command("undo")
@_account
@_live
@_only
@_rate
@click.option("--all", "everyone", is_flag=True, help="All that have not been billed here.")
@with_app
def undo(app: Flask, account_id: str | None, live: bool, only: tuple[str, ...], rate: int, everyone: bool) -> None:
    """Let Stripe bill again what has not been billed here yet. The exit code is 1 if any are left as they are."""
    from portal_site import clock
    from portal_site.billing.migration import rows, undoing

    if bool(only) is everyone:
        fail("Name the subscriptions with --only, or write --all.")
    found = stripe_accounts.open_account(app, account_id, live, rate, connected=True)
    outcomes = undoing.undo(found.api, found.account_id, live, frozenset(only), clock.now)
    total = sum(one.subscriptions for one in rows.counts(found.account_id, live))
    _tell(outcomes, total, ("undone",))


@migrate_billing.command("status")
@_account
@_live
@with_app
def status(_app: Flask, account_id: str | None, live: bool) -> None:
    """How many subscriptions are with Stripe, taken over and billed here. The exit code is 1 if anything is not finished."""
    from portal_site.billing.migration import candidates, rows

    account = stripe_accounts.id_of(account_id)
    click.echo(f"with Stripe: {candidates.count(account, live)}")
    if others := candidates.count_billed(account, live):
        click.echo(f"billed here without a take-over, so that Stripe has to be stopped by hand: {others}")
    for one in rows.counts(account, live):
        billed = f", {one.billed} of them billed here" if one.billed else ""
        click.echo(f"{one.state.replace('_', ' ')}: {one.subscriptions}{billed}")
    left = rows.unfinished(account, live)
    for row in left:
        steps_ = ", ".join(f"{step['step']} {_minute(step['at'])}" for step in row.steps)
        click.echo(f"{row.subscription_id}: {row.state}{f': {row.note}' if row.note else ''} ({steps_})", err=True)
    if left:
        fail("Run `portal migrate-billing take-over` again to finish them.")


def _tell(outcomes: "Iterable[Outcome]", total: int, good: tuple[str, ...]) -> None:
    """Print what becomes of each, and the sums at the end; exit with 1 unless all went well."""
    from portal_site.billing.rules.amounts import money

    counts, reasons = Counter[str](), Counter[str]()
    with steps("Subscriptions") as advance:
        for outcome in outcomes:
            counts[outcome.result] += 1
            reasons.update(outcome.why)
            words = [f"{outcome.subscription} ({outcome.customer}): {outcome.result}"]
            if outcome.date is not None:
                words.append(f"billed here on {_minute(outcome.date)}")
            if outcome.amount_due is not None:
                words.append(f"{money.major(outcome.amount_due, outcome.currency)} {outcome.currency.upper()}")
            click.echo(", ".join(words) + (f": {'; '.join(outcome.why)}" if outcome.why else ""))
            advance(counts.total(), max(total, counts.total()))
    click.echo(
        ", ".join(f"{count} {result}" for result, count in counts.most_common()) or "There is nothing to do.", err=True
    )
    for reason, count in reasons.most_common():
        click.echo(f"{count} × {reason}", err=True)
    if any(result not in good for result in counts):
        raise SystemExit(1)


def _minute(at: int) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"
