"""A further import: what changed there since the last one is brought here, unless it changed here as well.

The last import's values are kept as a checksum for each group of columns that belong together. A group whose value in the files
has another checksum changed there; one whose stored value has another checksum changed here; if both did, it is a conflict,
and stays as it is here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

from pydantic_core import to_json
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from portal_site.billing.importing.known import BATCH
from portal_site.billing.importing.objects import ImportedObject
from portal_site.billing.importing.report import ImportReport, Result
from portal_site.billing.importing.writing import parts
from portal_site.billing.importing.writing.parts import Stored
from portal_site.billing.loading.plans import Reader
from portal_site.billing.models import (
    CatalogTaxRate,
    Coupon,
    CreditNote,
    Customer,
    Invoice,
    InvoiceLineItem,
    PaymentMethod,
    PortalConfiguration,
    Price,
    Product,
    PromotionCode,
    Subscription,
    SubscriptionSchedule,
    TaxId,
)
from portal_site.billing.models import ImportedObject as Base_
from portal_site.db import Base, bulk

Group = tuple[str, ...]
PARTS: Group = ("parts",)  # items and discounts, phases, or the lines of a draft
# Columns that change together are compared and brought together. New groups are added at the end: see `_checksums`.
GROUPS: dict[type[Base], tuple[Group, ...]] = {
    Product: (("name",), ("active",), ("description",), ("unit_label",), ("marketing_features",), ("metadata",)),
    Price: (("active",), ("nickname",), ("lookup_key",), ("metadata",)),
    Coupon: (("name",), ("valid", "redeem_by"), ("times_redeemed", "max_redemptions"), ("metadata",)),
    PromotionCode: (("active", "expires_at"), ("times_redeemed", "max_redemptions"), ("metadata",)),
    CatalogTaxRate: (
        ("display_name",), ("description",), ("active",), ("country", "state", "jurisdiction"), ("metadata",),
    ),
    Customer: (
        ("name",), ("email",), ("phone",), ("description",), ("address",), ("shipping",), ("balance", "currency"),
        ("delinquent",),
        ("invoice_prefix",), ("default_payment_method_id",), ("preferred_locales",), ("tax_exempt",), ("metadata",), PARTS,
    ),
    TaxId: (("verification_status", "verified_name", "verified_address"),),
    PaymentMethod: (("brand", "last4", "exp_month", "exp_year", "funding", "country", "fingerprint", "label"),),
    Subscription: (
        ("status", "cancel_at", "cancel_at_period_end", "canceled_at", "ended_at", "cancellation_details", "status_details"),
        ("pause_collection",), ("collection_method", "days_until_due"), ("description",),
        ("currency", "billing_cycle_anchor", "trial_start", "trial_end"), ("default_tax_rates", "automatic_tax"),
        ("default_payment_method_id",), ("latest_invoice_id",), ("metadata",), PARTS, ("trial_settings",),
    ),
    SubscriptionSchedule: (("status", "end_behavior", "released_at", "canceled_at", "completed_at", "subscription_id"), PARTS),
    Invoice: (
        ("status", "number", "amount_due", "amount_paid", "amount_remaining", "finalized_at", "paid_at", "voided_at",
         "marked_uncollectible_at", "ending_balance", "attempt_count", "pre_payment_credit_notes_amount",
         "post_payment_credit_notes_amount", "subtotal", "total"),
        ("due_date",), PARTS, ("subscription_id",), ("total_taxes",),
    ),
    InvoiceLineItem: (
        ("amount", "total", "description", "quantity", "period_start", "period_end", "price_id", "subscription_id"),
    ),
    CreditNote: (("amount", "pre_payment_amount", "post_payment_amount"), ("reason",)),
    PortalConfiguration: (
        ("features",), ("active",), ("name", "headline", "privacy_policy_url", "terms_of_service_url", "default_return_url"),
    ),
}  # fmt: skip
# What an invoice prints besides. It is brought with the lines of a draft, and with its finalization.
PRINTED = ("account_tax_ids", "customer_tax_exempt", "total_discount_amounts", "total_excluding_tax", "total_taxes")
TAXES: Group = ("total_taxes",)  # their rates' names come with the objects that have them; the lines' taxes follow
CHECKSUM = 8  # characters
CHANGED_BOTH = "changed there and here since the last import: stays as it is here"
OTHER_ACCOUNT = "they belong to another account"


@dataclass
class Merge:
    """The objects of a batch: those that are new, and the others with the groups that are to be brought."""

    new: list[ImportedObject] = field(default_factory=list)
    changed: list[tuple[ImportedObject, list[Group]]] = field(default_factory=list)
    checksums: list[tuple[ImportedObject, str]] = field(default_factory=list)


def split(reader: Reader, objects: Sequence[ImportedObject], account_id: str, report: ImportReport) -> Merge:
    """Compare the objects with what is stored, and report conflicts and what belongs to another account."""
    merge = Merge()
    stored = parts.load(reader, [one for one in objects if one.rows], account_id, GROUPS)
    before = _last_import(reader, [one for one in objects if (one.rows and _key(one) in stored)], account_id)
    for one in objects:
        if not one.rows:
            continue
        found = stored.get(_key(one))
        if found is None:
            merge.new.append(one)
        elif found.account_id != account_id:
            sentence = f"{one.name} belongs to another account already."
            report.find(Result.LEFT_OUT, one.kind, one.id, OTHER_ACCOUNT, sentence, one.customer)
        elif not one.embedded:
            _compare(one, found, before.get(_key(one), ""), merge, report)
    return merge


def _key(one: ImportedObject) -> tuple[type[Base], str]:
    return one.rows[0].model, one.rows[0].id


def _compare(one: ImportedObject, found: Stored, before: str, merge: Merge, report: ImportReport) -> None:
    changed, conflicts, checksums = [], [], ""
    for position, group in enumerate(GROUPS[one.rows[0].model]):
        theirs, ours = _checksum(parts.values(one, group)), _checksum(found.values(group))
        last = before[position * CHECKSUM : (position + 1) * CHECKSUM]
        is_newer = (
            bool(before) and not last
        )  # the last import did not know the group: then nothing here changes it either
        if theirs in {ours, last}:
            checksums += theirs
        elif (ours == last or is_newer) and not found.locked:
            changed.append(group)
            checksums += theirs
        else:
            conflicts.append(group)
            checksums += last or "-" * CHECKSUM
    if conflicts:
        named = ", ".join(name for group in conflicts for name in group[:2])
        cause = found.locked or CHANGED_BOTH
        sentence = f"{one.name}: {named} {cause}."
        report.find(Result.CONFLICT, one.kind, one.id, cause, sentence, one.customer)
    if changed:
        merge.changed.append((one, changed))
        report.updated[one.rows[0].model.__tablename__.replace("_", " ")] += 1
    else:
        report.present += 1
    if checksums != before:
        merge.checksums.append((one, checksums))


def _checksum(values: list[object]) -> str:
    return f"{crc32(to_json(values)):08x}"


def _last_import(reader: Reader, objects: Sequence[ImportedObject], account_id: str) -> dict[Any, str]:
    found: dict[Any, str] = {}
    by_name = {(one.kind, one.id): _key(one) for one in objects}
    ids = sorted({one.id for one in objects})
    for start in range(0, len(ids), BATCH):
        query = select(Base_.kind, Base_.id, Base_.checksums).where(
            Base_.account_id == account_id, Base_.id.in_(ids[start : start + BATCH])
        )
        found |= {by_name[row[0], row[1]]: row[2] for row in reader.execute(query) if (row[0], row[1]) in by_name}
    return found


def remember(session: Session, objects: Sequence[ImportedObject], account_id: str) -> None:
    """Store the checksums of new objects."""
    rows = [
        {
            "account_id": account_id,
            "kind": one.kind,
            "id": one.id,
            "checksums": "".join(_checksum(parts.values(one, group)) for group in GROUPS[one.rows[0].model]),
        }
        for one in objects
    ]
    if rows:
        bulk.insert(session, Base_, rows)


def apply(session: Session, merge: Merge, account_id: str) -> None:
    """Bring what changed there, and remember it."""
    for one, groups in merge.changed:
        row = one.rows[0]
        values = {name: row.values[name] for group in groups if group != PARTS for name in group}
        if row.model is Invoice and row.status != "open":
            values["next_payment_attempt"] = None
        if row.model is Invoice and PARTS in groups:
            values |= {name: row.values[name] for name in PRINTED}
        if values:
            bulk.update(session, row.model, [{"id": row.id, **values}])
        if PARTS in groups:
            parts.replace(session, one)
        elif TAXES in groups:
            parts.name_taxes(session, one)
    for one, checksums in merge.checksums:
        key = Base_.account_id == account_id, Base_.kind == one.kind, Base_.id == one.id
        session.execute(delete(Base_).where(*key))
        bulk.insert(
            session, Base_, [{"account_id": account_id, "kind": one.kind, "id": one.id, "checksums": checksums}]
        )
