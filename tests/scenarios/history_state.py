"""What is stored of a customer and a subscription of a scenario, as text where tests compare it."""

from dataclasses import dataclass
from decimal import Decimal
from time import gmtime, strftime
from typing import Any

from flask import Flask
from sqlalchemy import func, select

from portal_site.billing.models import (
    Customer,
    CustomerBalanceTransaction,
    Event,
    Invoice,
    InvoiceLineItem,
    PaymentAttempt,
    Subscription,
    SubscriptionItem,
)
from portal_site.billing.rules.amounts import money
from portal_site.db import db
from tests import world
from tests.world import reading


@dataclass
class HistoryState:
    """A customer of a shop, attached to a test clock that stands at `now`."""

    app: Flask
    shop: world.Shop
    clock_id: str
    now: int
    first_balance: int = 0

    @property
    def _ids(self) -> tuple[str, str]:
        """The ids of the customer and of the subscription."""
        return self.shop.customer.id, self.shop.subscription.id

    def _owned(self, kind: Any) -> Any:
        """The condition that a row of this model belongs to the customer."""
        return kind.customer_id == self.shop.customer.id

    def invoices(self, first: int = 1) -> list[str]:
        """All invoices from index `first`, such as `2026-05-01 paid: 1 seats × Team (at €10.00 / month) 10.00 = 10.00`.

        By default the first month's invoice, which `begins` creates, is skipped. After a trial, `first` must be 0.
        """
        db.session.remove()
        with reading() as reader:
            invoices = reader.execute(
                select(Invoice.__table__).where(self._owned(Invoice)).order_by(Invoice.number)
            ).all()[first:]
            lines = reader.execute(
                select(InvoiceLineItem.__table__)
                .where(self._owned(InvoiceLineItem), InvoiceLineItem.invoice_id.is_not(None))
                .order_by(InvoiceLineItem.position)
            ).all()
        return [self._text(invoice, [line for line in lines if line.invoice_id == invoice.id]) for invoice in invoices]

    def _text(self, invoice: Any, lines: list[Any]) -> str:
        def amount(minor: int) -> Decimal:
            return money.major(minor, invoice.currency)

        parts = ", ".join(f"{line.description} {amount(line.amount)}" for line in lines)
        discount = sum(part["amount"] for part in invoice.total_discount_amounts)
        exclusive = sum(tax["amount"] for tax in invoice.total_taxes if tax["tax_behavior"] == "exclusive")
        inclusive = sum(tax["amount"] for tax in invoice.total_taxes if tax["tax_behavior"] == "inclusive")
        more = f", discount {amount(-discount)}" if discount else ""
        more += f", tax {amount(exclusive)}" if exclusive else ""
        more += f" (tax {amount(inclusive)})" if inclusive else ""
        due = f", due {amount(invoice.amount_due)}" if invoice.amount_due != invoice.total else ""
        assert invoice.total == sum(line.total for line in lines)
        return f"{day(invoice.created)} {invoice.status}: {parts}{more} = {amount(invoice.total)}{due}"

    @property
    def subscription(self) -> Any:
        """The subscription's row."""
        db.session.remove()
        with reading() as reader:
            return reader.execute(select(Subscription.__table__).where(self._owned(Subscription))).one()

    @property
    def item(self) -> Any:
        """The item's row."""
        db.session.remove()
        with reading() as reader:
            is_item = SubscriptionItem.id == self.shop.item_id
            return reader.execute(select(SubscriptionItem.__table__).where(is_item)).one()

    @property
    def period(self) -> tuple[str, str]:
        """The start and end date of the item's current period."""
        return day(self.item.current_period_start), day(self.item.current_period_end)

    @property
    def balance(self) -> int:
        """The customer's balance in minor units. Asserts that it is the sum of its transactions."""
        db.session.remove()
        with reading() as reader:
            balance = reader.scalar(select(Customer.balance).where(Customer.id == self.shop.customer.id)) or 0
            query = select(func.coalesce(func.sum(CustomerBalanceTransaction.amount), 0))
            change = reader.scalar(query.where(self._owned(CustomerBalanceTransaction))) or 0
        assert balance == change + self.first_balance
        return int(balance)

    @property
    def events(self) -> list[str]:
        """The types of all events so far, in order."""
        db.session.remove()
        with reading() as reader:
            in_account = Event.account_id == self.shop.customer.account_id
            return list(reader.scalars(select(Event.type).where(in_account).order_by(Event.created, Event.id)))

    @property
    def payments(self) -> list[str]:
        """How each try to collect stands: `2026-05-01 processing`, by the day on which it began."""
        db.session.remove()
        with reading() as reader:
            mine = select(PaymentAttempt.__table__).where(self._owned(PaymentAttempt))
            rows = reader.execute(mine.order_by(PaymentAttempt.created, PaymentAttempt.id)).all()
        return [f"{day(row.created)} {row.status}" for row in rows]

    @property
    def default_method(self) -> str:
        """The id of the customer's default payment method."""
        with reading() as reader:
            is_customer = Customer.id == self.shop.customer.id
            return str(reader.scalar(select(Customer.default_payment_method_id).where(is_customer)))


def day(at: int) -> str:
    """The date of an instant, in UTC."""
    return strftime("%Y-%m-%d", gmtime(at))
