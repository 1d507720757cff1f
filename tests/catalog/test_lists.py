"""Lists of the catalogue: filters, pages in both directions, and the indexes that find their rows."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import insert

from portal_site.billing.catalog import coupons, lists, prices, products, promotion_codes, rows, tax_rates
from portal_site.billing.catalog.lists import Page, Place
from portal_site.billing.errors import BillingError, NotFound
from portal_site.billing.models import CatalogTaxRate, Coupon, Price, Product, PromotionCode
from portal_site.db.page_query import literal_limit
from tests import world
from tests.catalog.catalogue import AT, LIVE, TEST, refusal
from tests.plans import plan

MANY = 60


def _fill(account_id: str, count: int = MANY) -> None:
    """Many rows of each kind, in both modes; every third is archived or has ended, the first of five products has most prices."""
    owner = {"account_id": account_id, "metadata_": {}}
    made: dict[Any, list[dict[str, Any]]] = {
        kind: [] for kind in (Product, Coupon, Price, PromotionCode, CatalogTaxRate)
    }
    for number in range(count):
        mode = number % 10 == 9
        # Some have the same age.
        own = {**owner, "livemode": mode, "created": AT + number // 2, "active": number % 3 != 0}
        name, other = f"{account_id}_{number:03}", f"{account_id}_{number % 4 and number // 10:03}"
        other = f"{account_id}_009" if mode else other
        made[Product].append({**own, "id": f"prod_{name}", "name": f"Product {number}", "marketing_features": []})
        made[Coupon].append(
            {**owner, "livemode": mode, "created": AT + number // 2, "id": f"C{number:03}", "name": f"Coupon {number}",
             "percent_off": "10", "valid": number % 3 != 0, "redeem_by": AT + 5 if number % 5 == 0 else None,
             "max_redemptions": 1 if number % 7 == 0 else None, "times_redeemed": 1}
        )  # fmt: skip
        made[Price].append(
            {**own, "id": f"price_{name}", "product_id": f"prod_{other}", "currency": "eur", "unit_amount": 1,
             "nickname": f"Été {number}", "lookup_key": f"key_{number}" if number % 2 else None}
        )  # fmt: skip
        made[PromotionCode].append(
            {**own, "id": f"promo_{name}", "coupon_id": f"C{other[-3:]}", "code": f"CODE-{number}",
             "code_key": f"code-{number}"}
        )  # fmt: skip
        made[CatalogTaxRate].append(
            {
                **own,
                "id": f"txr_{name}",
                "display_name": f"VAT {number}",
                "percentage": "20",
                "inclusive": number % 2 == 0,
            }
        )
    with world.transaction() as session:
        for kind, values in made.items():
            session.execute(insert(kind), values)


@pytest.fixture
def filled(account_id: str) -> str:
    """An account with many rows, beside one that has as many."""
    with world.merchant("Other") as other:
        pass
    _fill(account_id)
    _fill(other.account.id)
    return account_id


def _ids(page: Page) -> list[str]:
    return [row.id[-3:] for row in page.rows]


def _numbers(where: Callable[[int], bool], mode: bool = TEST) -> list[str]:
    """Of the rows of a mode that a list should have, the last digits, in its order."""
    found = [number for number in range(MANY) if (number % 10 == 9) is mode and where(number)]
    return [f"{number:03}" for number in sorted(found, key=lambda number: (-(number // 2), -number))]


def test_filters_of_lists(filled: str) -> None:
    all_of = Place(limit=100)
    every = (products, prices, tax_rates)
    for mode in (TEST, LIVE):
        for noun in every:
            for active in (True, False):
                page = noun.page(filled, mode, active=active, place=all_of)  # type: ignore[attr-defined]
                assert _ids(page) == _numbers(lambda number: (number % 3 != 0) is active, mode)  # noqa: B023
            assert _ids(noun.page(filled, mode, place=all_of)) == _numbers(lambda _: True, mode)  # type: ignore[attr-defined]
    assert _ids(products.page(filled, TEST, text="product 1", place=all_of)) == _numbers(
        lambda number: str(number).startswith("1")
    )
    assert _ids(prices.page(filled, TEST, text="KEY_3", place=all_of)) == _numbers(
        lambda number: number % 2 == 1 and str(number).startswith("3")
    )
    assert _ids(prices.page(filled, TEST, text="Été 12")) == ["012"]
    assert _ids(prices.page(filled, TEST, lookup_keys=["key_3", "key_5", "key_4", "a\0"])) == ["005", "003"]
    assert _ids(prices.page(filled, TEST, lookup_keys=["key_3"])) == ["003"]
    of_first = prices.page(filled, TEST, product_id=f"prod_{filled}_001", place=all_of)
    assert _ids(of_first) == _numbers(lambda number: number % 4 != 0 and number // 10 == 1)
    assert _ids(tax_rates.page(filled, TEST, inclusive=True, text="vat 2", place=all_of)) == _numbers(
        lambda number: number % 2 == 0 and str(number).startswith("2")
    )
    assert products.page(filled, TEST, text="100%_").rows == []
    assert len(products.page(filled, TEST, text=" \0 ").rows) == lists.USUAL


def _redeemable(number: int) -> bool:
    return number % 3 != 0 and number % 5 != 0 and number % 7 != 0


def test_filters_of_coupons_and_codes(filled: str) -> None:
    all_of, later = Place(limit=100), AT + 5
    active = coupons.page(filled, TEST, later, active=True, place=all_of)
    assert _ids(active) == _numbers(_redeemable)
    ended = coupons.page(filled, TEST, later, active=False, place=all_of)
    assert _ids(ended) == _numbers(lambda number: not _redeemable(number))
    assert _ids(coupons.page(filled, TEST, AT, text="coupon 31")) == ["031"]

    def of_coupon(number: int) -> int:
        return number // 10 if number % 4 else 0

    codes = promotion_codes.page(filled, TEST, later, active=True, place=all_of)
    assert _ids(codes) == _numbers(lambda number: number % 3 != 0 and _redeemable(of_coupon(number)))
    others = promotion_codes.page(filled, TEST, later, active=False, place=all_of)
    assert len(codes.rows) + len(others.rows) == len(_numbers(lambda _: True))
    own = promotion_codes.page(filled, TEST, later, coupon_id="C002", place=all_of)
    assert _ids(own) == _numbers(lambda number: of_coupon(number) == 2)
    assert _ids(promotion_codes.page(filled, TEST, later, code="cODe-7")) == ["007"]
    assert _ids(promotion_codes.page(filled, TEST, later, text="e-7")) == ["007"]
    assert promotion_codes.page(filled, TEST, later, customer_id="cus_none").rows == []


def test_pages_in_both_directions(filled: str) -> None:
    wanted = _numbers(lambda _: True)
    place, found, pages = Place(limit=7), [], []
    for _ in range(20):
        page = products.page(filled, TEST, place=place)
        pages.append(_ids(page))
        found += pages[-1]
        place = Place(after=page.rows[-1].id, limit=7)
        if not page.has_more:
            break
    assert found == wanted
    back = products.page(filled, TEST, place=Place(before=f"prod_{filled}_{pages[2][0]}", limit=7))
    assert (_ids(back), back.has_more) == (pages[1], True)
    first = products.page(filled, TEST, place=Place(before=f"prod_{filled}_{pages[1][0]}", limit=7))
    assert (_ids(first), first.has_more) == (pages[0], False)
    assert len(products.page(filled, TEST, place=Place(limit=0)).rows) == 1
    assert len(products.page(filled, TEST, place=Place(limit=1000)).rows) == len(wanted)


def test_a_place_is_a_row_of_the_account_and_mode(filled: str) -> None:
    for name in ("prod_none", "prod_\0", f"prod_{filled}_009"):
        behind = refusal(lambda: products.page(filled, TEST, place=Place(after=name)))  # noqa: B023
        before = refusal(lambda: products.page(filled, TEST, place=Place(before=name)))  # noqa: B023
        assert isinstance(behind, NotFound)
        assert (behind.param, before.param) == ("starting_after", "ending_before")
    with pytest.raises(BillingError, match="not for both"):
        products.page(filled, TEST, place=Place(after="a", before="b"))


def test_the_place_of_a_deleted_coupon_is_one(account_id: str) -> None:
    _fill(account_id)
    coupons.delete(account_id, TEST, "C030", AT)
    page = coupons.page(account_id, TEST, AT, place=Place(after="C030", limit=1))
    assert _ids(page) == ["028"]
    assert "030" not in _ids(coupons.page(account_id, TEST, AT, place=Place(limit=100)))


LISTS: Any = {
    "products": (Product, [Product.active == False], "ix_products_list"),  # noqa: E712 - as the list asks
    "products with a text": (Product, lists.holding("Team", Product.name, Product.id), "ix_products_list"),
    "prices": (Price, [Price.active], "ix_prices_list"),
    "prices of a product": (Price, [Price.product_id == "prod_x", Price.active], "ix_prices_product_id"),
    "prices with a lookup key": (Price, [Price.lookup_key == "team"], "ix_prices_lookup_key"),
    "coupons": (Coupon, [coupons.redeemable(AT)], "ix_coupons_list"),
    "codes": (PromotionCode, [], "ix_promotion_codes_list"),
    "codes of a coupon": (PromotionCode, [PromotionCode.coupon_id == "C001"], "ix_promotion_codes_coupon_id"),
    "codes of a customer": (PromotionCode, [PromotionCode.customer_id == "cus_x"], "ix_promotion_codes_customer_id"),
    "codes with a text": (PromotionCode, [PromotionCode.code_key == "ten"], "ix_promotion_codes_code_key"),
    "tax rates": (CatalogTaxRate, [CatalogTaxRate.active], "ix_tax_rates_list"),
}


def test_each_list_goes_by_its_index_in_its_order(account_id: str) -> None:
    _fill(account_id, 2000)
    for name, (kind, conditions, index) in LISTS.items():
        every = [*rows.owned(kind, account_id, TEST), *conditions]
        for cursor in (None, (AT, "x")):
            for back in (False, True):
                query = lists.behind(kind, every, cursor, back=back).limit(literal_limit(26))
                found = plan(query, kind.__tablename__, unused=True)
                assert index in found, (name, found)
                for slow in ("SCAN ", "TEMP B-TREE", "Sort", "Seq Scan"):
                    assert slow not in found, (name, found)
