"""The objects in the events of the catalogue have the members that Stripe's have."""

import gzip
import json
from decimal import Decimal

import pytest

from portal_site.billing.catalog import coupons, promotion_codes, tax_rates
from tests.catalog.catalogue import AT, TENTH, TEST, events, price
from tests.conftest import SHARED

RECORDED, SCHEMAS = SHARED / "recorded-members.json", SHARED / "stripe-openapi.json.gz"
# What only appears when it is asked for, and what is about accounts of a kind that there is not here.
LEFT_OUT = {"applies_to", "currency_options", "customer_account", "tiers"}


@pytest.mark.skipif(not SCHEMAS.exists(), reason="the recorded facts about the API are not here")
def test_objects_have_the_members_of_stripes(lite_account_id: str) -> None:
    price(lite_account_id)
    coupon = coupons.create(lite_account_id, TEST, AT, TENTH)
    promotion_codes.create(lite_account_id, TEST, AT, coupon.id)
    tax_rates.create(lite_account_id, TEST, AT, display_name="VAT", percentage=Decimal(20), inclusive=True)
    found = {data["object"]["object"]: data["object"] for _, data in events(lite_account_id)}
    assert set(found) == {"product", "price", "coupon", "promotion_code", "tax_rate"}
    schemas = json.loads(gzip.decompress(SCHEMAS.read_bytes()))["components"]["schemas"]
    for kind, document in found.items():
        assert set(schemas[kind]["properties"]) - LEFT_OUT <= set(document), kind
        nullable = {name for name, member in schemas[kind]["properties"].items() if member.get("nullable")}
        assert {name for name, value in document.items() if value is None} <= nullable, kind
    recorded = json.loads(RECORDED.read_text())
    for kind in ("price", "coupon"):
        assert set(recorded[kind]["always"]) == set(found[kind])
