"""The rows that belong to an object: loading what is stored of an object with its parts, and replacing the parts."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from portal_site.billing.importing.known import BATCH
from portal_site.billing.importing.objects import ImportedObject
from portal_site.billing.importing.row_mapping import PHASE_DISCOUNT
from portal_site.billing.importing.writing import writer
from portal_site.billing.loading.plans import Reader
from portal_site.billing.models import (
    Coupon,
    Customer,
    Discount,
    Invoice,
    InvoiceLineItem,
    PaymentAttempt,
    SchedulePhase,
    SchedulePhaseItem,
    Subscription,
    SubscriptionItem,
    SubscriptionSchedule,
    TakeOver,
)
from portal_site.billing.models.imported import IN_FORCE
from portal_site.db import Base, bulk
from portal_site.db.json_columns import JsonObject

BILLED_HERE = "changed there, and billed here: stays as it is here"
TAKEN_OVER = "changed there, where it was stopped to be billed here: stays as it is here"
BEING_PAID = "changed there while it is being paid here: stays as it is here"
Groups = Mapping[type[Base], Sequence[tuple[str, ...]]]
_DISCOUNT = ("id", "coupon_id", "start", "end", "subscription_item_id", "promotion_code", "promotion_code_id")
# For each model with parts: the models of its parts, the column that names the whole, and the columns that are compared.
_OF: dict[type[Base], tuple[tuple[Any, str, tuple[str, ...]], ...]] = {
    Customer: ((Discount, "customer_id", _DISCOUNT),),
    Subscription: (
        (SubscriptionItem, "subscription_id",
         ("id", "price_id", "quantity", "current_period_start", "current_period_end", "tax_rates")),
        (Discount, "subscription_id", _DISCOUNT),
    ),
    SubscriptionSchedule: ((SchedulePhase, "schedule_id", ("id", "start_date", "end_date", "proration_behavior")),),
    Invoice: ((InvoiceLineItem, "invoice_id", ("id", "amount", "total", "description", "period_start", "period_end")),),
}  # fmt: skip


@dataclass(slots=True)
class Stored:
    """What is stored of an object. `locked` says why it must not be changed, if so."""

    account_id: str
    row: JsonObject
    parts: list[list[object]] = field(default_factory=list)
    locked: str = ""

    def values(self, group: tuple[str, ...]) -> list[object]:
        """The values of a group of columns, as `values` has them of an imported object."""
        if group == ("parts",):
            return sorted(self.parts, key=str) if self.row.get("status") == "draft" or "number" not in self.row else []
        return [self.row[name] for name in group]


def values(one: ImportedObject, group: tuple[str, ...]) -> list[object]:
    """The values of a group of columns of an imported object; its parts for the group of that name.

    The lines of an invoice count only as long as it is a draft: those of a final one never change.
    """
    row = one.rows[0]
    if group != ("parts",):
        return [row.values[name] for name in group]
    if row.model is Invoice and row.status != "draft":
        return []
    found = [
        [part.values[name] for name in columns]
        for model, _column, columns in _OF[row.model]
        for part in one.parts(model)
    ]
    return sorted(found, key=str)


def load(
    reader: Reader, objects: Sequence[ImportedObject], account_id: str, groups: Groups
) -> dict[tuple[type[Base], str], Stored]:
    """What is stored of these objects, by model and id; of those of another account only whose they are."""
    by_model: dict[Any, list[str]] = defaultdict(list)
    for one in objects:
        by_model[one.rows[0].model].append(one.rows[0].id)
    found: dict[tuple[type[Base], str], Stored] = {}
    for model, ids in by_model.items():
        names = [name for group in groups[model] if group != ("parts",) for name in group]
        columns = [model.__table__.c[name] for name in ("id", "account_id", *names)]
        for start in range(0, len(ids), BATCH):
            query = select(*columns).where(model.id.in_(ids[start : start + BATCH]))
            if model is Coupon:  # coupon ids are chosen by merchants and unique per account only
                query = query.where(model.account_id == account_id)
            for row in reader.execute(query.execution_options(unscoped="an id must be nobody else's")).mappings():
                found[model, row["id"]] = Stored(row["account_id"], dict(row))
        if model in _OF:
            _load_parts(reader, model, [name for name in ids if (model, name) in found], found)
    present = [one for one in objects if (one.rows[0].model, one.rows[0].id) in found]
    for key, why in _locks(reader, present, account_id):
        found[key].locked = why
    return found


def _load_parts(reader: Reader, model: Any, ids: Sequence[str], found: dict[tuple[type[Base], str], Stored]) -> None:
    for part, owner, names in _OF[model]:
        columns = part.__table__.c
        for start in range(0, len(ids), BATCH):
            query = select(columns[owner], *(columns[name] for name in names)).where(
                columns[owner].in_(ids[start : start + BATCH])
            )
            if model is Customer:
                query = query.where(part.subscription_id.is_(None))
            elif part is Discount:
                query = query.where(~part.id.startswith(PHASE_DISCOUNT, autoescape=True))
            for row in reader.execute(query.execution_options(unscoped="of objects that were found by their owner")):
                found[model, row[0]].parts.append(list(row[1:]))


def _locks(reader: Reader, objects: Sequence[ImportedObject], account_id: str) -> Iterator[tuple[Any, str]]:
    """Which stored objects must not be changed, and why: subscriptions that are billed here, invoices that are being paid."""
    ids = {kind: [one.rows[0].id for one in objects if one.rows[0].model is kind] for kind in (Subscription, Invoice)}
    yield from _taken_over(reader, objects, account_id)
    for start in range(0, len(ids[Subscription]), BATCH):
        some = ids[Subscription][start : start + BATCH]
        billed = select(Subscription.id).where(
            Subscription.account_id == account_id, Subscription.id.in_(some), Subscription.due_at.is_not(None)
        )
        yield from (((Subscription, row[0]), BILLED_HERE) for row in reader.execute(billed))
    for start in range(0, len(ids[Invoice]), BATCH):
        some = ids[Invoice][start : start + BATCH]
        paying = select(PaymentAttempt.invoice_id).where(
            PaymentAttempt.account_id == account_id,
            PaymentAttempt.invoice_id.in_(some),
            PaymentAttempt.settled_at.is_(None),
        )
        yield from (((Invoice, row[0]), BEING_PAID) for row in reader.execute(paying))


def _taken_over(reader: Reader, objects: Sequence[ImportedObject], account_id: str) -> Iterator[tuple[Any, str]]:
    """Subscriptions that were taken over, and their schedules: what they are there is what stopped them."""
    owners = {
        (one.rows[0].model, one.rows[0].id): one.rows[0].values.get("subscription_id") or one.rows[0].id
        for one in objects
        if one.rows[0].model in (Subscription, SubscriptionSchedule)
    }
    ids = sorted(set(owners.values()))
    for start in range(0, len(ids), BATCH):
        query = select(TakeOver.subscription_id).where(
            TakeOver.account_id == account_id,
            TakeOver.subscription_id.in_(ids[start : start + BATCH]),
            TakeOver.state.in_(IN_FORCE),
        )
        found = {row[0] for row in reader.execute(query)}
        yield from ((key, TAKEN_OVER) for key, owner in owners.items() if owner in found)


def replace(session: Session, one: ImportedObject) -> None:
    """Replace the stored parts of an object by those that it has now."""
    row = one.rows[0]
    if row.model is Subscription:
        _replace_items(session, one)
        return
    unscoped = {"unscoped": "of an object that was found by its owner"}
    if row.model is SubscriptionSchedule:
        phases = select(SchedulePhase.id).where(SchedulePhase.schedule_id == row.id)
        gone = delete(SchedulePhaseItem).where(SchedulePhaseItem.phase_id.in_(phases))
        session.execute(gone, execution_options={**unscoped, "synchronize_session": False})
        mine = (
            Discount.id.startswith(f"{PHASE_DISCOUNT}{row.id}_", autoescape=True),
            Discount.customer_id == row.customer_id,
        )
        session.execute(delete(Discount).where(*mine), execution_options={"synchronize_session": False})
    for model, owner, _names in _OF[row.model]:
        gone = delete(model).where(getattr(model, owner) == row.id)
        if row.model is Customer:
            gone = gone.where(Discount.subscription_id.is_(None))
        session.execute(gone, execution_options={**unscoped, "synchronize_session": False})
    writer.insert(session, one.rows[1:])


def name_taxes(session: Session, one: ImportedObject) -> None:
    """Give the taxes on an invoice's stored lines the names of their rates that its taxes have now."""
    account = one.rows[0].account_id
    mine = InvoiceLineItem.account_id == account, InvoiceLineItem.invoice_id == one.id
    stored = set(session.scalars(select(InvoiceLineItem.id).where(*mine)))
    named = [{"id": line.id, "taxes": line.taxes} for line in one.parts(InvoiceLineItem) if line.id in stored]
    if named:
        bulk.update(session, InvoiceLineItem, named)


def _replace_items(session: Session, one: ImportedObject) -> None:
    """Items keep their rows as long as they have their ids: discounts may refer to them."""
    name, account = one.rows[0].id, one.rows[0].account_id
    quiet = {"synchronize_session": False}
    planned = Discount.id.startswith(PHASE_DISCOUNT, autoescape=True)
    session.execute(
        delete(Discount).where(Discount.subscription_id == name, Discount.account_id == account, ~planned),
        execution_options=quiet,
    )
    mine = SubscriptionItem.subscription_id == name, SubscriptionItem.account_id == account
    stored = set(session.scalars(select(SubscriptionItem.id).where(*mine)))
    items = list(one.parts(SubscriptionItem))
    kept = [item for item in items if item.id in stored]
    if kept:
        bulk.update(session, SubscriptionItem, [{"id": item.id, **item.values} for item in kept])
    gone = stored - {item.id for item in items}
    session.execute(delete(SubscriptionItem).where(*mine, SubscriptionItem.id.in_(gone)), execution_options=quiet)
    new = [item for item in items if item.id not in stored]
    writer.insert(session, [*new, *one.parts(Discount)])
