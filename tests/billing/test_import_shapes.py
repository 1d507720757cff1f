"""Invalid exports, object by object: each refusal is one line with the object's name, and nothing is stored."""

import json
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select, update

from portal_site.billing.errors import ImportRefused
from portal_site.billing.importing import importer
from portal_site.billing.importing.importer import Options
from portal_site.billing.importing.reading import building
from portal_site.billing.importing.report import ImportReport
from portal_site.billing.models import (
    Coupon,
    Customer,
    Discount,
    PaymentMethod,
    PortalConfiguration,
    PromotionCode,
    SchedulePhase,
    SchedulePhaseItem,
    Subscription,
    SubscriptionSchedule,
)
from portal_site.billing.rules.amounts.pricing import MOST_A_UNIT
from portal_site.billing.rules.portal import portal_features
from portal_site.db import Base
from portal_site.db.transactions import transaction
from tests.billing.exports import (
    CONFIGURATION,
    COUPON,
    CUSTOMER,
    EXPORT,
    GONE,
    INVOICE,
    LINE,
    NOW,
    PRICE,
    SCHEDULE,
    Place,
    changed,
)
from tests.conftest import enter
from tests.world import reading


def _take(document: Any) -> ImportReport:
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    return importer.import_objects(text, NOW, options=Options(strict=True))


def _rows() -> int:
    with reading() as connection:
        return sum(connection.scalar(select(func.count()).select_from(t)) or 0 for t in Base.metadata.sorted_tables)


