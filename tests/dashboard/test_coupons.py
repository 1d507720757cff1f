"""Coupons, promotion codes and tax rates in the dashboard."""

from typing import Any

import pytest

from portal_site import clock
from portal_site.billing.models import CatalogTaxRate, Coupon, Event, PromotionCode
from portal_site.db.transactions import transaction
from tests import world
from tests.client import parse, text
from tests.dashboard.counter import COUPON, Counter, stock

LAST_DAY, ITS_END = "2026-06-30", 1_782_856_800  # in Paris, where the account is


def _error(page: str, field: str) -> str:
    found = next((one for one in parse(page).iter() if one.get("id") == f"{field}-error"), None)
    assert found is not None, text(page)
    return "".join(found.itertext())


def _coupon(counter: Counter, **data: Any) -> Any:
    return counter.send("coupons", "coupons/new", **{**COUPON, **data})


def test_a_percentage_for_some_months_on_some_products_until_a_day(counter: Counter) -> None:
    product = stock(counter.account_id)["product"]
    made = _coupon(
        counter, name="Spring", percentage="12,5 %", duration="repeating", months="3", redeem_by=LAST_DAY,
        max_redemptions="50", products=product, coupon_id="SPRING-26",
    )  # fmt: skip
    assert made.location == counter.address("coupons/SPRING-26")
    row = next(row for row in counter.rows(Coupon) if row.id == "SPRING-26")
    assert (row.percent_off, row.amount_off, row.currency, row.duration, row.duration_in_months) == (
        "12.5", None, None, "repeating", 3,
    )  # fmt: skip
    assert (row.redeem_by, row.max_redemptions, row.applies_to_products) == (ITS_END, 50, [product])
    page = text(counter.get("coupons/SPRING-26").text)
    for words in (
        "12.5% off for 3 months",
        "Only for Team",
        "until June 30, 2026, redeemed 0 of 50 times",
        "SPRING-26",
    ):
        assert words in page
    assert "Spring" in text(counter.get("coupons").text)
    assert "Spring" not in text(counter.get("coupons?state=archived").text)


@pytest.mark.parametrize(
    ("currency", "typed", "minor"), [("eur", "12,50", 1250), ("jpy", "1,500", 1500), ("kwd", "1.5", 1500)]
)
def test_an_amount_off_is_stored_to_the_minor_unit(counter: Counter, currency: str, typed: str, minor: int) -> None:
    made = _coupon(counter, kind="amount", percentage="ignored", amount=typed, currency=currency, duration="forever")
    assert made.status_code == 303
    (row,) = counter.rows(Coupon)
    assert (row.amount_off, row.currency, row.percent_off, row.duration) == (minor, currency, None, "forever")


@pytest.mark.parametrize(
    ("data", "field", "words"),
    [
        ({"percentage": ""}, "percentage", "Enter a percentage."),
        ({"percentage": "a lot"}, "percentage", "Enter a percentage such as 12.5."),
        ({"percentage": "101"}, "percentage", "of at most 100"),
        ({"percentage": "0"}, "percentage", "greater than 0"),
        ({"percentage": "1.234"}, "percentage", "at most 2 decimals"),
        ({"kind": "amount"}, "amount", "Enter an amount."),
        ({"kind": "amount", "amount": "1,500"}, "amount", "type 1500 or 1.5000"),
        ({"kind": "amount", "amount": "0.005"}, "amount", "at most 2 decimals"),
        ({"kind": "amount", "amount": "0.5", "currency": "jpy"}, "amount", "JPY has no decimals."),
        ({"kind": "amount", "amount": "0"}, "amount", "from 1 to"),
        ({"kind": "gift"}, "kind", "Not a valid choice"),
        ({"duration": "repeating"}, "months", "Please fill in this field."),
        ({"duration": "repeating", "months": "0"}, "months", "from 1 to"),
        ({"redeem_by": "yesterday"}, "redeem_by", "Not a valid date"),
        ({"redeem_by": "2020-01-01"}, "redeem_by", "in the future"),
        ({"redeem_by": "2040-01-01"}, "redeem_by", "within the next five years"),
        ({"redeem_by": "9999-12-31"}, "redeem_by", "within the next five years"),
        ({"max_redemptions": "0"}, "max_redemptions", "from 1 to"),
        ({"products": "prod_none"}, "products", "not a valid choice"),
        ({"coupon_id": "ÉTÉ"}, "coupon_id", "only letters without accents"),
        ({"coupon_id": "TAKEN"}, "coupon_id", "Choose another ID"),
        ({"name": "x" * 41}, "name", "at most 40"),
    ],
)
def test_a_coupon_that_cannot_be_is_refused_with_what_was_typed(
    counter: Counter, data: dict[str, str], field: str, words: str
) -> None:
    _coupon(counter, coupon_id="TAKEN")
    refused = _coupon(counter, **{"name": "Kept", **data})
    assert refused.status_code == 422
    assert words in _error(refused.text, field)
    assert 'value="Kept"' in refused.text or "name" in data
    assert len(counter.rows(Coupon)) == 1


