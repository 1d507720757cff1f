"""Somebody at the catalogue's pages, for tests."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from flask import Flask
from sqlalchemy import Row, select
from werkzeug.test import TestResponse

from portal_site import clock
from portal_site.billing.catalog import coupons, prices, products, promotion_codes, tax_rates
from portal_site.billing.models import Customer, Invoice
from portal_site.billing.rules.catalog.discount_definitions import CouponDefinition
from portal_site.billing.rules.catalog.price_definitions import PriceDefinition, Recurring
from portal_site.db.transactions import reading, transaction
from portal_site.ids import new_id
from tests.client import PortalClient

# What the forms send, filled in.
PRICE = {
    "currency": "eur", "scheme": "each", "amount": "12.50", "interval_count": "1", "interval": "month",
    "tax_behavior": "unspecified",
}  # fmt: skip
COUPON = {"kind": "percent", "percentage": "10", "currency": "eur", "duration": "once"}

START = {
    "price": "{price}", "quantity": "1", "trial": "none", "missing_payment_method": "create_invoice",
    "collection_method": "send_invoice", "days_until_due": "30",
}  # fmt: skip


def stock(account_id: str) -> dict[str, str]:
    """One thing of each kind in test mode; their ids."""
    at = clock.now()
    product = products.create(account_id, False, at, name="Team")
    price = prices.create(account_id, False, at, product.id, PriceDefinition("eur", 1000, recurring=Recurring("month")))
    coupon = coupons.create(account_id, False, at, CouponDefinition(percent_off=Decimal(10)))
    code = promotion_codes.create(account_id, False, at, coupon.id)
    rate = tax_rates.create(account_id, False, at, display_name="VAT", percentage=Decimal(20), inclusive=False)
    return {"product": product.id, "price": price.id, "coupon": coupon.id, "code": code.id, "tax_rate": rate.id}


def paid_invoice(customer: Customer) -> str:
    """An invoice that a customer paid elsewhere; its id."""
    at = clock.now()
    with transaction() as session:
        row = Invoice(
            id=new_id("in"), account_id=customer.account_id, customer_id=customer.id, livemode=customer.livemode,
            created=at, number="HED-0001", status="paid", currency="eur", period_start=at, period_end=at, subtotal=1000,
            total=1000, amount_due=1000, amount_paid=1000, amount_remaining=0, paid_at=at, total_discount_amounts=[],
            total_taxes=[], customer_tax_ids=[],
        )  # fmt: skip
        session.add(row)
        return row.id


@dataclass
class Counter:
    """A browser with somebody signed in, at the catalogue of an account in a mode."""

    app: Flask
    client: PortalClient
    account_id: str
    mode: str = "test"

    def address(self, rest: str) -> str:
        """The URL of a page."""
        return f"/dashboard/{self.account_id}/{self.mode}/{rest}"

    def get(self, rest: str) -> TestResponse:
        """Open a page."""
        return self.client.get(self.address(rest))

    def send(self, rest: str, page: str = "", **data: Any) -> TestResponse:
        """Send the form of a page."""
        self.get(page or rest)
        return self.client.send(self.address(rest), data)

    def rows(self, kind: Any) -> list[Row[Any]]:
        """The rows of a kind that the account has, in the order of their ids."""
        with self.app.app_context(), reading() as reader:
            query = select(kind.__table__).where(kind.account_id == self.account_id)
            return list(reader.execute(query.order_by(kind.created, kind.id)))
