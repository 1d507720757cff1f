"""The commands of the README's part on moving over, run with a pretended `stripe`: they get everything, and it is imported."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from portal_site.billing.importing import importer
from portal_site.billing.importing.importer import Options
from portal_site.billing.models import Customer, Invoice, PaymentMethod
from tests.billing.exports import EXPORT, METHOD, NOW
from tests.world import reading

README = Path(__file__).parent.parent / "README.md"
# Answers one object a page, so that each list has several pages.
STRIPE = """#!/usr/bin/env python3
import json, pathlib, sys
words = sys.argv[1:]
assert words[0] == "get" and "--live" in words and words[words.index("--limit") + 1] == "100", words
path = words[1]
data = json.loads((pathlib.Path(__file__).parent / "data.json").read_text()).get(path, [])
start = 0
if "--starting-after" in words:
    start = 1 + [one["id"] for one in data].index(words[words.index("--starting-after") + 1])
page = data[start:start + 1]
print(json.dumps({"object": "list", "url": path, "has_more": start + 1 < len(data), "data": page}, indent=2))
"""


def _commands() -> str:
    """The commands up to the import itself."""
    part = README.read_text().partition("## Moving over from Stripe")[2]
    block = re.search(r"((?:    .*\n|\n)+)", part.partition("left out for test mode:\n")[2])
    assert block
    return block[1].partition("    ./portal import")[0].replace("\n    ", "\n")


def _lists() -> dict[str, list[dict[str, Any]]]:
    paths = {kind: f"/v1/{kind}s" for kind in EXPORT}
    paths["billing_portal.configuration"] = "/v1/billing_portal/configurations"
    lists = {paths[kind]: objects for kind, objects in EXPORT.items()}
    lists["/v1/customers"] = [{**EXPORT["customer"][0], "tax_ids": {"object": "list", "data": EXPORT["tax_id"]}}]
    second = {**METHOD, "id": "pm_two"}
    return {**lists, "/v1/customers/cus_one/payment_methods": [METHOD, second]}


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_the_commands_get_everything_that_is_imported(lite_app: Flask, tmp_path: Path) -> None:
    commands = _commands()
    assert commands.count("pages /v1/") >= 10
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "stripe").write_text(STRIPE)
    (tools / "stripe").chmod(0o755)
    (tools / "data.json").write_text(json.dumps(_lists()))
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}
    subprocess.run(["bash", "-euc", commands], cwd=tmp_path, env=environment, check=True, timeout=60)
    report = importer.import_objects(tmp_path / "export", NOW, options=Options(strict=True))
    assert list(report.findings()) == []
    with reading() as connection:
        assert set(connection.scalars(select(Customer.id))) == {"cus_one"}
        assert set(connection.scalars(select(Invoice.id))) == {"in_one"}
        assert set(connection.scalars(select(PaymentMethod.id))) == {"pm_one", "pm_two"}
    assert {name: report.added[name] for name in ("tax ids", "prices", "subscriptions")} == {
        "tax ids": 1, "prices": 2, "subscriptions": 1,
    }  # fmt: skip
