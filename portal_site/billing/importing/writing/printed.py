"""What invoices print and an export keeps elsewhere: the merchant's own address and tax ids, and the names of tax rates."""

from collections.abc import Container, Iterable, Iterator, Sequence

from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from portal_site.billing.importing.objects import ImportedObject
from portal_site.billing.importing.reading.documents import data, id_of
from portal_site.billing.importing.schemas.catalog_schemas import (
    AccountShape,
    AccountTaxIdShape,
    TaxIdShape,
    TaxRateShape,
)
from portal_site.billing.importing.writing import accounts
from portal_site.billing.models import Account, Invoice, InvoiceLineItem, Subscription, SubscriptionItem
from portal_site.db import Base, bulk
from portal_site.db.json_columns import JsonObject

_TAXES: dict[type[Base], str] = {Invoice: "total_taxes", InvoiceLineItem: "taxes"}


class Printed:
    """Tax ids and tax rates of one import. `objects` are those of the account; `connected` are the ids of other accounts."""

    def __init__(self, objects: Iterable[ImportedObject], connected: Container[str]) -> None:
        shapes = [one.shape for one in objects]
        self._accounts = [shape for shape in shapes if isinstance(shape, AccountShape)]
        self._own = {
            shape.id: _tax_id(shape)
            for shape in shapes
            if isinstance(shape, TaxIdShape) and shape.is_the_accounts and shape.owner.account not in connected
        }
        self._rates: dict[str, JsonObject] = {}
        self._add_rates(shape.model_dump() for shape in shapes if isinstance(shape, TaxRateShape))

    def tax_ids(self, account_id: str, known: Sequence[JsonObject]) -> list[JsonObject]:
        """The account's tax ids: those that are known, then those of the files that are not among them."""
        of_account = (tax_id for shape in self._accounts if shape.id == account_id for tax_id in shape.tax_ids)
        result = list(known)
        for tax_id in (*map(_tax_id, of_account), *self._own.values()):
            result += [] if tax_id in result else [tax_id]
        return result

    def complete_account(self, session: Session, account_id: str) -> None:
        """Add the tax ids of the files to the stored account, and their address where it has none."""
        address, known = session.execute(select(Account.address, Account.tax_ids).where(Account.id == account_id)).one()
        addresses = (accounts.address_of(shape) for shape in self._accounts if shape.id == account_id)
        now = {"address": address or next(addresses, None), "tax_ids": self.tax_ids(account_id, known)}
        if now != {"address": address, "tax_ids": known}:
            bulk.update(session, Account, [{"id": account_id, **now}])

    def complete(self, objects: Sequence[ImportedObject]) -> None:
        """Give the invoices of a batch the tax ids that they name, and all their taxes the names of their rates."""
        for one in objects:
            self._add_rates(_rates_of(one))
        for one in objects:
            if one.kind != "invoice":
                continue
            one.rows[0].values["account_tax_ids"] = self._named(one.document.get("account_tax_ids") or ())
            for row in one.rows:
                column = _TAXES.get(row.model)
                if column is not None:
                    row.values[column] = [self._rates.get(_rate_id(tax), {}) | tax for tax in row.values[column]]

    def _add_rates(self, documents: Iterable[JsonObject]) -> None:
        """Note name and percentage of these tax rates. One that is not as the API has it names nothing."""
        for document in documents:
            if str(document.get("id")) in self._rates:
                continue
            try:
                rate = TaxRateShape.model_validate(document)
            except ValidationError:
                continue
            self._rates[rate.id] = {"display_name": rate.display_name, "percentage": str(rate.percentage)}

    def _named(self, references: Iterable[object]) -> list[JsonObject] | None:
        """The tax ids that an invoice names, by id or as objects; None if it names none, or one that is not known."""
        found = [self._tax_id_of(reference) for reference in references]
        known = [tax_id for tax_id in found if tax_id is not None]
        return known if known and len(known) == len(found) else None

    def _tax_id_of(self, reference: object) -> JsonObject | None:
        try:
            return _tax_id(AccountTaxIdShape.model_validate(reference))
        except ValidationError:
            return self._own.get(id_of(reference) or "")


def _tax_id(shape: AccountTaxIdShape | TaxIdShape) -> JsonObject:
    return {"type": shape.type, "value": shape.value}


def _rates_of(one: ImportedObject) -> Iterator[JsonObject]:
    """The tax rates in an object: a subscription's and its items', or those that an invoice and its lines carry."""
    for row in one.rows:
        if row.model is Subscription:
            yield from row.default_tax_rates
        elif row.model is SubscriptionItem:
            yield from row.tax_rates
    if one.kind == "invoice":
        yield from data(one.document.get("default_tax_rates"))
        for line in data(one.document.get("lines")):
            yield from data(line.get("tax_rates"))


def _rate_id(tax: JsonObject) -> str:
    return str((tax.get("tax_rate_details") or {}).get("tax_rate") or "")
