"""Products and prices in the dashboard: what is typed is what the engine stores, to the minor unit, or refused at its field."""

from typing import Any

import pytest

from portal_site.billing.catalog import products
from portal_site.billing.models import Event, Price, Product
from tests.client import parse, text
from tests.conftest import enter
from tests.dashboard.counter import PRICE, Counter
from tests.dashboard.desk import Desk
from tests.dashboard.staff import employ, sign_in


def _product(counter: Counter, **members: Any) -> str:
    with counter.app.app_context():
        made = products.create(counter.account_id, counter.mode == "live", 1, **{"name": "Team", **members})
        return str(made.id)


def _error(page: str, field: str) -> str:
    """The words of the error at a field, to which the summary leads, too."""
    root = parse(page)
    found = next((one for one in root.iter() if one.get("id") == f"{field}-error"), None)
    assert found is not None, text(page)
    assert any(one.get("href") == f"#{field}" for one in root.iter("a"))
    return " ".join("".join(found.itertext()).split()).removeprefix("Error: ")


def test_a_product_from_its_creation_to_the_archive(counter: Counter) -> None:
    made = counter.send(
        "products",
        "products/new",
        name="Team",
        description="For many.\r\nN\x07ow.",
        unit_label="seat",
        features="A\r\n\r\n B ",
    )
    (row,) = counter.rows(Product)
    assert made.location == counter.address(f"products/{row.id}")
    assert (row.description, row.unit_label, row.livemode) == ("For many.\nNow.", "seat", False)
    assert row.marketing_features == [{"name": "A"}, {"name": "B"}]
    page = counter.get(f"products/{row.id}").text
    assert "It has no price yet" in page
    assert "For many.\nNow.</textarea>" in page
    assert "A\nB</textarea>" in page
    assert counter.send(f"products/{row.id}", name="Teams", features="").status_code == 303
    counter.send(f"products/{row.id}/activity", f"products/{row.id}", active="no")
    (row,) = counter.rows(Product)
    assert (row.name, row.marketing_features, row.unit_label, row.active) == ("Teams", [], None, False)
    assert "Teams" not in text(counter.get("products").text)
    assert "Teams" in text(counter.get("products?state=archived").text)
    counter.send(f"products/{row.id}/activity", f"products/{row.id}", active="yes")
    assert "Teams" in text(counter.get("products").text)
    events = [(event.type, event.actor_type) for event in counter.rows(Event) if event.type.startswith("product.")]
    assert events == [("product.created", "user"), *[("product.updated", "user")] * 3]


@pytest.mark.parametrize(
    ("data", "field", "words"),
    [
        ({"name": " "}, "name", "Name is required."),
        ({"name": "x" * 251}, "name", "at most 250 characters"),
        ({"unit_label": "x" * 13}, "unit_label", "at most 12 characters"),
        ({"features": "\n".join("abcdefghijklmnop")}, "features", "at most 15 features"),
        ({"features": "x" * 81}, "features", "at most 80 characters"),
    ],
)
def test_a_product_that_cannot_be_is_refused_with_what_was_typed(
    counter: Counter, data: dict[str, str], field: str, words: str
) -> None:
    product = _product(counter)
    for rest, page in (("products", "products/new"), (f"products/{product}", "")):
        refused = counter.send(rest, page, **{"name": "Kept", "description": "Kept too", **data})
        assert refused.status_code == 422
        assert words in _error(refused.text, field)
        assert "Kept" in refused.text
    assert [row.name for row in counter.rows(Product)] == ["Team"]


def test_the_list_goes_on_behind_its_last_row_and_back(counter: Counter) -> None:
    for number in range(30):
        _product(counter, name=f"Product {number:02}")
    first = counter.get("products?q=product").text
    links = {"".join(link.itertext()): link.get("href", "") for link in parse(first).iter("a")}
    assert "Newer" not in links
    second = counter.client.get(links["Older"]).text
    assert sum(f"Product {number:02}" in first for number in range(30)) == 25
    assert sum(f"Product {number:02}" in second for number in range(30)) == 5
    back = {"".join(link.itertext()): link.get("href", "") for link in parse(second).iter("a")}
    assert "Older" not in back
    assert text(counter.client.get(back["Newer"]).text) == text(first)
    assert counter.get("products?after=prod_none").status_code == 404
    assert "Nothing is like that." in counter.get("products?q=nothing").text


