"""The log of an account: what its staff, its customers and its programs did, to look at and to take away."""

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime

from flask import Response, render_template, request, stream_with_context

from portal_site.billing.events.actors import ActorType
from portal_site.dashboard import blueprint, needs
from portal_site.dashboard.forms import small_number
from portal_site.dashboard.reads import log_entries, people
from portal_site.dashboard.reads.log_entries import Entry, Filter
from portal_site.spreadsheets import safe
from portal_site.staff.roles import Right

ACTORS = {
    ActorType.USER.value: "Staff", ActorType.CUSTOMER.value: "Customers", ActorType.API_KEY.value: "API keys",
    ActorType.OPERATOR.value: "The operator",
}  # fmt: skip
COLUMNS = ("sequence", "time (UTC)", "mode", "type", "object", "actor type", "actor", "changes", "hash")


def _filter() -> Filter:
    actor_type = request.args.get("by", "")
    whose = request.args.get("actor", "").replace("\0", "")[:100]
    return Filter(actor_type if actor_type in ACTORS else "", whose, small_number(request.args.get("before")))


@blueprint.get("/<account_id>/log")
@needs(Right.VIEW_LOG)
def show_log(account_id: str) -> str:
    """A page of the log, the newest entries first."""
    wanted = _filter()
    entries, more = log_entries.page(account_id, wanted)
    names = people.names({entry.actor_id for entry in entries if entry.actor_id and entry.actor_type == ActorType.USER})
    return render_template("dashboard/log.html", entries=entries, more=more, names=names, wanted=wanted, actors=ACTORS)


@blueprint.get("/<account_id>/log.csv")
@needs(Right.VIEW_LOG)
def download_log(account_id: str) -> Response:
    """The log as a table, as it is read."""
    response = Response(stream_with_context(_table(account_id, _filter())), content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = 'attachment; filename="log.csv"'
    return response


def _table(account_id: str, wanted: Filter) -> Iterator[str]:
    yield _line(COLUMNS)
    for entry in log_entries.everything(account_id, wanted):
        yield _line(_cells(entry))


def _cells(entry: Entry) -> tuple[str, ...]:
    changes = "; ".join(f"{one.name}: {one.one} → {one.other}" for one in entry.differences)
    moment = datetime.fromtimestamp(entry.created, UTC).strftime("%Y-%m-%d %H:%M:%S")
    return (
        str(entry.sequence), moment, "live" if entry.livemode else "test", entry.type, entry.object_id,
        entry.actor_type, entry.actor_id or "", changes, entry.log_hash,
    )  # fmt: skip


def _line(cells: tuple[str, ...]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer).writerow(map(safe, cells))
    return buffer.getvalue()
