"""merging"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select

from portal_site.billing.importing.known import BATCH
from portal_site.billing.importing.objects import ImportedObject
from portal_site.billing.importing.report import ImportReport, Result


@dataclass
class Split:
    new: list[ImportedObject] = field(default_factory=list)
    changed: list[ImportedObject] = field(default_factory=list)


def split(reader: Any, objects: Sequence[ImportedObject], account_id: str, report: ImportReport) -> Split:
    found = Split()
    by_model: dict[Any, list[ImportedObject]] = {}
    for one in objects:
        if one.rows:
            by_model.setdefault(one.rows[0].model, []).append(one)
    owners: dict[tuple[Any, str], str] = {}
    for model, ones in by_model.items():
        ids = [one.rows[0].id for one in ones]
        for start in range(0, len(ids), BATCH):
            query = select(model.id, model.account_id).where(model.id.in_(ids[start : start + BATCH]))
            if model.__tablename__ == "coupons":
                query = query.where(model.account_id == account_id)
            for row in reader.execute(query.execution_options(unscoped="an id must be nobody else's")):
                owners[model, row[0]] = row[1]
    for one in objects:
        if not one.rows:
            continue
        owner = owners.get((one.rows[0].model, one.rows[0].id))
        if owner is None:
            found.new.append(one)
        elif owner != account_id:
            report.find(
                Result.LEFT_OUT,
                one.kind,
                one.id,
                "they belong to another account",
                f"{one.name} belongs to another account already.",
                one.customer,
            )
        else:
            report.present += not one.embedded
    return found


def remember(session: Any, objects: Sequence[ImportedObject], account_id: str) -> None:
    pass


def apply(session: Any, objects: Sequence[ImportedObject], account_id: str) -> None:
    pass
