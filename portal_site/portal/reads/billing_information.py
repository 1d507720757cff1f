"""Tax ids for pages. The other billing information is part of the visitor."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, select

from portal_site.billing.models import TaxId
from portal_site.db.page_query import literal_limit

TAX_IDS = (
    select(TaxId.id, TaxId.type, TaxId.value, TaxId.country, TaxId.verification_status)
    .where(TaxId.account_id == bindparam("account_id"), TaxId.customer_id == bindparam("customer_id"))
    .order_by(TaxId.created, TaxId.id)
    .limit(literal_limit(50))
)


@dataclass(frozen=True, slots=True)
class TaxIdView:
    """A tax id; `verification_status` is pending, verified, unverified or unavailable."""

    id: str
    type: str
    value: str
    country: str | None
    verification_status: str


def build(rows: Iterable[Mapping[str, Any]]) -> list[TaxIdView]:
    """The views of these rows."""
    return [TaxIdView(**row) for row in rows]