LINE_OF_IT: Place = ("invoice", 0, "lines", "data", 0)
ITEM_OF_IT: Place = ("subscription", 0, "items", "data", 0)
FEATURES: Place = ("billing_portal.configuration", 0, "features")


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        # Parts that are not what they should be.
        ((*LINE_OF_IT, "discount_amounts"), [{"amount": "x"}], "invoice in_one: lines.0.discount_amounts.0.amount"),
        ((*LINE_OF_IT, "parent", "subscription_item_details"), "x", "invoice in_one: lines.0.parent"),
        ((*LINE_OF_IT, "pricing", "price_details"), "x", "invoice in_one: lines.0.pricing"),
        (
            (*LINE_OF_IT, "parent", "subscription_item_details", "proration_details"),
            "x",
            "invoice in_one: lines.0.parent",
        ),
        (("invoice", 0, "parent", "subscription_details"), "x", "invoice in_one: parent.subscription_details"),
        (("invoice", 0, "total_taxes"), [{}], "invoice in_one: total_taxes.0"),
        (("invoice", 0, "total_taxes", 0, "tax_behavior"), GONE, "invoice in_one: total_taxes.0.tax_behavior"),
        (("invoice", 0, "customer_tax_ids"), [{}], "invoice in_one: customer_tax_ids.0"),
        (("tax_id", 0, "verification", "status"), {}, "tax_id txi_one: verification.status"),
        (("customer", 0, "shipping", "address"), "x", "customer cus_one: shipping.address"),
        (("customer", 0, "discount", "source"), {}, "customer cus_one: discount: A discount needs its coupon"),
        (("account", 0, "business_profile", "name"), 5, "account acct_one: business_profile.name"),
        (("subscription", 0, "discounts"), ["di_one"], "subscription sub_one: discounts.0"),
        # Numbers that mean nothing.
        (("payment_method", 0, "card", "exp_month"), 99, "payment_method pm_one: card.exp_month"),
        (("payment_method", 0, "card", "exp_year"), 10**20, "payment_method pm_one: card.exp_year"),
        (("payment_method", 0, "card", "exp_year"), None, "payment_method pm_one: card: The month and the year"),
        (("price", 0, "transform_quantity", "divide_by"), 0, "price price_one: transform_quantity.divide_by"),
        (("coupon", 0, "percent_off"), None, "coupon TEN: A coupon needs a percentage"),
        ((*ITEM_OF_IT, "quantity"), -5, "subscription sub_one: items.0.quantity"),
        ((*ITEM_OF_IT, "current_period_end"), 2**39, "subscription sub_one: items.0.current_period_end"),
        (("subscription", 0, "items", "data"), [], "subscription sub_one: items"),
        # Prices that would cost nothing, or more than numbers can say.
        (("price", 1, "tiers"), [{"x": 1}], "price price_tiers: tiers.0: A tier needs its amount"),
        (("price", 1, "tiers"), None, "price price_tiers: A tiered price needs its mode and its tiers"),
        (("price", 1, "tiers", 1, "up_to"), 20, "price price_tiers: A tiered price needs its mode and its tiers"),
        (("price", 0, "recurring"), None, "price price_one: A recurring price needs its interval"),
        (("price", 0, "unit_amount"), MOST_A_UNIT + 1, "price price_one: unit_amount"),
        (("price", 0, "unit_amount_decimal"), f"{MOST_A_UNIT}.5", "price price_one: unit_amount_decimal"),
        (("price", 1, "tiers", 0, "flat_amount"), MOST_A_UNIT + 1, "price price_tiers: tiers.0.flat_amount"),
        (
            ("price", 1, "tiers", 0, "unit_amount_decimal"),
            str(MOST_A_UNIT + 1),
            "price price_tiers: tiers.0.unit_amount_decimal",
        ),
        ((*LINE_OF_IT, "amount"), 2**63 - 1, "invoice in_one: lines.0.amount"),
        (
            (*LINE_OF_IT, "taxes"),
            [INVOICE["total_taxes"][0] | {"amount": 10**17}] * 2,
            "invoice in_one: lines.0: Its amounts",
        ),
        (("subscription", 0, "default_tax_rates", 0, "percentage"), 101, "subscription sub_one: default_tax_rates"),
        # Names that no page can have, or no line.
        (("subscription", 0, "id"), "sub/one", "subscription sub/one: id"),
        (("invoice", 0, "id"), "in\none", "invoice in one: id"),
        (("customer", 0, "metadata", "a\nb"), 5, "customer cus_one: metadata.a b"),
        # Where links lead.
        (
            ("account", 0, "business_profile", "support_url"),
            "javascript:alert(1)",
            "account acct_one: business_profile.support_url",
        ),
        (("billing_portal.configuration", 0, "default_return_url"), "//x", "configuration bpc_one: default_return_url"),
        (
            ("billing_portal.configuration", 0, "business_profile", "privacy_policy_url"),
            "data:,x",
            "bpc_one: business_profile",
        ),
        (
            ("billing_portal.configuration", 0, "business_profile", "terms_of_service_url"),
            "ftp://x",
            "bpc_one: business_profile",
        ),
        (
            (*FEATURES, "subscription_cancel", "mode"),
            "never",
            "configuration bpc_one: features.subscription_cancel.mode",
        ),
        # What is nowhere.
        (
            ("subscription_schedule", 0, "subscription"),
            "sub_no",
            "subscription schedule sub_sched_one refers to subscription sub_no",
        ),
        (
            ("subscription_schedule", 0, "phases", 1, "items", 0, "price"),
            "price_no",
            "phitem_sub_sched_one_01_00 refers to price",
        ),
        (("promotion_code", 0, "promotion", "coupon"), "NO", "promotion code promo_one refers to coupon NO"),
        (("promotion_code", 0, "customer"), "cus_no", "promotion code promo_one refers to customer cus_no"),
        (("customer", 0, "discount", "source", "coupon"), "NO", "discount di_whole refers to coupon NO"),
        (
            (*FEATURES, "subscription_update", "products", 0, "prices", 0),
            "price_no",
            "bpc_one refers to price price_no",
        ),
        (("invoice", 0, "on_behalf_of"), "acct_no", "invoice in_one refers to connected account acct_no"),
    ],
    ids=lambda value: ".".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_it_is_refused_by_name(lite_app: Flask, path: Place, value: Any, said: str) -> None:
    with pytest.raises(ImportRefused) as error:
        _take(changed([(path, value)]))
    assert said in str(error.value)
    assert len(str(error.value).splitlines()) == 1
    assert _rows() == 0


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (b'{"customer": [], "customer": []}', "The file has the member “customer” more than once."),
        (
            b'{"customer": [{"id": "cus_one", "name": "A", "name": "B"}]}',
            "cus_one has the member “name” more than once.",
        ),
        (b'{"\\ud800": 1, "\\ud800": 2}', "The file has the member “?” more than once."),
        (
            {**EXPORT, "invoice": [{**INVOICE, "lines": [LINE, LINE]}]},
            "invoice line item il_one is in the file 2 times.",
        ),
        ({**EXPORT, "invoice": [INVOICE, {**INVOICE, "id": "in_two"}]}, "il_one is in the file 2 times."),
        (
            {**EXPORT, "invoice": [INVOICE, {**INVOICE, "id": "in_two", "lines": []}]},
            "invoice in_two cannot be stored: ",
        ),
        (
            {**EXPORT, "customer": [CUSTOMER, {**CUSTOMER, "id": "cus_two", "discount": None}]},
            "cus_two refers to payment method pm_one of another customer",
        ),
    ],
)
def test_what_is_twice_is_refused_by_name(app: Flask, document: Any, said: str) -> None:
    with pytest.raises(ImportRefused) as error:
        _take(document)
    assert said in str(error.value)
    assert len(str(error.value).splitlines()) == 1
    assert _rows() == 0