def test_a_coupon_is_renamed_and_deleted_after_a_question(counter: Counter) -> None:
    coupon = stock(counter.account_id)["coupon"]
    assert counter.send(f"coupons/{coupon}", name="Summer").status_code == 303
    refused = counter.send(f"coupons/{coupon}", name="x" * 41)
    assert (refused.status_code, "at most 40" in refused.text) == (422, True)
    page = counter.get(f"coupons/{coupon}").text
    question = counter.get(f"coupons/{coupon}/deletion")
    assert f"coupons/{coupon}/deletion" in page
    assert "Delete Summer?" in text(question.text)
    assert next(row for row in counter.rows(Coupon)).valid
    deleted = counter.send(f"coupons/{coupon}/deletion")
    assert deleted.location == counter.address("coupons")
    assert "Discounts that it has given go on." in text(counter.get("coupons").text)
    assert counter.get(f"coupons/{coupon}").status_code == 404
    assert [row.active for row in counter.rows(PromotionCode)] == [False]


def test_a_code_with_all_its_limits(counter: Counter) -> None:
    with transaction() as session:
        made = world.Merchant(session, clock.now(), session.get_one(world.Account, counter.account_id))
        customer = made.customer("Hedda Berg", "hedda@x.example", "usual")
        customer_id = customer.id
    coupon = stock(counter.account_id)["coupon"]
    done = counter.send(
        f"coupons/{coupon}/codes", f"coupons/{coupon}", code="HELLO-1", max_redemptions="5", expires=LAST_DAY,
        first_time="y", minimum="20,50", currency="eur", customer="hedda@x.example",
    )  # fmt: skip
    assert done.status_code == 303
    row = next(row for row in counter.rows(PromotionCode) if row.code == "HELLO-1")
    assert (row.coupon_id, row.max_redemptions, row.expires_at, row.first_time_transaction) == (
        coupon,
        5,
        ITS_END,
        True,
    )
    assert (row.minimum_amount, row.minimum_amount_currency, row.customer_id) == (2050, "eur", customer_id)
    page = text(counter.get(f"coupons/{coupon}").text)
    limits = "until June 30, 2026, redeemed 0 of 5 times, for new customers, from €20.50 on, for Hedda Berg"
    assert limits in page
    by_id = counter.send(f"coupons/{coupon}/codes", f"coupons/{coupon}", customer=customer_id, currency="eur")
    assert by_id.status_code == 303
    with transaction() as session:
        made = world.Merchant(session, clock.now(), session.get_one(world.Account, counter.account_id))
        made.customer("Another", "hedda@x.example", "usual 2", invoice_prefix="OTHER")
    refused = counter.send(f"coupons/{coupon}/codes", f"coupons/{coupon}", customer="hedda@x.example", currency="eur")
    assert "Several customers have this email" in _error(refused.text, "customer")


def test_a_code_without_a_text_gets_one_and_goes_off_and_on(counter: Counter) -> None:
    things = stock(counter.account_id)
    coupon, code = things["coupon"], things["code"]
    assert counter.send(f"coupons/{coupon}/codes", f"coupons/{coupon}", currency="eur").status_code == 303
    texts = {row.code for row in counter.rows(PromotionCode)}
    assert len(texts) == 2
    there = f"coupons/{coupon}/codes/{code}/activity"
    counter.send(there, f"coupons/{coupon}", active="no")
    assert {row.id: row.active for row in counter.rows(PromotionCode)}[code] is False
    assert "Switch on" in text(counter.get(f"coupons/{coupon}").text)
    text_of = next(row.code for row in counter.rows(PromotionCode) if row.id == code)
    same = {"code": text_of.lower(), "currency": "eur"}
    assert counter.send(f"coupons/{coupon}/codes", f"coupons/{coupon}", **same).status_code == 303
    assert counter.send(there, f"coupons/{coupon}", active="yes").status_code == 303
    assert "there is an active one like this already" in text(counter.get(f"coupons/{coupon}").text)
    assert {row.id: row.active for row in counter.rows(PromotionCode)}[code] is False


