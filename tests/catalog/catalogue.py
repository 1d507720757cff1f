"""What tests of the catalogue share: making its objects, what was emitted, and refusals."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select

from portal_site.billing.catalog import coupons, prices, products
from portal_site.billing.errors import BillingError
from portal_site.billing.models import Coupon, Event, Price, Product
from portal_site.billing.rules.catalog.discount_definitions import CouponDefinition
from portal_site.billing.rules.catalog.price_definitions import PriceDefinition, Recurring
from tests.world import reading

AT = 1_790_000_000
DAY = 24 * 60 * 60
TEST, LIVE = False, True
MONTHLY = Recurring("month")
TEN_A_MONTH = PriceDefinition("eur", 1000, recurring=MONTHLY)
TENTH = CouponDefinition(percent_off=Decimal(10))


def product(account_id: str, name: str = "Team", livemode: bool = TEST) -> Product:
    return products.create(account_id, livemode, AT, name=name)


def price(account_id: str, definition: PriceDefinition = TEN_A_MONTH, **members: Any) -> Price:
    return prices.create(account_id, TEST, AT, product(account_id).id, definition, **members)


def coupon(account_id: str, definition: CouponDefinition = TENTH, **members: Any) -> Coupon:
    return coupons.create(account_id, TEST, AT, definition, **members)


def events(account_id: str) -> list[tuple[str, Any]]:
    """Type and data of the account's events, in their order."""
    with reading() as reader:
        query = select(Event.type, Event.data).where(Event.account_id == account_id).order_by(Event.sequence)
        return [(row[0], row[1]) for row in reader.execute(query)]


def refusal(action: Callable[[], Any]) -> BillingError:
    """The error that the action is refused with."""
    with pytest.raises(BillingError) as refused:
        action()
    return refused.value
