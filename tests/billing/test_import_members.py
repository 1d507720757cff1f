"""Each member of the known objects is on one of three lists, and what decides an amount is named."""

import json
from typing import Any

import pytest
from flask import Flask

from portal_site.billing.importing import importer
from portal_site.billing.importing.importer import Options
from portal_site.billing.importing.reading.members import LISTS
from tests.billing.exports import COUPON, EXPORT, ITEM, NOW, SCHEDULE, Place, changed
from tests.conftest import SHARED

FIELDS = SHARED / "stripe-fields.txt"
# Parts of other objects, and what the list of members does not have.
UNDOCUMENTED = {"phase", "phase_item", "tax_rate", "credit_note_line_item"}
ITEM_OF_IT: Place = ("subscription", 0, "items", "data", 0)
PHASE: Place = ("subscription_schedule", 0, "phases", 1)


def _documented() -> dict[str, list[str]]:
    """The members of each object that Stripe documents."""
    found: dict[str, list[str]] = {}
    kind = ""
    for line in FIELDS.read_text().partition("##### params")[0].splitlines():
        if line.startswith("# "):
            kind = line[2:]
        elif line.startswith("  "):
            found.setdefault(kind, []).append(line.strip().partition(":")[0].rstrip("~"))
    return found


@pytest.mark.skipif(not FIELDS.exists(), reason="the list of members is not here")
@pytest.mark.parametrize("kind", sorted(LISTS.keys() - UNDOCUMENTED))
def test_every_documented_member_is_on_a_list(kind: str) -> None:
    documented = _documented()[kind]
    assert documented
    assert [name for name in documented if name not in LISTS[kind].all] == []


@pytest.mark.parametrize("kind", LISTS)
def test_no_member_is_on_two_lists(kind: str) -> None:
    lists = LISTS[kind]
    assert lists.harmless & (lists.read | lists.left.keys() | lists.schema.model_fields.keys()) <= {
        "metadata",
        "livemode",
    }
    assert not lists.read & lists.left.keys()


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        (("subscription", 0, "automatic_tax"), {"enabled": True}, "automatic_tax"),
        (("subscription", 0, "billing_thresholds"), {"amount_gte": 100}, "billing_thresholds"),
        (("subscription", 0, "transfer_data"), {"destination": "acct_2"}, "transfer_data"),
        (("subscription", 0, "application_fee_percent"), 10.0, "application_fee_percent"),
        (("subscription", 0, "pending_invoice_item_interval"), {"interval": "week"}, "pending_invoice_item_interval"),
        (("subscription", 0, "billing_cycle_anchor_config"), {"day_of_month": 31}, "billing_cycle_anchor_config"),
        (("subscription", 0, "managed_payments"), {"enabled": True}, "managed_payments"),
        ((*ITEM_OF_IT, "billing_thresholds"), {"usage_gte": 5}, "billing_thresholds"),
        ((*ITEM_OF_IT, "current_trial"), {"end_date": NOW, "start_date": NOW}, "current_trial"),
        (("subscription_schedule", 0, "default_settings"), {"automatic_tax": {"enabled": True}}, "default_settings"),
        ((*PHASE, "add_invoice_items"), [{"price": "price_one"}], "add_invoice_items"),
        ((*PHASE, "automatic_tax"), {"enabled": True}, "automatic_tax"),
        ((*PHASE, "trial_end"), NOW, "trial_end"),
        ((*PHASE, "items", 0, "discounts"), [{"coupon": "TEN"}], "discounts"),
    ],
    ids=lambda value: ".".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_what_decides_an_amount_is_named_and_left_to_the_other_system(
    lite_app: Flask, path: Place, value: Any, named: str
) -> None:
    document = changed([(path, value), (("subscription", 0, "schedule"), SCHEDULE["id"])])
    report = importer.import_objects(json.dumps(document).encode(), NOW, options=Options(renew=True))
    assert [finding.sentence for finding in report.findings() if f"has {named}, which is not read" in finding.sentence]
    assert report.renewed == 0
    assert [finding.id for finding in report.findings() if finding.result == "not renewed"] == ["sub_one"]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("subscription", 0, "automatic_tax"), {"enabled": False, "liability": None}),
        (
            ("subscription", 0, "trial_settings"),
            {"end_behavior": {"missing_payment_method": "cancel"}},
        ),  # not on a trial
        (("subscription", 0, "billing_thresholds"), None),
        (("subscription", 0, "invoice_settings"), {"account_tax_ids": None, "issuer": {"type": "self"}}),
    ],
)
def test_what_says_nothing_is_not_named(lite_app: Flask, path: Place, value: Any) -> None:
    document = changed([(path, value)])
    report = importer.import_objects(json.dumps(document).encode(), NOW, options=Options(renew=True))
    assert list(report.findings()) == []
    assert report.renewed == 1


def test_an_items_discount_is_the_items_own(lite_app: Flask) -> None:
    half = {
        **COUPON,
        "id": "HALF",
        "percent_off": 50,
        "duration": "forever",
        "duration_in_months": None,
        "applies_to": None,
    }
    own = {"id": "di_item", "object": "discount", "start": NOW, "end": None, "source": {"coupon": half}}
    document = changed([((*ITEM_OF_IT, "discounts"), [own])])
    report = importer.import_objects(json.dumps(document).encode(), NOW, options=Options(strict=True))
    assert report.added["discounts"] == 3
    assert report.added["coupons"] == 2
    alone = changed([((*ITEM_OF_IT, "discounts"), ["di_item"])])
    alone["subscription"][0]["id"], alone["subscription"][0]["items"]["data"] = (
        "sub_two",
        [{**ITEM, "id": "si_x", "discounts": ["di_x"]}],
    )
    refused = importer.import_objects(json.dumps(alone).encode(), NOW)
    assert [finding.id for finding in refused.findings() if "expand[]=data.discounts" in finding.sentence] == [
        "sub_two"
    ]


def test_the_export_itself_says_nothing_unknown(lite_app: Flask) -> None:
    report = importer.import_objects(json.dumps(EXPORT).encode(), NOW)
    assert report.unknown_members == 0


def test_members_of_tax_ids_and_tax_rates_are_known(lite_app: Flask) -> None:
    own = {"id": "txi_own", "object": "tax_id", "type": "eu_vat", "value": "DE123456789", "customer": None,
           "owner": {"type": "account", "account": "acct_one", "customer": None, "application": None}}  # fmt: skip
    rate = {"id": "txr_one", "object": "tax_rate", "active": True, "country": "FR", "description": None, "created": NOW,
            "display_name": "TVA", "percentage": 20.0, "effective_percentage": 20.0, "inclusive": False, "livemode": False,
            "jurisdiction": "FR", "jurisdiction_level": "country", "rate_type": "percentage", "state": None, "flat_amount": None,
            "tax_type": "vat", "metadata": {}}  # fmt: skip
    document = changed(
        [
            (("invoice", 0, "account_tax_ids"), ["txi_own"]),
            (("invoice", 0, "default_tax_rates"), [rate]),
            (("invoice", 0, "customer_tax_exempt"), "reverse"),
            (("invoice", 0, "lines", "data", 0, "tax_rates"), [rate]),
            (("account", 0, "tax_ids"), [{"type": "eu_vat", "value": "DE123456789"}]),
        ]
    )
    document["tax_id"].append({**own, "livemode": False, "created": NOW, "country": "DE", "verification": None})
    report = importer.import_objects(json.dumps({**document, "tax_rate": [rate]}).encode(), NOW)
    assert list(report.findings()) == []
    assert (report.unknown_members, report.unknown_objects) == (0, 0)