@pytest.mark.parametrize(
    ("data", "field", "words"),
    [
        ({"code": "too odd!"}, "code", "Use only letters without accents"),
        ({"code": "TAKEN"}, "code", "Choose another code"),
        ({"max_redemptions": "11"}, "max_redemptions", "Enter at most 10"),
        ({"max_redemptions": "x"}, "max_redemptions", "Not a valid integer"),
        ({"expires": "2026-07-01"}, "expires", "Let the code end before its coupon does."),
        ({"expires": "2020-01-01"}, "expires", "in the future"),
        ({"minimum": "1,500"}, "minimum", "type 1500 or 1.5000"),
        ({"minimum": "0"}, "minimum", "from 1 to"),
        ({"minimum": "0.001"}, "minimum", "at most 2 decimals"),
        ({"customer": "nobody@x.example"}, "customer", "No customer has this email."),
        ({"customer": "cus_none"}, "customer", "No such customer"),
    ],
)
def test_a_code_that_cannot_be_is_refused_with_what_was_typed(
    counter: Counter, data: dict[str, str], field: str, words: str
) -> None:
    _coupon(counter, coupon_id="TEN", redeem_by=LAST_DAY, max_redemptions="10")
    counter.send("coupons/TEN/codes", "coupons/TEN", code="TAKEN", currency="eur")
    refused = counter.send("coupons/TEN/codes", "coupons/TEN", **{"code": "KEPT", "currency": "eur", **data})
    assert refused.status_code == 422
    assert words in _error(refused.text, field)
    assert data.get("code", "KEPT") in refused.text
    assert len(counter.rows(PromotionCode)) == 1


def test_a_code_for_the_last_day_of_its_coupon(counter: Counter) -> None:
    _coupon(counter, coupon_id="TEN", redeem_by=LAST_DAY)
    done = counter.send("coupons/TEN/codes", "coupons/TEN", code="LAST", expires=LAST_DAY, currency="eur")
    assert done.status_code == 303


RATE = {"display_name": "VAT", "percentage": "8,875", "how": "added"}


def test_tax_rates(counter: Counter) -> None:
    more = {"jurisdiction": "New York", "country": "us", "state": "ny", "description": "For the shop"}
    assert counter.send("tax-rates", **RATE, **more).status_code == 303
    assert counter.send("tax-rates", **{**RATE, "how": "included", "percentage": "20"}).status_code == 303
    first, second = sorted(counter.rows(CatalogTaxRate), key=lambda row: row.inclusive)
    assert (first.percentage, first.inclusive, first.country, first.state) == ("8.875", False, "US", "NY")
    assert (second.percentage, second.inclusive, second.country) == ("20", True, None)
    page = text(counter.get("tax-rates").text)
    for words in ("VAT, 8.875%, added to prices New York, US-NY, For the shop", "VAT, 20%, included in prices"):
        assert words in page
    counter.send(f"tax-rates/{first.id}/activity", "tax-rates", active="no")
    assert "8.875" not in text(counter.get("tax-rates").text)
    assert "8.875" in text(counter.get("tax-rates?state=archived").text)
    counter.send(f"tax-rates/{first.id}/activity", "tax-rates", active="yes")
    assert "8.875" in text(counter.get("tax-rates?q=york").text)
    assert counter.send("tax-rates/txr_none/activity", "tax-rates").status_code == 404
    kinds = [row.type for row in counter.rows(Event) if row.type.startswith("tax_rate")]
    assert sorted(kinds) == ["tax_rate.created"] * 2 + ["tax_rate.updated"] * 2


@pytest.mark.parametrize(
    ("data", "field", "words"),
    [
        ({"display_name": ""}, "display_name", "Name on invoices is required."),
        ({"percentage": ""}, "percentage", "Percentage is required."),
        ({"percentage": "much"}, "percentage", "Enter a percentage such as 12.5."),
        ({"percentage": "101"}, "percentage", "from 0 to 100"),
        ({"percentage": "1.23456"}, "percentage", "at most 4 decimals"),
        ({"how": "hidden"}, "how", "Not a valid choice"),
        ({"country": "F1"}, "country", "two letters"),
        ({"state": "N-Y"}, "state", "Enter the state"),
        ({"jurisdiction": "x" * 51}, "jurisdiction", "at most 50"),
    ],
)
def test_a_tax_rate_that_cannot_be_is_refused_with_what_was_typed(
    counter: Counter, data: dict[str, str], field: str, words: str
) -> None:
    refused = counter.send("tax-rates", **{**RATE, "description": "Kept", **data})
    assert refused.status_code == 422
    assert words in _error(refused.text, field)
    assert 'value="Kept"' in refused.text
    assert counter.rows(CatalogTaxRate) == []
