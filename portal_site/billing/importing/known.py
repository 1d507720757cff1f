"""What references can point to: the objects that are stored, and those of this import that are going to be."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, select

from portal_site.billing.importing.objects import Row
from portal_site.billing.loading.plans import Reader
from portal_site.billing.models import (
    Account,
    Coupon,
    Customer,
    PaymentMethod,
    Price,
    Product,
    PromotionCode,
    Subscription,
)
from portal_site.db import Base
from portal_site.db.json_columns import JsonObject

BATCH = 500  # ids per query: both databases accept that many parameters
MOST_REMEMBERED = 50_000


class Target(NamedTuple):
    """What matters of an object that others refer to. `livemode` and `customer` are None where its model has none."""

    livemode: bool | None
    customer: str | None
    terms: JsonObject


# What else is asked of a target.
_TERMS: dict[type[Base], tuple[str, ...]] = {
    Price: ("currency", "usage_type", "product_id"),
    PromotionCode: ("code",),
    Coupon: ("amount_off", "currency"),
    Product: ("name",),
    Subscription: ("currency",),
    Customer: ("default_payment_method_id",),
    PaymentMethod: ("gateway",),
}


class Known:
    """The targets of references. Those of customers are forgotten after each batch, and all of them before there are too many."""

    def __init__(self, account_id: str, *, keep: bool) -> None:
        self._account_id, self._keep = account_id, keep
        self._targets: dict[tuple[type[Base], str], Target] = {}
        self._of_batch: list[tuple[type[Base], str]] = []

    def begin(self) -> None:
        """Begin a batch. With `keep`, what is only here is not forgotten: nothing is stored in a dry run."""
        for key in self._of_batch:
            self._targets.pop(key, None)
        self._of_batch.clear()
        if not self._keep and len(self._targets) > MOST_REMEMBERED:
            self._targets.clear()

    def load(self, reader: Reader, wanted: Iterable[tuple[type[Base], str]]) -> None:
        """Look up stored objects by model and id, as far as they are the account's."""
        ids: dict[type[Base], set[str]] = {}
        for model, name in wanted:
            if (model, name) not in self._targets:
                ids.setdefault(model, set()).add(name)
        for model, names in ids.items():
            ordered = sorted(names)
            for start in range(0, len(ordered), BATCH):
                self._query(reader, model, ordered[start : start + BATCH])

    def _query(self, reader: Reader, model: Any, ids: list[str]) -> None:
        columns = [model.id, *(getattr(model, name) for name in _terms(model))]
        named = [name for name in ("livemode", "customer_id") if hasattr(model, name)]
        query = select(*columns, *(getattr(model, name) for name in named)).where(
            model.id.in_(ids), _of_account(model, self._account_id)
        )
        for row in reader.execute(query).mappings():
            self._add(model, dict(row))

    def add(self, row: Row) -> None:
        """Add a row of this import."""
        self._add(row.model, row.values)

    def _add(self, model: type[Base], values: Any) -> None:
        key = model, values["id"]
        customer = values["id"] if model is Customer else values.get("customer_id")
        self._targets[key] = Target(
            values.get("livemode"), customer, {name: values.get(name) for name in _terms(model)}
        )
        if customer is not None:
            self._of_batch.append(key)

    def get(self, model: type[Base], name: str) -> Target | None:
        """The target, or None if it is neither stored nor in this import."""
        return self._targets.get((model, name))


def _terms(model: type[Base]) -> tuple[str, ...]:
    return _TERMS.get(model, ())


def _of_account(target: Any, account_id: str) -> ColumnElement[bool]:
    owned: ColumnElement[bool] = (target.platform_id if target is Account else target.account_id) == account_id
    return owned
