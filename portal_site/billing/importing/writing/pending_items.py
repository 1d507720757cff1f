"""Invoice items that wait for the next invoice: pending lines of the subscription that they belong to."""

from collections.abc import Sequence

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from portal_site.billing.importing.known import Known
from portal_site.billing.importing.objects import ImportedObject, Row
from portal_site.billing.importing.report import ImportReport, Result
from portal_site.billing.importing.schemas.billing_schemas import InvoiceItemShape, SubscriptionShape
from portal_site.billing.models import Customer, Discount, InvoiceLineItem, Price, Product
from portal_site.billing.resources.invoices import tax_amount
from portal_site.billing.rules.amounts.taxes import TaxRate, on_top, taxes
from portal_site.billing.rules.subscriptions.statuses import ENDED

NO_SUBSCRIPTION = "pending invoice items without a subscription that could bill them"
TWICE = "invoiced there and here"


def add(objects: Sequence[ImportedObject], known: Known, account_id: str, report: ImportReport) -> list[ImportedObject]:
    """The objects with the pending items as lines of their subscriptions, and the prices that such lines need.

    An item that is already on an invoice is one of its lines, and nothing more. One without a subscription goes to the only one
    that its customer has.
    """
    result: list[ImportedObject] = []
    subscriptions = [one for one in objects if one.kind == "subscription" and one.rows[0].status not in ENDED]
    for one in objects:
        if not isinstance(one.shape, InvoiceItemShape):
            result.append(one)
        elif one.shape.invoice is None:
            owner = _owner(one.shape, subscriptions)
            if owner is None:
                sentence = f"invoice item {one.id} of customer {one.customer} waits for an invoice, and no subscription bills it."
                report.find(Result.LEFT_OUT, one.kind, one.id, NO_SUBSCRIPTION, sentence, one.customer)
                for subscription in subscriptions:
                    subscription.unbillable.append(f"invoice item {one.id} of its customer was left out")
                continue
            customer = next((other for other in objects if other.kind == "customer"), None)
            result += _priced(one, known, account_id)
            one.rows.append(_line(one, owner, customer))
            result.append(one)
            if one.shape.discountable and (list(owner.parts(Discount)) or one.shape.discounts):
                owner.unbillable.append(f"a discount may apply to its pending invoice item {one.id}")
    return result


def invoiced(objects: Sequence[ImportedObject]) -> list[ImportedObject]:
    """The items that are on an invoice there."""
    return [one for one in objects if isinstance(one.shape, InvoiceItemShape) and one.shape.invoice is not None]


def settle(session: Session, items: Sequence[ImportedObject], account_id: str, report: ImportReport) -> None:
    """Delete the pending lines of items that have been invoiced there since; report those that were invoiced here as well."""
    ids = [one.id for one in items]
    if not ids:
        return
    mine = InvoiceLineItem.account_id == account_id, InvoiceLineItem.id.in_(ids)
    waiting = delete(InvoiceLineItem).where(*mine, InvoiceLineItem.invoice_id.is_(None))
    session.execute(waiting, execution_options={"synchronize_session": False})
    billed = set(session.scalars(select(InvoiceLineItem.id).where(*mine)))
    for one in items:
        if one.id in billed:
            sentence = f"invoice item {one.id} was invoiced there and here."
            report.find(Result.CONFLICT, one.kind, one.id, TWICE, sentence, one.customer)


def _owner(item: InvoiceItemShape, subscriptions: Sequence[ImportedObject]) -> ImportedObject | None:
    named = item.parent.subscription_details.subscription
    if named is not None:
        return next((one for one in subscriptions if one.id == named), None)
    fitting = [one for one in subscriptions if one.rows[0].currency == item.currency]
    return fitting[0] if len(fitting) == len(subscriptions) == 1 else None


def _priced(one: ImportedObject, known: Known, account_id: str) -> list[ImportedObject]:
    """The price of an item that has none, or whose price is not here: a one-time price of a product with the item's words."""
    item = one.shape
    assert isinstance(item, InvoiceItemShape)
    price_id = item.pricing.price_details.price
    if price_id is not None and known.get(Price, price_id) is not None:
        return []
    common = {
        "account_id": account_id,
        "created": item.date,
        "livemode": item.livemode,
        "active": False,
        "metadata": {},
    }
    product = Row(Product, {**common, "id": f"prod_{one.id}", "name": item.description or one.id})
    price = Row(
        Price,
        {**common, "id": f"price_{one.id}", "product_id": product.id, "currency": item.currency, "type": "one_time",
         "unit_amount": item.amount},
    )  # fmt: skip
    item.pricing.price_details.price = price.id
    return [
        ImportedObject("product", product.id, None, {}, item, [product], embedded=True),
        ImportedObject("price", price.id, None, {}, item, [price], embedded=True),
    ]


def _line(one: ImportedObject, owner: ImportedObject, customer: ImportedObject | None) -> Row:
    item, subscription = one.shape, owner.shape
    assert isinstance(item, InvoiceItemShape)
    assert isinstance(subscription, SubscriptionShape)
    untaxed = customer is not None and customer.rows[0].model is Customer and customer.rows[0].tax_exempt != "none"
    rates = [] if untaxed else item.tax_rates or subscription.default_tax_rates
    tax = taxes(item.amount, [TaxRate.of(rate.model_dump()) for rate in rates])
    parent = item.parent.subscription_details
    return Row(
        InvoiceLineItem,
        {
            "id": one.id,
            "account_id": owner.rows[0].account_id,
            "customer_id": owner.rows[0].customer_id,
            "invoice_id": None,
            "position": 0,
            "amount": item.amount,
            "total": item.amount + on_top(tax),
            "currency": item.currency,
            "description": item.description,
            "product_name": item.description,
            "quantity": item.quantity,
            "unit_amount_decimal": item.pricing.unit_amount_decimal,
            "period_start": item.period.start,
            "period_end": item.period.end,
            "proration": item.proration,
            "discountable": item.discountable,
            "price_id": item.pricing.price_details.price,
            "product_id": item.pricing.price_details.product,
            "subscription_id": owner.id,
            "subscription_item_id": parent.subscription_item,
            "pending_since": item.date,
            "taxes": [tax_amount(one_tax) for one_tax in tax],
        },
    )
