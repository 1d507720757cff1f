"""Prices in several currencies: a price has one here, so that each other one that is billed becomes a price of its own."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from portal_site.billing.importing.known import Known
from portal_site.billing.importing.objects import ImportedObject, Row
from portal_site.billing.importing.reading.documents import data, id_of, inner
from portal_site.billing.importing.schemas.catalog_schemas import PriceShape
from portal_site.billing.models import InvoiceLineItem, Price, SchedulePhaseItem, Subscription
from portal_site.billing.models import SubscriptionItem as Item
from portal_site.db.json_columns import JsonObject

OTHER_CURRENCY = "a price in another currency than the subscription's"
PriceOf = Callable[[str], ImportedObject | None]


def variant_id(price_id: str, currency: str) -> str:
    """The id of a price's variant in one of its other currencies."""
    return f"{price_id}_{currency}"


class Currencies:
    """Finds the prices in the currency of what they bill. `price_of` reads a price from the files, with its options."""

    def __init__(self, known: Known, price_of: PriceOf) -> None:
        self._known, self._price_of = known, price_of

    def fit(self, one: ImportedObject) -> tuple[list[ImportedObject], tuple[str, str] | None]:
        """Let each item have a price in its currency: the new prices for that, and cause and sentence if there is none."""
        added: list[ImportedObject] = []
        if one.kind == "invoice":
            self._fit_lines(one)
        for row, currency in _priced(one, self._known):
            price = self._known.get(Price, row.price_id)
            if price is None or price.terms["currency"] == currency:
                continue
            name = variant_id(row.price_id, currency)
            if self._known.get(Price, name) is None:
                new = self._variant(one, row.price_id, currency)
                if new is None:
                    sentence = (
                        f"{one.name} is in {currency.upper()}, and price {row.price_id} in {price.terms['currency'].upper()}: "
                        "export prices with expand[]=data.currency_options."
                    )
                    return added, (OTHER_CURRENCY, sentence)
                self._known.add(new.rows[0])
                added.append(new)
            row.values["price_id"] = name
        return added, None

    def _fit_lines(self, invoice: ImportedObject) -> None:
        currency = invoice.rows[0].currency
        for row in invoice.parts(InvoiceLineItem):
            name = variant_id(row.price_id, currency) if row.price_id else ""
            if name and self._known.get(Price, name) is not None:
                row.values["price_id"] = name

    def _variant(self, one: ImportedObject, price_id: str, currency: str) -> ImportedObject | None:
        inside = (item.get("price") for item in data(one.document.get("items")))
        options = next((inner(p).get("currency_options") for p in inside if id_of(p) == price_id), None)
        found = self._price_of(price_id)
        if found is None:
            return None
        shape = found.shape
        assert isinstance(shape, PriceShape)
        if not shape.currency_options and isinstance(options, dict):
            shape = PriceShape.model_validate({**found.document, "currency_options": options})
        option = shape.currency_options.get(currency)
        if option is None:
            return None
        values: JsonObject = {
            **found.rows[0].values,
            "id": variant_id(price_id, currency), "currency": currency, "active": False, "lookup_key": None,
            "unit_amount": option.unit_amount, "unit_amount_decimal": option.unit_amount_decimal,
            "tax_behavior": option.tax_behavior,
            "tiers": [tier.model_dump(mode="json") for tier in option.tiers] or None,
        }  # fmt: skip
        row = Row(Price, values)
        return replace(found, id=row.id, rows=[row], embedded=True)


def wanted(objects: Sequence[ImportedObject]) -> list[tuple[type[Price], str]]:
    """The variants that may be stored already."""
    found = []
    for one in objects:
        if one.kind == "invoice":
            currency = one.rows[0].currency
            found += [(Price, variant_id(row.price_id, currency)) for row in one.parts(InvoiceLineItem) if row.price_id]
        elif one.kind == "subscription":
            found += [(Price, variant_id(row.price_id, one.rows[0].currency)) for row in one.parts(Item)]
    return found


def _priced(one: ImportedObject, known: Known) -> list[tuple[Row, str]]:
    """The rows with a price that has to be in a currency, and that currency."""
    if one.kind == "subscription":
        return [(row, one.rows[0].currency) for row in one.parts(Item)]
    if one.kind == "subscription_schedule" and one.rows[0].subscription_id:
        subscription = known.get(Subscription, one.rows[0].subscription_id)
        if subscription is not None:
            return [(row, subscription.terms["currency"]) for row in one.parts(SchedulePhaseItem)]
    return []
