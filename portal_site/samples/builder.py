"""Writes consistent made-up rows of one account: customers, subscriptions, and invoices that follow the billing rules.

It writes rows directly, with dates in the past, and is not meant for real data.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, cast

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from portal_site.billing.invoicing import invoice_rows
from portal_site.billing.invoicing.invoice_rows import LineRow
from portal_site.billing.invoicing.payers import Payer
from portal_site.billing.loading import plans
from portal_site.billing.loading.plans import PlanRow
from portal_site.billing.models import (
    Account,
    Coupon,
    Customer,
    Discount,
    Invoice,
    InvoiceLineItem,
    PaymentAttempt,
    PaymentMethod,
    Price,
    Product,
    SchedulePhase,
    SchedulePhaseItem,
    Subscription,
    SubscriptionItem,
    SubscriptionSchedule,
)
from portal_site.billing.rules.amounts.discounts import CouponTerms, DiscountTerms
from portal_site.billing.rules.amounts.items import PricedPlan
from portal_site.billing.rules.amounts.periods import boundary
from portal_site.billing.rules.invoicing import invoices
from portal_site.billing.rules.invoicing.invoices import InvoiceLine, LineKind
from portal_site.billing.rules.subscriptions.statuses import AttemptStatus
from portal_site.db import Base
from portal_site.ids import new_id

DAY = 24 * 60 * 60
YEAR_DAYS = 365
Row = TypeVar("Row", bound=Base)


@dataclass(frozen=True)
class Discounted:
    """A coupon that is applied until `end` (None: indefinitely)."""

    coupon: Coupon
    end: int | None = None


@dataclass
class Builder:
    """Writes rows of one account, and of one mode, as of `at` (seconds since 1970)."""

    session: Session
    at: int
    account: Account
    dice: random.Random = field(default_factory=lambda: random.Random(7))
    items: dict[str, dict[str, str]] = field(default_factory=dict)  # item ids by subscription id and price id
    livemode: bool = False

    def row(self, kind: type[Row], prefix: str, **members: Any) -> Row:
        """Store a row of this account and mode."""
        mode = {"livemode": self.livemode} if hasattr(kind, "livemode") else {}
        row = kind(id=new_id(prefix), account_id=self.account.id, **{"created": self.at, **mode, **members})
        self.session.add(row)
        self.session.flush()
        return row

    def product(
        self, name: str, unit: str | None = None, description: str = "", features: Sequence[str] = ()
    ) -> Product:
        """Create a product."""
        marketed = [{"name": feature} for feature in features]
        texts = {"description": description or None, "marketing_features": marketed}
        return self.row(Product, "prod", name=name, unit_label=unit, created=self.at - 2 * YEAR_DAYS * DAY, **texts)

    def price(self, product: Product, amount: int, currency: str, every: str = "month", **members: Any) -> Price:
        """Create a recurring price. `amount` is in minor units per interval."""
        recurring = {"interval": every, "interval_count": 1, "unit_amount": amount}
        return self.row(Price, "price", product_id=product.id, currency=currency, **{**recurring, **members})

    def customer(self, name: str, email: str, phrase: str, **members: Any) -> Customer:
        """Create a customer. The phrase is stored as its description and shown on the demo page."""
        prefix = "".join(self.dice.choices("ABCDEFGHJKLMNPQRSTUVWXYZ23456789", k=8))
        return self.row(
            Customer, "cus", name=name, email=email, description=phrase, **{"invoice_prefix": prefix, **members}
        )

    def payment_method(self, customer: Customer, **members: Any) -> PaymentMethod:
        """Create a payment method. The first one is the customer's default."""
        method = self.row(PaymentMethod, "pm", customer_id=customer.id, **members)
        customer.default_payment_method_id = customer.default_payment_method_id or method.id
        return method

    def subscription(
        self,
        customer: Customer,
        prices: Sequence[tuple[Price, int | None]],
        *,
        started: int,
        status: str = "active",
        discount: Discounted | None = None,
        **members: Any,
    ) -> Subscription:
        """Create a subscription that started `started` days ago, with items in the current period."""
        start = self.at - started * DAY
        currency = prices[0][0].currency
        customer.currency = currency
        defaults = {"created": start, "start_date": start, "billing_cycle_anchor": members.get("trial_end") or start}
        subscription = self.row(
            Subscription, "sub", customer_id=customer.id, status=status, currency=currency, **{**defaults, **members}
        )
        for price, quantity in prices:
            begin, end = self.period(subscription, price)
            item = self.row(
                SubscriptionItem, "si", subscription_id=subscription.id, price_id=price.id, quantity=quantity,
                created=start, current_period_start=begin, current_period_end=end,
            )  # fmt: skip
            self.items.setdefault(subscription.id, {})[price.id] = item.id
        if discount is not None:
            self.discount(subscription, discount.coupon, discount.end)
        return subscription

    def discount(self, subscription: Subscription, coupon: Coupon, end: int | None = None) -> None:
        """Apply a coupon to a subscription."""
        row = Discount(
            id=new_id("di"), account_id=self.account.id, customer_id=subscription.customer_id,
            subscription_id=subscription.id, coupon_id=coupon.id, start=subscription.created, end=end,
        )  # fmt: skip
        self.session.add(row)

    def period(self, subscription: Subscription, price: Price) -> tuple[int, int]:
        """Start and end of this price's period at `self.at`."""
        if subscription.trial_end and subscription.trial_end > self.at:
            return subscription.start_date, subscription.trial_end
        starts = list(periods(subscription.start_date, self.at, price.interval or "month"))
        return starts[-1]

    def schedule(
        self,
        subscription: Subscription,
        price: Price,
        quantity: int,
        date: int,
        origin: str = "portal",
        proration_behavior: str = "none",
    ) -> None:
        """Schedule a change of plan for `date`. By default it counts as made by the customer in the portal."""
        plan = self.row(
            SubscriptionSchedule, "sub_sched", customer_id=subscription.customer_id, subscription_id=subscription.id,
            status="active", origin=origin,
        )  # fmt: skip
        phase = SchedulePhase(
            id=new_id("phase"), account_id=self.account.id, schedule_id=plan.id, start_date=date,
            proration_behavior=proration_behavior,
        )  # fmt: skip
        self.session.add(phase)
        self.session.flush()
        item = SchedulePhaseItem(
            id=new_id("phitem"), account_id=self.account.id, phase_id=phase.id, price_id=price.id, quantity=quantity
        )
        self.session.add(item)

    # --- invoices -----------------------------------------------------------------------------------------------------

    def history(
        self,
        customer: Customer,
        subscription: Subscription,
        lines: Sequence[tuple[Product, Price, int]],
        *,
        last: str = "paid",
        most: int = 12,
        until: int | None = None,
        discount: Discounted | None = None,
    ) -> None:
        """Create an invoice for each of the last `most` periods. `last` is the status of the newest one."""
        spans = list(periods(subscription.start_date, until or self.at, lines[0][1].interval or "month"))[-most:]
        self.session.flush()
        by_price = self.items.get(subscription.id, {})
        priced = [(offer(product, price), by_price.get(price.id, ""), quantity) for product, price, quantity in lines]
        bills = [
            self._bill(customer, subscription, priced, span, discount, number) for number, span in enumerate(spans, 1)
        ]
        customer.next_invoice_sequence = len(bills) + 1
        if last != "paid":
            unpaid = {"status": last, "amount_paid": 0, "amount_remaining": bills[-1][0]["amount_due"], "paid_at": None}
            bills[-1][0].update(unpaid)
        for start in range(0, len(bills), 500):
            chunk = bills[start : start + 500]
            self.session.execute(insert(Invoice), [invoice for invoice, _ in chunk])
            self.session.execute(insert(InvoiceLineItem), [line for _, rows in chunk for line in rows])
        subscription.latest_invoice_id = bills[-1][0]["id"] if bills else None

    def failed_payment(self, subscription: Subscription, method: PaymentMethod, retry_at: int) -> None:
        """Let the payment of the subscription's newest invoice have failed. It is tried again at `retry_at`."""
        of_subscription = Invoice.account_id == self.account.id, Invoice.id == subscription.latest_invoice_id
        invoice = self.session.scalars(select(Invoice).where(*of_subscription)).one()
        invoice.attempt_count, invoice.next_payment_attempt = 1, retry_at
        self.row(
            PaymentAttempt, "payatt", customer_id=invoice.customer_id, invoice_id=invoice.id, payment_method_id=method.id,
            created=invoice.created, settled_at=invoice.created + 60, amount=invoice.amount_remaining,
            currency=invoice.currency, status=AttemptStatus.DECLINED, decline_code="card_declined",
            idempotency_key=new_id("charge"), automatic=True,
        )  # fmt: skip

    def _bill(
        self,
        customer: Customer,
        subscription: Subscription,
        lines: Iterable[tuple[PricedPlan, str, int]],
        span: tuple[int, int],
        discount: Discounted | None,
        number: int,
    ) -> tuple[dict[str, Any], list[LineRow]]:
        begin, end = span
        running = [DiscountTerms("di_demo", CouponTerms.of(coupon_columns(discount.coupon)))] if discount else []
        due = [
            InvoiceLine(LineKind.CYCLE, plan, item_id, quantity, begin, end, plan.amount(quantity))
            for plan, item_id, quantity in lines
        ]
        charged = invoices.with_discounts_and_tax(due, running, subscription.currency)
        bill = invoices.total_up(charged, 0, subscription.currency)
        payer = _payer(customer, self.account, number)
        invoice: dict[str, Any] = {
            **invoice_rows.invoice_row(payer, subscription, bill, begin),
            "status": "paid", "billing_reason": "subscription_cycle", "period_start": begin, "period_end": end,
            "amount_paid": bill.amount_due, "amount_remaining": 0, "attempt_count": 1, "paid_at": begin + 60,
            "due_date": begin + 14 * DAY if subscription.collection_method == "send_invoice" else None, "cycle_at": begin,
        }  # fmt: skip
        return invoice, [
            invoice_rows.line_row(line, subscription, invoice["id"], at) for at, line in enumerate(charged)
        ]


def _payer(customer: Customer, account: Account, number: int) -> Payer:
    return replace(
        Payer.of(customer),
        number=number,
        account_name=account.business_name,
        account_address=account.address,
        account_tax_ids=account.tax_ids,
    )


def offer(product: Product, price: Price) -> PricedPlan:
    """A price with its product, as the billing rules use it."""
    columns = {column.key: getattr(price, column.key) for column in Price.__mapper__.column_attrs}
    named = {"price_id": price.id, "price_currency": price.currency, "product": product.name}
    return plans.priced_plan(cast(PlanRow, {**columns, **named, "unit_label": product.unit_label}))


def coupon_columns(coupon: Coupon) -> dict[str, Any]:
    """A coupon's columns, with `coupon_currency` as `CouponTerms.of` expects it."""
    columns = {column.key: getattr(coupon, column.key) for column in Coupon.__mapper__.column_attrs}
    return columns | {"coupon_currency": coupon.currency}


def periods(start: int, until: int, interval: str) -> Iterable[tuple[int, int]]:
    """Start and end of all periods from `start` to the one that contains `until`."""
    index, begin = 0, start
    while begin <= until:
        index += 1
        end = boundary(start, interval, index)
        yield begin, end
        begin = end
