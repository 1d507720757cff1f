"""The steps of a plan change through the portal's URLs and forms, and the resulting state."""

import re
from typing import Any

import time_machine
from sqlalchemy import func, select

from portal_site.billing.gateways.sandbox.models import SandboxCharge
from portal_site.billing.models import Invoice, SubscriptionItem
from portal_site.db import db
from tests import world
from tests.client import PortalClient, text
from tests.world import reading

HALF = time_machine.travel(world.HALF, tick=False)


def fields(shop: world.Shop, price: str = "team", quantity: Any = 1) -> dict[str, str]:
    """The form's fields for a choice."""
    return {f"price-{shop.item_id}": shop.prices[price].id, f"quantity-{shop.item_id}": str(quantity)}


def address(shop: world.Shop, end: str = "") -> str:
    """Where the page is."""
    return f"/subscriptions/{shop.subscription.id}/plan-change{end}"


def quote(client: PortalClient, shop: world.Shop, price: str = "team", quantity: Any = 1, **more: str) -> Any:
    """The page with a choice and what it costs."""
    return client.get(address(shop), query_string=fields(shop, price, quantity) | more)


def confirm(client: PortalClient, shop: world.Shop, page: Any, **changed: str) -> Any:
    """Say yes to what a page shows."""
    found = re.search(r'name="quote" value="([^"]+)"', page.text)
    assert found, text(page.text)
    return client.send(address(shop), {"quote": found[1], **changed})


def apply_code(client: PortalClient, shop: world.Shop, quantity: int, code: str) -> Any:
    """Type a promotion code."""
    there = f"/subscriptions/{shop.subscription.id}/promotion-code"
    return client.send(there, fields(shop, quantity=quantity) | {"promotion_code": code})


def state(shop: world.Shop) -> tuple[Any, int, int]:
    """The item, how many invoices there are, and how many charges."""
    db.session.remove()
    with reading() as reader:
        item = reader.execute(select(SubscriptionItem.__table__).where(SubscriptionItem.id == shop.item_id)).one()
        mine = Invoice.customer_id == shop.customer.id
        invoices = reader.scalar(select(func.count()).select_from(Invoice).where(mine)) or 0
        return item, invoices, reader.scalar(select(func.count()).select_from(SandboxCharge)) or 0


def untouched(shop: world.Shop) -> bool:
    """Whether nothing was changed and nothing charged."""
    item, invoices, charges = state(shop)
    return (item.price_id, item.quantity, invoices, charges) == (shop.prices["team"].id, 1, 1, 0)