def test_a_mode_has_its_own_products_and_leads_to_the_other(counter: Counter) -> None:
    product = _product(counter)
    page = counter.get("products")
    links = {"".join(link.itertext()): link for link in parse(page.text).iter("a")}
    assert links["Test mode"].get("aria-current") == "true"
    assert links["Live mode"].get("aria-current") is None
    live = counter.client.get(links["Live mode"].get("href", "")).text
    assert "Team" not in text(live).replace("Team API keys", "").split("New product")[1]
    home = counter.client.get(f"/dashboard/{counter.account_id}").text
    assert f"/dashboard/{counter.account_id}/live/coupons" in home  # where one was last
    form = {"".join(a.itertext()): a.get("href") for a in parse(counter.get("products/new").text).iter("a")}
    assert form["Live mode"] == f"/dashboard/{counter.account_id}/live/products/new"
    one = {"".join(a.itertext()): a.get("href") for a in parse(counter.get(f"products/{product}").text).iter("a")}
    assert one["Live mode"] == f"/dashboard/{counter.account_id}/live/products"
    counter.mode = "live"
    assert counter.get(f"products/{product}").status_code == 404
    counter.mode = "other"
    assert counter.get("products").status_code == 404


def _create(counter: Counter, product: str, **data: str) -> Any:
    return counter.send(f"products/{product}/prices/new", **{**PRICE, **data})


def test_a_price_in_packages_with_a_usual_trial(counter: Counter) -> None:
    product = _product(counter, unit_label="calls")
    form = {"divide_by": "1000", "trial_days": "14"}
    look = counter.send(f"products/{product}/prices/preview", f"products/{product}/prices/new", **{**PRICE, **form})
    for words in ("1 call €12.50 per month", "100 calls €12.50 per month"):
        assert words in text(look.text)
    assert _create(counter, product, **form).status_code == 303
    assert _create(counter, product, **form, full="y").status_code == 303
    rows = counter.rows(Price)
    assert sorted(row.transform_quantity["round"] for row in rows) == ["down", "up"]
    assert {(row.transform_quantity["divide_by"], row.trial_period_days) for row in rows} == {(1000, 14)}
    page = text(counter.get(f"products/{product}").text)
    for words in ("per month for each 1,000 calls", "per month for each full 1,000 calls", "14 days of trial"):
        assert words in page
    for typed, words in (
        ({"divide_by": "0"}, "Enter a whole number from 1"), ({"divide_by": "-1"}, "Enter a whole number from 1"),
        ({"trial_days": "731"}, "from 1 to 730"), ({"trial_days": "0"}, "from 1 to 730"),
    ):  # fmt: skip
        refused = _create(counter, product, **typed)
        assert refused.status_code == 422
        assert words in _error(refused.text, next(iter(typed)))
    assert len(counter.rows(Price)) == 2
    # What a choice hides is not used.
    tiers = {"scheme": "volume", "tiers-0-unit_amount": "1", "divide_by": "10"}
    assert _create(counter, product, **tiers).status_code == 303
    once = {"interval": "once", "trial_days": "14"}
    assert _create(counter, product, **once).status_code == 303
    packaged = [row for row in counter.rows(Price) if row.transform_quantity]
    assert len(packaged) == 2


