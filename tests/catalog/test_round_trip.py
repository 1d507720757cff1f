"""What is created here leaves as the API's objects, and comes back from them as it was."""

import json
from decimal import Decimal
from typing import Any

from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from portal_site.billing.catalog import coupons, prices, products, promotion_codes, tax_rates
from portal_site.billing.importing import importer
from portal_site.billing.importing.importer import Options
from portal_site.billing.models import CatalogTaxRate, Coupon, Price, Product, PromotionCode
from portal_site.billing.resources import catalog as resources
from portal_site.billing.rules.catalog.discount_definitions import CodeRestrictions, CouponDefinition
from portal_site.billing.rules.catalog.price_definitions import PriceDefinition
from tests import world
from tests.catalog import definitions
from tests.catalog.catalogue import AT, DAY, TENTH, TEST
from tests.conftest import empty_all
from tests.world import reading

KINDS: tuple[Any, ...] = (Product, Price, Coupon, PromotionCode, CatalogTaxRate)
NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=40).filter(
    str.strip
)


def _stored(kind: Any) -> list[Any]:
    """All rows of a kind, without whose they are: an import makes an account of its own."""
    columns = [column for column in kind.__table__.columns if column.key != "account_id"]
    with reading() as reader:
        return sorted((dict(row) for row in reader.execute(select(*columns)).mappings()), key=lambda row: row["id"])


def _exported() -> bytes:
    """All objects of the catalogue as an export has them."""
    with world.transaction() as session:
        found: dict[Any, list[Any]] = {
            kind: list(session.scalars(select(kind).execution_options(unscoped="the test exports all")))
            for kind in KINDS
        }
        objects = {
            "product": [resources.product(row) for row in found[Product]],
            "price": [resources.price(row, with_tiers=True) for row in found[Price]],
            "coupon": [resources.coupon(row, with_products=True) for row in found[Coupon]],
            "promotion_code": [resources.promotion_code(row) for row in found[PromotionCode]],
            "tax_rate": [resources.tax_rate(row) for row in found[CatalogTaxRate]],
        }
    return json.dumps(objects).encode()


def _comes_back() -> None:
    before, export = {kind: _stored(kind) for kind in KINDS}, _exported()
    empty_all()
    report = importer.import_objects(export, AT + DAY, options=Options(strict=True))
    assert [finding.sentence for finding in report.findings()] == []
    assert {kind: _stored(kind) for kind in KINDS} == before
    again = importer.import_objects(export, AT + DAY, options=Options(strict=True))
    assert (sum(again.added.values()), sum(again.updated.values())) == (0, 0)


UNHURRIED = settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])


def _account() -> str:
    empty_all()
    with world.merchant() as made:
        return made.account.id


@UNHURRIED
@given(st.lists(definitions.PRICES, min_size=1, max_size=6), NAMES, st.booleans())
def test_prices_come_back(lite_app: Flask, wanted: list[PriceDefinition], name: str, active: bool) -> None:
    account_id = _account()
    product = products.create(
        account_id, TEST, AT, name=name, description=f"{name}\n{name}", marketing_features=[name], active=active
    )
    for number, definition in enumerate(wanted):
        prices.create(account_id, TEST, AT, product.id, definition, nickname=name, lookup_key=f"{name.strip()}{number}")
    products.update(account_id, TEST, product.id, AT + DAY, unit_label="seat", metadata={"name": name})
    _comes_back()


@UNHURRIED
@given(st.lists(definitions.coupons(AT), min_size=1, max_size=6), NAMES)
def test_coupons_and_codes_come_back(lite_app: Flask, wanted: list[CouponDefinition], name: str) -> None:
    account_id = _account()
    product = products.create(account_id, TEST, AT, name=name)
    for number, definition in enumerate(wanted):
        applies_to = [product.id] if number % 2 else []
        made = coupons.create(account_id, TEST, AT, definition, name=name, applies_to=applies_to)
        limits = CodeRestrictions(
            expires_at=definition.redeem_by, max_redemptions=definition.max_redemptions, minimum_amount=number + 1,
            minimum_amount_currency="eur", first_time_transaction=bool(number % 2),
        )  # fmt: skip
        promotion_codes.create(account_id, TEST, AT, made.id, restrictions=limits, active=bool(number % 3))
    _comes_back()


@UNHURRIED
@given(st.lists(definitions.PERCENTAGES, min_size=1, max_size=6), NAMES, st.booleans())
def test_tax_rates_come_back(lite_app: Flask, wanted: list[Decimal], name: str, inclusive: bool) -> None:
    account_id = _account()
    for percentage in wanted:
        tax_rates.create(
            account_id, TEST, AT, display_name=name, percentage=percentage, inclusive=inclusive, description=name,
            country="CA", state="QC", jurisdiction=name, active=not inclusive, metadata={"name": name},
        )  # fmt: skip
    _comes_back()


def test_a_change_here_stays_when_the_same_is_imported_again(app: Flask) -> None:
    account_id = _account()
    rate = tax_rates.create(account_id, TEST, AT, display_name="VAT", percentage=Decimal(20), inclusive=True)
    coupon = coupons.create(account_id, TEST, AT, TENTH)
    promotion_codes.create(account_id, TEST, AT, coupon.id, code="TEN")
    export = _exported()
    empty_all()
    importer.import_objects(export, AT)
    with reading() as reader:
        account_id = reader.execute(select(CatalogTaxRate.account_id)).scalar_one()
    tax_rates.update(account_id, TEST, rate.id, AT, display_name="TVA", active=False)
    coupons.delete(account_id, TEST, coupon.id, AT)
    before = {kind: _stored(kind) for kind in KINDS}
    assert list(importer.import_objects(export, AT + DAY).findings()) == []
    assert {kind: _stored(kind) for kind in KINDS} == before
    changed = export.replace(b'"VAT"', b'"MwSt"').replace(b'"country": null', b'"country": "DE"')
    importer.import_objects(changed, AT + 2 * DAY)
    assert [(row["display_name"], row["country"]) for row in _stored(CatalogTaxRate)] == [("TVA", "DE")]
