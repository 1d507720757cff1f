"""Finds the objects that stand inside others: the price in an item, the coupon in a discount, the cards of a customer.

The lists of the API leave out what is archived, deleted or only used inline, so an embedded object is often all there is.
"""

from collections.abc import Iterator
from typing import Any

from portal_site.billing.importing.reading import adapters
from portal_site.billing.importing.reading.index import OF_CUSTOMERS, OF_THE_ACCOUNT
from portal_site.billing.importing.reading.sources import READ_AS

KINDS = {*OF_THE_ACCOUNT, *OF_CUSTOMERS} - {"account"}


def find(document: dict[str, Any], customer: str | None) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Kind, id and document of each known object inside of a document, which is in the newest shape already.

    Objects of customers count only if they belong to `customer`, whose objects are read together.
    """
    for value in document.values():
        yield from _inside(value, customer)


def _inside(value: Any, customer: str | None) -> Iterator[tuple[str, str, dict[str, Any]]]:
    if isinstance(value, list):
        for one in value:
            yield from _inside(one, customer)
    elif isinstance(value, dict):
        read_as, name = value.get("object"), value.get("id")
        kind = READ_AS.get(read_as) if isinstance(read_as, str) else None
        if kind in KINDS and isinstance(name, str) and not value.get("deleted"):
            adapters.newest(str(read_as), value)
            owner = adapters.id_of(value.get("customer")) if kind != "customer" else name
            if kind in OF_THE_ACCOUNT or owner == customer:
                yield str(kind), name, value
        for inner in value.values():
            if isinstance(inner, dict | list):
                yield from _inside(inner, customer)
