"""Finds the objects that stand inside others: the price in an item, the coupon in a discount, the cards of a customer.

The lists of the API leave out what is archived, deleted or only used inline, so an embedded object is often all there is.
"""

from portal_site.billing.importing.reading import adapters
from portal_site.billing.importing.reading.documents import id_of
from portal_site.billing.importing.reading.index import OF_CUSTOMERS, OF_THE_ACCOUNT
from portal_site.billing.importing.reading.sources import READ_AS
from portal_site.db.json_columns import JsonObject

_SCALARS = {str, int, bool, float}
KINDS = {*OF_THE_ACCOUNT, *OF_CUSTOMERS} - {"account", "tax_rate"}


def find(document: JsonObject, customer: str | None) -> list[tuple[str, str, JsonObject]]:
    """Kind, id and document of each known object inside of a document, which is in the newest shape already.

    Objects of customers count only if they belong to `customer`, whose objects are read together. Null members are taken out of
    the document on the way: they are as good as missing ones.
    """
    found: list[tuple[str, str, JsonObject]] = []
    waiting = [document]
    for value in waiting:  # it grows on the way: what stands further outside comes first
        if "object" in value and value is not document:
            _look_at(value, customer, found)
        nulls = []
        for name, inner in value.items():
            kind = type(inner)
            if kind in _SCALARS:  # most are: asked first, it is the fastest way through
                continue
            if kind is dict:
                waiting.append(inner)
            elif inner is None:
                nulls.append(name)
            else:
                waiting += [one for one in inner if type(one) is dict]
        for name in nulls:
            del value[name]
    return found


def _look_at(value: JsonObject, customer: str | None, found: list[tuple[str, str, JsonObject]]) -> None:
    read_as = value["object"]
    kind = READ_AS.get(read_as) if type(read_as) is str else None
    if kind in KINDS and type(value.get("id")) is str and not value.get("deleted"):
        adapters.newest(str(read_as), value)
        name = value["id"]
        owner = id_of(value.get("customer")) if kind != "customer" else name
        if kind in OF_THE_ACCOUNT or owner == customer:
            found.append((str(kind), name, value))