def test_what_the_database_refuses_is_named_among_many(lite_app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the shapes forget: the row is found, whichever it is."""
    monkeypatch.setattr(importer, "BATCH", 7)
    others = [{**CUSTOMER, "id": f"cus_{n}", "discount": None, "invoice_settings": {}} for n in range(20)]
    rows = building.KINDS["customer"]
    broken = (rows[0], lambda shape, account: [_spoiled(row) for row in rows[1](shape, account)])
    monkeypatch.setitem(building.KINDS, "customer", broken)
    with pytest.raises(ImportRefused, match="customer cus_13 cannot be stored: "):
        _take({"customer": others})
    assert _rows() == 0


def _spoiled(row: Any) -> Any:
    row.values["balance"] = 2**70 if row.id == "cus_13" else row.balance
    return row


NULLABLE = (
    ("account", 0, "created"), ("account", 0, "business_profile"), ("price", 0, "tax_behavior"), ("coupon", 0, "applies_to"),
    ("promotion_code", 0, "metadata"), ("customer", 0, "balance"), ("customer", 0, "delinquent"), ("customer", 0, "metadata"),
    ("customer", 0, "invoice_settings"), ("customer", 0, "preferred_locales"), ("customer", 0, "tax_exempt"),
    ("customer", 0, "next_invoice_sequence"), ("tax_id", 0, "verification"), ("subscription", 0, "default_tax_rates"),
    (*ITEM_OF_IT, "tax_rates"), ("invoice", 0, "total_taxes"), ("invoice", 0, "customer_tax_ids"), ("invoice", 0, "parent"),
    (*LINE_OF_IT, "taxes"), (*LINE_OF_IT, "pricing"), (*LINE_OF_IT, "parent"), (*FEATURES, "subscription_update", "products"),
)  # fmt: skip


def test_null_is_as_good_as_unsaid(lite_app: Flask) -> None:
    _take(changed([(place, None) for place in NULLABLE]))
    assert enter(lite_app, "cus_one").get("/invoices/in_one").status_code == 200


def test_members_are_counted_at_each_depth(lite_app: Flask) -> None:
    plain = _take(EXPORT).unknown_members
    more = changed([
        (("customer", 0, "address", "planet"), "Earth"), (("invoice", 0, "lines", "data", 0, "period", "middle"), 1),
        (("price", 1, "tiers", 0, "colour"), "red"), ((*FEATURES, "subscription_cancel", "cancellation_reason", "font"), "a"),
    ])  # fmt: skip
    assert _take(more).unknown_members == plain + 4
    with reading() as connection:
        assert set(connection.scalar(select(Customer.address)) or {}) == set(CUSTOMER["address"])


def test_a_change_that_waits_in_the_other_system_is_left_there(lite_app: Flask) -> None:
    pending = {"expires_at": NOW + 82_800, "subscription_items": [{"id": "si_one", "price": PRICE, "quantity": 9}]}
    report = _take(changed([(("subscription", 0, "pending_update"), pending)]))
    assert report.waiting == 1
    assert "1 changes that wait for their payment were left out" in report.sentence()
    client = enter(lite_app, "cus_one")
    client.get("/subscriptions/sub_one")
    assert client.send("/subscriptions/sub_one/plan-change/payment").status_code == 303
    with reading() as connection:
        assert connection.scalar(select(Subscription.pending_update)) is None


def test_a_schedule_is_taken_over_and_shown(app: Flask) -> None:
    _take(EXPORT)
    with reading() as connection:
        schedule = connection.execute(select(SubscriptionSchedule.origin, SubscriptionSchedule.status)).one()
        spans = connection.execute(
            select(SchedulePhase.start_date, SchedulePhase.end_date).order_by(SchedulePhase.id)
        ).all()
        items = connection.execute(
            select(SchedulePhaseItem.price_id, SchedulePhaseItem.quantity).order_by(SchedulePhaseItem.id)
        ).all()
    assert tuple(schedule) == ("merchant", "active")
    assert list(map(tuple, spans)) == [(p["start_date"], p["end_date"]) for p in SCHEDULE["phases"]]
    assert list(map(tuple, items)) == [("price_one", 7), ("price_tiers", 3)]


def test_an_object_that_changed_here_keeps_its_parts(app: Flask) -> None:
    _take(EXPORT)
    with transaction() as session:
        changed_here = update(SchedulePhase).values(proration_behavior="none")
        session.execute(changed_here, execution_options={"unscoped": "the test's only schedule"})
    before = _rows()
    more = [*SCHEDULE["phases"], {**SCHEDULE["phases"][1], "start_date": NOW + 99}]
    report = _take(changed([(("subscription_schedule", 0, "phases"), more)]))
    assert (report.added, report.updated, _rows()) == ({}, {}, before)
    assert [finding.id for finding in report.findings() if finding.result == "conflict"] == [SCHEDULE["id"]]


def test_codes_and_discounts_are_taken_over(app: Flask) -> None:
    _take(changed([(("customer", 0, "discount", "promotion_code"), "promo_one")]))
    with reading() as connection:
        code = connection.execute(
            select(PromotionCode.code_key, PromotionCode.coupon_id, PromotionCode.minimum_amount)
        ).one()
        discounts = connection.execute(
            select(Discount.id, Discount.subscription_id, Discount.promotion_code, Discount.promotion_code_id)
        ).all()
    assert tuple(code) == ("été10", "TEN", 500)
    assert {row.id: row.promotion_code for row in discounts} == {"di_whole": "Été10", "di_own": "Été10"}
    assert {row.id: row.subscription_id for row in discounts} == {"di_whole": None, "di_own": "sub_one"}
    assert sorted(row.promotion_code_id or "" for row in discounts) == ["", "promo_one"]


def test_a_percentage_keeps_its_decimals(lite_app: Flask) -> None:
    _take({"coupon": [{**COUPON, "percent_off": 33.3333333}, {**COUPON, "id": "TWENTY", "percent_off": 20}]})
    with reading() as connection:
        assert set(connection.scalars(select(Coupon.percent_off))) == {"33.3333333", "20"}


def test_a_discount_of_a_code_that_is_not_in_the_file_keeps_its_coupon(lite_app: Flask) -> None:
    _take(changed([(("promotion_code",), []), (("subscription", 0, "discounts", 0, "promotion_code"), "promo_one")]))
    with reading() as connection:
        assert set(connection.execute(select(Discount.promotion_code, Discount.promotion_code_id))) == {(None, None)}


def test_a_configuration_is_translated(app: Flask) -> None:
    report = _take(EXPORT)
    assert report.added["portal configurations"] == 1
    with reading() as connection:
        row = connection.execute(select(PortalConfiguration.__table__)).mappings().one()
    assert (row["is_default"], row["headline"], row["default_return_url"]) == (True, "Hello", "https://acme.example/")
    features = portal_features.read(row["features"])
    assert features.customer_update.allowed_updates == ("name", "address", "shipping", "tax_id")
    assert features.subscription_cancel.cancellation_reason.options == ("unused", "other")
    assert features.subscription_pause.interval_options == ({"interval": "month", "interval_count": 2},)
    assert features.subscription_update.schedule_at_period_end == ("decreasing_item_amount",)
    assert features.subscription_update.billing_cycle_anchor == "unchanged"
    assert features.subscription_update.price_ids == ("price_one", "price_tiers")
    assert features.subscription_update.limits("prod_one") == portal_features.QuantityLimits(1, portal_features.MOST)
    assert not features.subscription_restart.enabled


def test_what_a_configuration_leaves_unsaid_is_off(lite_app: Flask) -> None:
    _take(changed([(FEATURES, {})]))
    with reading() as connection:
        features = portal_features.read(connection.scalar(select(PortalConfiguration.features)) or {})
    names = (
        "customer_update",
        "invoice_history",
        "payment_method_update",
        "subscription_cancel",
        "subscription_update",
    )
    assert not any(map(features.allows, names))


def test_the_default_that_is_there_stays_the_default(app: Flask) -> None:
    bare = {**CONFIGURATION, "id": "bpc_first", "features": {}}
    _take({"customer": [{"id": "cus_first"}], "billing_portal.configuration": [bare]})
    second = {**CONFIGURATION, "id": "bpc_two", "is_default": False}
    _take({**EXPORT, "account": [], "billing_portal.configuration": [CONFIGURATION, second]})
    with reading() as connection:
        defaults = dict(connection.execute(select(PortalConfiguration.id, PortalConfiguration.is_default)).all())  # type: ignore[arg-type]
    assert (len(defaults), defaults["bpc_one"], defaults["bpc_two"]) == (3, False, False)
    assert sum(defaults.values()) == 1


def test_a_default_that_is_switched_off_is_none(lite_app: Flask) -> None:
    _take(changed([(("billing_portal.configuration", 0, "active"), False)]))
    enter(lite_app, "cus_one")
    with reading() as connection:
        defaults = set(connection.scalars(select(PortalConfiguration.id).where(PortalConfiguration.is_default)))
    assert len(defaults) == 1
    assert "bpc_one" not in defaults


def test_what_is_no_customers_is_left_out(lite_app: Flask) -> None:
    nobodys = {"customer": None, "type": "eu_vat", "value": "FR40303265045"}
    report = _take({"payment_method": [{"id": "pm_none", **nobodys}], "tax_id": [{"id": "txi_none", **nobodys}]})
    assert report.added == {}
    with reading() as connection:
        assert connection.scalar(select(PaymentMethod.id)) is None


def test_options_of_our_own_can_be_added_to_a_configuration(lite_app: Flask) -> None:
    rule = {"offer": {"type": "trial", "days": 14}, "when": {"reasons": ["unused"]}}
    offers = {"enabled": True, "holdout_percent": 10, "rules": [rule]}
    _take(changed([
        ((*FEATURES, "subscription_cancel", "retention"), offers), ((*FEATURES, "subscription_restart"), {"enabled": True}),
        ((*FEATURES, "subscription_cancel", "link_label"), "Terminate contracts here"),
    ]))  # fmt: skip
    with reading() as connection:
        features = portal_features.read(connection.scalar(select(PortalConfiguration.features)) or {})
    assert features.subscription_restart.enabled
    assert features.subscription_cancel.link_label == "Terminate contracts here"
    assert features.subscription_cancel.retention.rules[0].offer.days == 14


def test_an_offer_that_means_nothing_is_refused_by_name(lite_app: Flask) -> None:
    offers = {"enabled": True, "rules": [{"offer": {"type": "cash"}}]}
    with pytest.raises(ImportRefused, match="configuration bpc_one: features.subscription_cancel.retention"):
        _take(changed([((*FEATURES, "subscription_cancel", "retention"), offers)]))