@pytest.mark.parametrize(
    ("currency", "typed", "minor", "exact", "words"),
    [
        ("eur", "12.50", 1250, "1250", "€12.50 per month"),
        ("eur", "12,5", 1250, "1250", "€12.50 per month"),
        ("eur", "€ 1 000,50", 100050, "100050", "€1,000.50 per month"),
        ("eur", "0.005", None, "0.5", "€0.005 per month each"),
        ("eur", "0", 0, "0", "€0.00 per month"),
        ("jpy", "1,500", 1500, "1500", "¥1,500 per month"),
        ("jpy", "0.25", None, "0.25", "¥0.25 per month each"),
        ("kwd", "12.5", 12500, "12500", "KWD 12.500 per month"),
        ("kwd", "12.500", 12500, "12500", "KWD 12.500 per month"),
        ("kwd", "0.0005", None, "0.5", "KWD 0.0005 per month each"),
    ],
)
def test_a_price_is_stored_to_the_minor_unit(
    counter: Counter, currency: str, typed: str, minor: int | None, exact: str, words: str
) -> None:
    product = _product(counter)
    assert _create(counter, product, currency=currency, amount=typed).status_code == 303
    (row,) = counter.rows(Price)
    assert (row.product_id, row.currency, row.unit_amount, row.unit_amount_decimal) == (product, currency, minor, exact)
    assert (row.type, row.interval, row.interval_count, row.billing_scheme) == ("recurring", "month", 1, "per_unit")
    page = text(counter.get(f"products/{product}").text).replace("\xa0", " ").replace("JP¥", "¥")
    assert words in page


def test_once_and_every_two_weeks(counter: Counter) -> None:
    product = _product(counter)
    _create(counter, product, interval="once", interval_count="")
    _create(
        counter,
        product,
        interval="week",
        interval_count="2",
        tax_behavior="inclusive",
        nickname="Fair",
        lookup_key="fair",
    )
    once, often = sorted(counter.rows(Price), key=lambda row: str(row.type))
    assert (once.type, once.interval, once.interval_count) == ("one_time", None, None)
    assert (often.interval, often.interval_count, often.tax_behavior, often.nickname, often.lookup_key) == (
        "week", 2, "inclusive", "Fair", "fair",
    )  # fmt: skip
    page = text(counter.get(f"products/{product}").text)
    for words in ("€12.50 once", "€12.50 every 2 weeks", "Tax is included", "Fair · fair"):
        assert words in page


TIERS = {
    "scheme": "graduated", "amount": "",
    **{f"tiers-{row}-{name}": "" for row in range(5) for name in ("up_to", "unit_amount", "flat_amount")},
    "tiers-0-up_to": "10", "tiers-0-unit_amount": "5", "tiers-0-flat_amount": "20.50",
    "tiers-2-up_to": "100", "tiers-2-unit_amount": "0,005", "tiers-4-flat_amount": "7",
}  # fmt: skip


def test_tiers_are_stored_without_the_empty_rows(counter: Counter) -> None:
    product = _product(counter, unit_label="seat")
    assert _create(counter, product, **TIERS).status_code == 303
    assert _create(counter, product, **{**TIERS, "scheme": "volume"}).status_code == 303
    for row in counter.rows(Price):
        assert (row.billing_scheme, row.unit_amount) == ("tiered", None)
        assert [(tier["up_to"], tier["unit_amount"], tier["unit_amount_decimal"]) for tier in row.tiers] == [
            (10, 500, "500"), (100, None, "0.5"), (None, None, None),
        ]  # fmt: skip
        assert [tier["flat_amount"] for tier in row.tiers] == [2050, None, 700]
    assert {row.tiers_mode for row in counter.rows(Price)} == {"graduated", "volume"}
    page = text(counter.get(f"products/{product}").text)
    for words in ("1 to 10: €5.00 each and €20.50", "11 to 100: €0.005 each", "101 and more: €7.00"):
        assert words in page


def test_what_quantities_cost_is_shown_before_the_price_is_created(counter: Counter) -> None:
    product = _product(counter, unit_label="seat")
    there = f"products/{product}/prices/preview"
    page = counter.get(f"products/{product}/prices/new")
    assert "Enter an amount" in text(page.text)
    looked = counter.send(there, f"products/{product}/prices/new", **{**PRICE, **TIERS})
    assert looked.status_code == 200
    words = text(looked.text)
    for amount in ("1 seat €25.50 per month", "10 seats €70.50 per month", "100 seats €70.95 per month"):
        assert amount in words
    assert 'value="20.50"' in looked.text
    fragment = counter.client.send(counter.address(there), {**PRICE, "amount": "0.005"}, headers={"HX-Request": "true"})
    assert text(fragment.text).startswith("What customers pay 1 seat €0.01 per month 10 seats €0.05")
    asked = counter.client.send(counter.address(there), {**PRICE, "amount": "1,500"}, headers={"HX-Request": "true"})
    assert (asked.status_code, "This can be read in two ways: type 1500 or 1.5000." in asked.text) == (200, True)
    assert counter.rows(Price) == []


