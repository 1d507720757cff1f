"""The emission of events: collected with a transaction, and written as its last statement."""

from typing import Any, Protocol

from sqlalchemy.orm import Session

from portal_site.billing import resources
from portal_site.billing.models import Event
from portal_site.db import bulk
from portal_site.db.json_columns import JsonObject
from portal_site.db.page_query import Row
from portal_site.db.transactions import before_commit
from portal_site.ids import ordered_id


class Owned(Protocol):
    """A row of an account, in test or in live mode."""

    account_id: str
    livemode: bool


def emit(
    session: Session,
    kind: str,
    row: Owned,
    at: int,
    *,
    document: JsonObject | None = None,
    previous: JsonObject | None = None,
    **members: Any,
) -> None:
    """Emit an event of Stripe's type `kind` about a row that has just changed; it is stored if the transaction is.

    The object of the event is the API object of the entity `row`, as it is now. With `document` it is that one, and `row` is any
    row of the same account and mode. `members` are added to it: those that are stored in other tables, such as a
    subscription's items. `previous` are the old values of the changed members.

    Raises RuntimeError outside a transaction and inside a savepoint, whose events could not be taken back alone.
    """
    if session.in_nested_transaction():
        raise RuntimeError(f"{kind} is emitted inside a savepoint")
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
        }
    )


def _write(session: Session, rows: list[Row]) -> None:
    bulk.insert(session, Event, rows)
