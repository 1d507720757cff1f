"""The invoice history with keyset pagination: all invoices, a year's, unpaid ones, or those with a number or an amount.

Each page is read from its place in an index, so that the last page of 100,000 invoices is as fast as the first.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, literal_column, or_, select

from portal_site.billing.models import Invoice
from portal_site.db.page_query import PageQuery, literal_limit
from portal_site.portal.reads.invoices import (
    LONG,
    NEWEST_FIRST,
    OWN,
    PAYMENT_OF_OPEN,
    SHOWN,
    InvoicePage,
    newest,
    page,
    summary,
)
from portal_site.web.rendering.filters import zone

MOST_YEARS = 6
# `created <= at` first: a plain comparison is what makes both databases start at that place in the index.
_AFTER = (
    Invoice.created <= bindparam("after_created"),
    or_(Invoice.created < bindparam("after_created"), Invoice.id < bindparam("after_id")),
)
_KINDS: Mapping[str, tuple[Any, ...]] = {
    "all": (),
    "year": (Invoice.created >= bindparam("since"), Invoice.created < bindparam("until")),
    "unpaid": (Invoice.status == literal_column("'open'"),),
    "amount": (Invoice.total == bindparam("amount"),),
}
PAGES = {
    (kind, after): PageQuery(invoices=newest(LONG, *only, *(_AFTER if after else ()), more=PAYMENT_OF_OPEN))
    for kind, only in _KINDS.items()
    for after in (False, True)
}
NUMBER = PageQuery(invoices=newest(1, Invoice.number == bindparam("number"), more=PAYMENT_OF_OPEN))
_OLDEST_FIRST = (Invoice.created, Invoice.id)
ENDS = PageQuery(
    newest=select(Invoice.created).where(*OWN, SHOWN).order_by(*NEWEST_FIRST).limit(literal_limit(1)),
    oldest=select(Invoice.created).where(*OWN, SHOWN).order_by(*_OLDEST_FIRST).limit(literal_limit(1)),
)


@dataclass(frozen=True)
class InvoiceFilter:
    """The filter of the history: a year, unpaid invoices, a number, or an amount in minor units; without any, all invoices."""

    year: int | None = None
    unpaid: bool = False
    text: str = ""
    numbers: tuple[str, ...] = ()
    amount: int | None = None

    @property
    def kind(self) -> str:
        """The name of the list to read."""
        if self.text:
            return "amount"
        return "year" if self.year else "unpaid" if self.unpaid else "all"

    @property
    def arguments(self) -> dict[str, str]:
        """The filter as query parameters."""
        given = {"year": str(self.year or ""), "status": "unpaid" if self.unpaid else "", "q": self.text}
        return {name: value for name, value in given.items() if value}


def years(scope: Mapping[str, Any], timezone: str) -> list[int]:
    """The years with invoices, newest first; older ones are found by paging."""
    ends = ENDS.fetch(**scope)
    if not ends["newest"]:
        return []
    first, last = (datetime.fromtimestamp(ends[end][0]["created"], zone(timezone)).year for end in ("newest", "oldest"))
    return list(range(first, max(last, first - MOST_YEARS + 1) - 1, -1))


def find(scope: Mapping[str, Any], wanted: InvoiceFilter, timezone: str, after: str | None) -> InvoicePage | None:
    """A page of the filtered history, or None for an invalid cursor."""
    bound: dict[str, Any] = {**scope}
    if wanted.year:
        bound["since"], bound["until"] = (
            int(datetime(year, 1, 1, tzinfo=zone(timezone)).timestamp()) for year in (wanted.year, wanted.year + 1)
        )
    bound["amount"] = wanted.amount
    if after is not None:
        created, _, invoice_id = after.partition("-")
        if not (created.isascii() and created.isdigit() and len(created) < 13 and invoice_id):
            return None
        bound |= {"after_created": int(created), "after_id": invoice_id}
    if wanted.text and wanted.amount is None:
        return InvoicePage(_numbered(scope, wanted), None)
    found = page(PAGES[wanted.kind, after is not None].fetch(**bound)["invoices"], LONG)
    if not wanted.text or after is not None:
        return found
    numbered = _numbered(scope, wanted)
    others = tuple(invoice for invoice in found.invoices if invoice not in numbered)
    return InvoicePage((*numbered, *others), found.next_cursor, found.unreadable)


def _numbered(scope: Mapping[str, Any], wanted: InvoiceFilter) -> tuple[Any, ...]:
    rows = [row for number in wanted.numbers for row in NUMBER.fetch(**scope, number=number)["invoices"]]
    return tuple(summary(row) for row in rows)