def test_more_tiers_keep_what_was_typed(counter: Counter) -> None:
    product = _product(counter)
    more = counter.send(
        f"products/{product}/prices/preview", f"products/{product}/prices/new", rows="more", **{**PRICE, **TIERS}
    )
    assert more.status_code == 200
    assert 'name="tiers-9-up_to"' in more.text
    assert 'name="tiers-10-up_to"' not in more.text
    assert 'value="0,005"' in more.text


REFUSED: list[tuple[dict[str, str], str, str]] = [
    ({"amount": ""}, "amount", "Please fill in this field."),
    ({"amount": "ten"}, "amount", "Enter an amount such as 12.50."),
    ({"amount": "-5"}, "amount", "Enter an amount such as 12.50."),
    ({"amount": "1,500"}, "amount", "type 1500 or 1.5000"),
    ({"amount": "1.500", "currency": "jpy"}, "amount", "type 1500 or 1.5000"),
    ({"amount": "99999999"}, "amount", "99,999,999"),
    ({"amount": "0." + "0" * 15 + "1"}, "amount", "at most 12 decimals"),
    ({"interval_count": "4", "interval": "year"}, "interval_count", "from 1 to 3"),
    ({"interval_count": ""}, "interval_count", "Please fill in this field."),
    ({"interval_count": "two"}, "interval_count", "Not a valid integer"),
    ({"interval": "fortnight"}, "interval", "Not a valid choice"),
    ({"currency": "xxx"}, "currency", "Not a valid choice"),
    ({"scheme": "magic"}, "scheme", "Not a valid choice"),
    ({"tax_behavior": "none"}, "tax_behavior", "Not a valid choice"),
    ({"nickname": "x" * 5001}, "nickname", "at most 5000 characters"),
    ({"lookup_key": "taken"}, "lookup_key", "Choose another lookup key"),
    ({**TIERS, "tiers-0-unit_amount": "1,500"}, "tiers-0-unit_amount", "type 1500 or 1.5000"),
    ({**TIERS, "tiers-0-flat_amount": "0.005"}, "tiers-0-flat_amount", "EUR with at most 2 decimals"),
    ({**TIERS, "tiers-2-up_to": "10"}, "tiers-2-up_to", "Let each tier end after the one before it."),
    ({**TIERS, "tiers-2-up_to": ""}, "tiers-2-up_to", "Only the last tier can be without an end"),
    ({**TIERS, "tiers-2-up_to": "many"}, "tiers-2-up_to", "Not a valid integer"),
    ({**TIERS, "tiers-4-up_to": "200"}, "tiers-4-up_to", "Let the last tier have no end."),
    ({**TIERS, "tiers-4-flat_amount": "", "tiers-4-up_to": "200"}, "tiers-4-up_to", "Let the last tier have no end."),
    ({"scheme": "volume"}, "scheme", "Enter from 1 to"),
    ({**TIERS, "interval": "once"}, "scheme", "Only recurring prices can have tiers"),
]


@pytest.mark.parametrize(("data", "field", "words"), REFUSED)
def test_a_price_that_cannot_be_is_refused_with_what_was_typed(
    counter: Counter, data: dict[str, str], field: str, words: str
) -> None:
    product = _product(counter)
    _create(counter, product, lookup_key="taken")
    refused = _create(counter, product, **{"nickname": "Kept", **data})
    assert refused.status_code == 422
    assert words in _error(refused.text, field)
    assert "Kept" in refused.text or "nickname" in data
    chosen = ("currency", "scheme", "interval", "tax_behavior", "nickname")
    assert field in chosen or f'value="{data[field]}"' in refused.text
    assert len(counter.rows(Price)) == 1


