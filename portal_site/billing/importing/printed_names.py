"""What invoices print and an export keeps elsewhere: the merchant's own tax ids, and the names of tax rates."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from portal_site.billing.importing.billing_schemas import InvoiceShape
from portal_site.billing.importing.catalog_schemas import AccountShape, AccountTaxIdShape, TaxIdShape
from portal_site.billing.importing.field_types import Shape
from portal_site.billing.models import Account, Invoice, Subscription, SubscriptionItem
from portal_site.db import Base

Document = dict[str, Any]


def complete(account: Account, objects: Mapping[str, Sequence[Shape]], new_rows: Iterable[Base]) -> None:
    """Add the file's own tax ids to the account, and to each new invoice those that it names and the names of its rates."""
    own = {shape.id: shape for shape in objects["tax_id"] if isinstance(shape, TaxIdShape) and shape.is_the_accounts}
    accounts = (shape for shape in objects["account"] if isinstance(shape, AccountShape) and shape.id == account.id)
    given = [_printed(tax_id) for shape in accounts for tax_id in shape.tax_ids] + [
        _printed(tax_id) for tax_id in own.values()
    ]
    known = list(account.tax_ids or [])
    for tax_id in given:
        known += [] if tax_id in known else [tax_id]
    account.tax_ids = known
    named = {shape.id: shape.account_tax_ids for shape in objects["invoice"] if isinstance(shape, InvoiceShape)}
    rows = list(new_rows)
    rates = _rates(rows)
    for row in rows:
        if isinstance(row, Invoice):
            ids = named[row.id]
            if ids and all(tax_id in own for tax_id in ids):
                row.account_tax_ids = [_printed(own[tax_id]) for tax_id in ids]
            row.total_taxes = [tax | rates.get(_rate_id(tax), {}) for tax in row.total_taxes]


def _printed(tax_id: AccountTaxIdShape | TaxIdShape) -> Document:
    return {"type": tax_id.type, "value": tax_id.value}


def _rates(rows: Iterable[Base]) -> dict[str, Document]:
    """Names and percentages by the rate's id, from the subscriptions that are billed with them."""
    rates: list[Document] = []
    for row in rows:
        if isinstance(row, Subscription):
            rates += row.default_tax_rates
        if isinstance(row, SubscriptionItem):
            rates += row.tax_rates
    return {rate["id"]: {"display_name": rate["display_name"], "percentage": str(rate["percentage"])} for rate in rates}


def _rate_id(tax: Document) -> str:
    details = tax.get("tax_rate_details") or {}
    return str(details.get("tax_rate") or "")
