"""The emission of events: collected with a transaction, numbered and written as its last statements."""

from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import text
from sqlalchemy.orm import Session

from portal_site.billing import resources
from portal_site.billing.events import log
from portal_site.billing.events.actors import current_actor, current_request
from portal_site.billing.models import Event
from portal_site.db import bulk
from portal_site.db.json_columns import JsonObject
from portal_site.db.page_query import Row
from portal_site.db.transactions import before_commit
from portal_site.ids import ordered_id

_TAKE = (
    "INSERT INTO event_counter (id, last) VALUES (1, :count)"
    " ON CONFLICT (id) DO UPDATE SET last = event_counter.last + excluded.last RETURNING last, log_hash"
)
# Everybody waits for a transaction that has taken numbers: the server ends one whose machine has gone silent since then.
SILENCE = "10s"
_SET_HEAD = text("UPDATE event_counter SET log_hash = :log_hash").execution_options(unscoped="the counter is nobody's")
_LIMIT = ", set_config('idle_in_transaction_session_timeout', :silence, true)"


class Owned(Protocol):
    """A row of an account, in test or in live mode."""

    account_id: str
    livemode: bool


@dataclass
class OfAccount:
    """Whose event it is: an account's, of no mode, which is kept with those of live mode."""

    account_id: str
    livemode: bool = True


def emit(
    session: Session,
    kind: str,
    row: Owned,
    at: int,
    *,
    document: JsonObject | None = None,
    previous: JsonObject | None = None,
    **members: object,
) -> None:
    """Emit an event of Stripe's type `kind` about a row that has just changed; it is stored if the transaction is.

    The object of the event is the API object of the entity `row`, as it is now. With `document` it is that one, and `row` is any
    row of the same account and mode. `members` are added to it: those that are stored in other tables, such as a
    subscription's items. `previous` are the old values of the changed members.

    Raises RuntimeError outside a transaction, inside a savepoint, whose events could not be taken back alone, and where nobody
    is `acting_as` anything.
    """
    if session.in_nested_transaction():
        raise RuntimeError(f"{kind} is emitted inside a savepoint")
    actor, request = current_actor(), current_request()
    data: JsonObject = {"object": {**(resources.to_object(row) if document is None else document), **members}}
    if previous:
        data["previous_attributes"] = previous
    before_commit(session, _write).append(
        {
            "id": ordered_id("evt"),
            "account_id": row.account_id,
            "livemode": row.livemode,
            "created": at,
            "type": kind,
            "data": data,
            "actor_type": actor.type,
            "actor_id": actor.id,
            "customer_id": _customer_id(data["object"], row),
            "request_id": request.id if request is not None else None,
            "idempotency_key": request.idempotency_key if request is not None else None,
        }
    )


def _customer_id(document: JsonObject, row: Owned) -> str | None:
    """Whose object it is: the customer that it names, else that of the row; a customer's own is its id."""
    if document.get("object") == "customer":
        return str(document["id"])
    named = document.get("customer")
    found: str | None = named if isinstance(named, str) else getattr(row, "customer_id", None)
    return found


def _write(session: Session, rows: list[Row]) -> None:
    numbers, last_hash = _take(session, len(rows))
    numbered = [{**row, "sequence": number, "log_hash": None} for row, number in zip(rows, numbers, strict=True)]
    if any(log.belongs(row["actor_type"]) for row in numbered):
        head = log.chain(last_hash, numbered)
        session.execute(_SET_HEAD, {"log_hash": head})
    bulk.insert(session, Event, numbered)


def take_numbers(session: Session, count: int) -> range:
    """The next `count` numbers. The counter stays locked until this transaction ends, so that numbers follow commits.

    Other transactions wait for it meanwhile: take numbers as late as possible.
    """
    return _take(session, count)[0]


def _take(session: Session, count: int) -> tuple[range, str | None]:
    """The numbers, and the hash of the log's last entry."""
    on_server = session.get_bind().dialect.name == "postgresql"
    take = text(_TAKE + _LIMIT if on_server else _TAKE).execution_options(unscoped="the counter is nobody's")
    row = session.execute(take, {"count": count} | ({"silence": SILENCE} if on_server else {})).one()
    return range(row.last - count + 1, row.last + 1), row.log_hash