def test_a_lookup_key_can_be_taken_over(counter: Counter) -> None:
    product = _product(counter)
    _create(counter, product, lookup_key="usual")
    assert _create(counter, product, amount="15", lookup_key="usual", transfer="y").status_code == 303
    assert {(row.unit_amount, row.lookup_key) for row in counter.rows(Price)} == {(1250, None), (1500, "usual")}


def test_nickname_and_lookup_key_of_a_price(counter: Counter) -> None:
    product = _product(counter)
    _create(counter, product, lookup_key="taken")
    _create(counter, product, amount="15")
    price = next(row.id for row in counter.rows(Price) if row.unit_amount == 1500)
    there, page = f"products/{product}/prices/{price}", f"products/{product}"
    refused = counter.send(there, page, nickname="Kept", lookup_key="taken")
    assert (refused.status_code, "Choose another lookup key" in text(refused.text)) == (422, True)
    assert 'value="Kept"' in refused.text
    assert counter.send(there, page, nickname="Summer", lookup_key="summer").status_code == 303
    stored = next(row for row in counter.rows(Price) if row.id == price)
    assert (stored.nickname, stored.lookup_key) == ("Summer", "summer")
    other = _product(counter, name="Solo")
    assert counter.send(f"products/{other}/prices/{price}", page, nickname="x").status_code == 404
    assert counter.send(f"products/{other}/prices/{price}/activity", page, active="no").status_code == 404


def test_an_archived_price_is_offered_no_more(desk: Desk) -> None:
    counter = Counter(desk.app, desk.client, desk.account_id)
    solo = desk.shop.prices["solo"]
    there = f"/subscriptions/{desk.shop.subscription.id}/plan-change"
    assert "Solo" in text(desk.portal().get(there).text)
    assert "Solo, €4.00 per month" in desk.client.get(desk.address("offers")).text.replace("\xa0", " ")
    counter.send(f"products/{solo.product_id}/prices/{solo.id}/activity", f"products/{solo.product_id}", active="no")
    assert "Solo" not in text(desk.portal().get(there).text)
    assert "Solo, €4.00 per month" not in desk.client.get(desk.address("offers")).text.replace("\xa0", " ")
    page = counter.get(f"products/{solo.product_id}")
    assert "Reactivate" in page.text
    counter.send(f"products/{solo.product_id}/prices/{solo.id}/activity", f"products/{solo.product_id}", active="yes")
    assert "Solo" in text(desk.portal().get(there).text)


def test_who_may_only_read_sees_no_form(counter: Counter) -> None:
    from portal_site.staff.roles import Role

    product = _product(counter, description="For many.", marketing_features=["Fast"])
    support = employ(counter.account_id, Role.SUPPORT, "sue@lumen.example", "Sue")
    counter.client = sign_in(counter.app, support)
    assert "New product" not in counter.get("products").text
    page = counter.get(f"products/{product}").text
    assert ("For many." in page, "Fast" in page) == (True, True)
    assert "textarea" not in page
    assert "New price" not in page
    assert "API keys" not in page


def test_the_first_page_leads_to_where_each_step_is_done(counter: Counter) -> None:
    home = counter.client.get(f"/dashboard/{counter.account_id}").text
    links = {" ".join("".join(a.itertext()).split()): a.get("href", "") for a in parse(home).iter("a")}
    for name, rest in (
        ("Open Branding", "settings/account/branding"), ("Open Products", "test/products"),
        ("Open What customers may do", "settings"),
    ):  # fmt: skip
        assert links[name] == f"/dashboard/{counter.account_id}/{rest}"
        assert counter.client.get(links[name]).status_code == 200


def test_a_customer_sees_a_new_product_as_it_was_typed(desk: Desk) -> None:
    counter = Counter(desk.app, desk.client, desk.account_id)
    product = desk.shop.prices["solo"].product_id
    counter.send(f"products/{product}", name="Solo & Co <b>", description="", features="Quick <i>")
    customer = enter(desk.app, desk.shop.customer)
    page = customer.get(f"/subscriptions/{desk.shop.subscription.id}/plan-change").text
    assert "Solo &amp; Co &lt;b&gt;" in page
    assert "Quick &lt;i&gt;" in page
