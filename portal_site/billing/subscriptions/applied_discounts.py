"""Adding a discount to a subscription, and ending those that are used up."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal_site.billing.invoicing.invoice_writer import InvoiceWriter
from portal_site.billing.models import Discount, Subscription
from portal_site.db.json_columns import JsonObject


def add_discount(session: Session, subscription: Subscription, discount: JsonObject, at: int) -> None:
    """Put a coupon to work on the subscription, by a redeemed code or for staying."""
    row = Discount(
        account_id=subscription.account_id,
        customer_id=subscription.customer_id,
        subscription_id=subscription.id,
        **discount,
    )
    session.add(row)
    session.flush()
    writer = InvoiceWriter(session)
    writer.event("customer.discount.created", subscription, at, row.as_object())
    writer.write()


def end_discounts(session: Session, subscription: Subscription, discount_ids: list[str], at: int) -> None:
    """End the discounts that were for one invoice."""
    if not discount_ids:
        return
    running = Discount.end.is_(None) | (Discount.end > at)
    mine = Discount.customer_id == subscription.customer_id, Discount.id.in_(discount_ids), running
    writer = InvoiceWriter(session)
    for discount in session.scalars(select(Discount).where(*mine)).all():
        discount.end = at
        writer.event("customer.discount.deleted", subscription, at, discount.as_object())
    session.flush()
    writer.write()
