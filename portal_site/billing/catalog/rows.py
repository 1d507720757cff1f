"""The rows of a catalogue: finding, locking and changing one, with its event."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from portal_site.billing.errors import NotFound
from portal_site.billing.events.emission import emit
from portal_site.billing.models import Account, CatalogTaxRate, Coupon, Price, Product, PromotionCode
from portal_site.billing.rules.catalog import members
from portal_site.billing.translation_marks import N_
from portal_site.db.json_columns import JsonObject

Row = TypeVar("Row", Product, Price, Coupon, PromotionCode, CatalogTaxRate)
Kind = type[Product] | type[Price] | type[Coupon] | type[PromotionCode] | type[CatalogTaxRate]
Checks = Mapping[str, Callable[[Any], Any]]
_MISSING: dict[Kind, str] = {
    Product: N_("No such product: '%(id)s'"),
    Price: N_("No such price: '%(id)s'"),
    Coupon: N_("No such coupon: '%(id)s'"),
    PromotionCode: N_("No such promotion code: '%(id)s'"),
    CatalogTaxRate: N_("No such tax rate: '%(id)s'"),
}


def owned(kind: Kind, account_id: str, livemode: bool) -> list[ColumnElement[bool]]:
    """The conditions for an account's rows of one mode that are not deleted."""
    conditions: list[ColumnElement[bool]] = [kind.account_id == account_id, kind.livemode == livemode]
    return [*conditions, Coupon.deleted_at.is_(None)] if kind is Coupon else conditions


def missing(kind: Kind, row_id: str, param: str) -> NotFound:
    """The error for a row that does not exist."""
    return NotFound(_MISSING[kind], "resource_missing", param, id=row_id)


def get(
    session: Session, kind: type[Row], account_id: str, livemode: bool, row_id: str, param: str, *, lock: bool = False
) -> Row:
    """The row with this id. Raises NotFound, with the name of the parameter that holds the id."""
    # No id contains a NUL, and PostgreSQL refuses it as a parameter.
    query = select(kind).where(*owned(kind, account_id, livemode), kind.id == row_id.replace("\0", ""))
    if lock:
        # key_share: what is inserted meanwhile may refer to the row. populate_existing: it may be older than the lock.
        query = query.with_for_update(key_share=True).execution_options(populate_existing=True)
    row: Row | None = session.scalar(query)
    if row is None:
        raise missing(kind, row_id, param)
    return row


def lock_names(session: Session, account_id: str) -> None:
    """Let no other transaction give out a name of this account's catalogue, such as a code, until this one ends.

    A unique index cannot do this: which codes are active depends on the time and on their coupons, and exports have repeated
    ones. Raises NotFound if there is no such account.
    """
    query = select(Account.id).where(Account.id == account_id).with_for_update(key_share=True)
    if session.scalar(query) is None:
        raise NotFound(N_("No such account: '%(id)s'"), "resource_missing", "account", id=account_id)


def checked(changes: Mapping[str, Any], checks: Checks) -> dict[str, Any]:
    """The changes with each value as it is stored. Raises ValueError for a member that cannot be changed."""
    if not changes.keys() <= checks.keys():
        raise ValueError(f"cannot be changed: {', '.join(sorted(changes.keys() - checks.keys()))}")
    return {name: checks[name](value) for name, value in changes.items()}


def change(session: Session, row: Row, event: str, changes: Mapping[str, Any], at: int) -> Row:
    """Set some columns of a row, and emit the event if any is different. Metadata is merged with what there is."""
    wanted = dict(changes)
    previous: JsonObject = {}
    if "metadata" in wanted:
        before: dict[str, str] = row.metadata_
        after: dict[str, str] = members.metadata(wanted.pop("metadata"), before)
        if after != before:
            differing = sorted(key for key in {*before, *after} if before.get(key) != after.get(key))
            previous["metadata"] = {key: before.get(key) for key in differing}
            row.metadata_ = after
    for name, value in wanted.items():
        if getattr(row, name) != value:
            previous[name] = getattr(row, name)
            setattr(row, name, value)
    if previous:
        if isinstance(row, Product):
            previous["updated"] = row.created if row.updated is None else row.updated
            row.updated = at
        session.flush()
        emit(session, event, row, at, previous=previous)
    return row


def add(session: Session, row: Row, event: str, at: int) -> Row:
    """Store a new row, and emit its event."""
    session.add(row)
    session.flush()
    emit(session, event, row, at)
    return row
