"""A further import that brings what was missing: the same run takes everything that was left out for want of it."""

import json
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, update

from portal_site.billing.importing import importer
from portal_site.billing.importing.importer import Options
from portal_site.billing.importing.report import ImportReport
from portal_site.billing.models import PortalConfiguration
from portal_site.db import Base
from portal_site.db.transactions import transaction
from tests.billing.exports import EXPORT, NOW
from tests.world import reading

HERE = {"unscoped": "the test's only rows"}
Stored = dict[str, Any]


def _take(document: Any, **options: bool) -> ImportReport:
    return importer.import_objects(json.dumps(document).encode(), NOW, options=Options(**options))


def _stored() -> Stored:
    """Every value of every row, by table, id and column. Of configurations only the one that customers see."""
    found: Stored = {}
    with reading() as connection:
        for table in Base.metadata.sorted_tables:
            for row in connection.execute(select(table).execution_options(**HERE)).mappings():
                if not row.get("is_default", True):
                    continue
                name = row.get("id") or tuple(row.values())
                found |= {f"{table.name} {name}: {column}": value for column, value in row.items()}
    return found


def _forget() -> None:
    with transaction() as session:
        for table in reversed(Base.metadata.sorted_tables):
            session.execute(table.delete(), execution_options=HERE)


def _differing(found: Stored, whole: Stored) -> Stored:
    names = [name for name in found | whole if found.get(name) != whole.get(name)]
    return {name: (found.get(name), whole.get(name)) for name in names}


def _taken_after(first: dict[str, Any]) -> None:
    """Import all after a part of it, and compare with one import of all."""
    _take(EXPORT)
    whole = _stored()
    _forget()
    _take(first)
    _take(EXPORT)
    assert _differing(_stored(), whole) == {}
    report = _take(EXPORT)
    assert (report.added, report.updated) == ({}, {})
    assert [finding for finding in report.findings() if finding.result == "conflict"] == []


@pytest.mark.parametrize("kind", [kind for kind in EXPORT if kind != "account"])
def test_what_was_missing_brings_the_rest_in_the_same_run(lite_app: Flask, kind: str) -> None:
    _taken_after({other: objects for other, objects in EXPORT.items() if other != kind})


@pytest.mark.parametrize("kind", ["customer", "subscription", "invoice", "billing_portal.configuration"])
def test_a_first_import_of_one_type_is_completed_by_the_second(app: Flask, kind: str) -> None:
    _taken_after({"account": EXPORT["account"], "customer": EXPORT["customer"], kind: EXPORT[kind]})


def test_a_configuration_that_was_changed_here_stays_the_default(app: Flask) -> None:
    _take({other: objects for other, objects in EXPORT.items() if other != "billing_portal.configuration"})
    with transaction() as session:
        session.execute(update(PortalConfiguration).values(updated=NOW + 1), execution_options=HERE)
    _take(EXPORT)
    with reading() as connection:
        defaults = connection.execute(select(PortalConfiguration.is_default, PortalConfiguration.id)).all()
    assert [name == "bpc_one" for is_default, name in defaults if is_default] == [False]
    assert len(defaults) == 2
