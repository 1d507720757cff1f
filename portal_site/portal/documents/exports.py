"""All documents of a year as a ZIP, and the list of invoices as CSV. Both are made while they are sent, in flat memory."""

import csv
import io
import logging
import re
import zipfile
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from flask import g
from sqlalchemy import BigInteger, bindparam, literal_column, or_, select

from portal_site.billing.errors import Unreadable
from portal_site.billing.models import CreditNote, Invoice
from portal_site.billing.rules.amounts import money
from portal_site.billing.rules.subscriptions.statuses import InvoiceStatus
from portal_site.db.page_query import NotJson, PageQuery, literal_limit
from portal_site.documents.typst_runs import Refused
from portal_site.portal.documents import stored
from portal_site.portal.reads import credit_notes, invoices
from portal_site.portal.wording import invoices as wording
from portal_site.spreadsheets import safe
from portal_site.web.rendering import filters
from portal_site.web.rendering.i18n import gettext as _

log = logging.getLogger("portal_site")
BATCH = 200
YEARS = range(1971, 9999)
FOREVER = 2**53
OTHER_SIGNS = re.compile(r"[^\w.-]+", re.ASCII)
BYTE_ORDER_MARK = "\ufeff"  # without it Excel takes the text for Latin-1


def _owned(model: Any) -> tuple[Any, ...]:
    behalf = bindparam("on_behalf_of", type_=Invoice.id.type)
    return (
        model.account_id == bindparam("account_id"),
        model.customer_id == bindparam("customer_id"),
        Invoice.status != literal_column("'draft'"),
        or_(behalf.is_(None), Invoice.on_behalf_of == behalf),
    )


def _after(model: Any) -> tuple[Any, ...]:
    """Those of a span that come after another, the oldest first."""
    return (
        model.created >= bindparam("after_created", type_=BigInteger),
        model.created < bindparam("end", type_=BigInteger),
        or_(model.created > bindparam("after_created", type_=BigInteger), model.id > bindparam("after_id")),
    )


INVOICES = PageQuery(
    rows=select(
        Invoice.id, Invoice.created, Invoice.number, Invoice.status, Invoice.currency, Invoice.description, Invoice.due_date,
        Invoice.subtotal, Invoice.total, Invoice.total_taxes, Invoice.amount_paid, Invoice.amount_remaining, Invoice.paid_at,
        Invoice.amount_due, Invoice.ending_balance,
    )
    .where(*_owned(Invoice), *_after(Invoice))
    .order_by(Invoice.created, Invoice.id)
    .limit(literal_limit(BATCH))
)  # fmt: skip
CREDIT_NOTES = PageQuery(
    rows=select(CreditNote.id, CreditNote.created, CreditNote.number)
    .join(Invoice, Invoice.id == CreditNote.invoice_id)
    .where(*_owned(CreditNote), *_after(CreditNote))
    .order_by(CreditNote.created, CreditNote.id)
    .limit(literal_limit(BATCH))
)


def span(year: int, timezone: str) -> tuple[int, int] | None:
    """The instants at which a year begins and ends, or None for a number that is no year."""
    if year not in YEARS:
        return None
    start, end = (datetime(one, 1, 1, tzinfo=filters.zone(timezone)) for one in (year, year + 1))
    return int(start.timestamp()), int(end.timestamp())


def _rows(query: PageQuery, start: int, end: int) -> Iterator[Mapping[str, Any]]:
    created, last = start, ""
    while True:
        rows = query.fetch(**g.visitor.scope, after_created=created, after_id=last, end=end)["rows"]
        yield from rows
        if len(rows) < BATCH:
            return
        created, last = rows[-1]["created"], rows[-1]["id"]


# --- the archive ------------------------------------------------------------------------------------------------------


class _Outlet(io.RawIOBase):
    """A file that cannot be read or rewound: what was written is taken away at once."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        """All that was written since the last time."""
        parts, self._parts = self._parts, []
        return b"".join(parts)


def archive(start: int, end: int) -> Iterator[bytes]:
    """A ZIP with each document of the span, named by its kind and number."""
    outlet, names = _Outlet(), set[str]()
    with zipfile.ZipFile(outlet, "w", zipfile.ZIP_STORED) as file:
        for name, at, data in _documents(start, end):
            date = datetime.fromtimestamp(max(at, 315_619_200), filters.zone(g.visitor.timezone))  # ZIP begins in 1980
            entry = zipfile.ZipInfo(_unused(name, names), date.timetuple()[:6])
            entry.external_attr = 0o644 << 16
            file.writestr(entry, data)
            yield outlet.take()
    yield outlet.take()


def _documents(start: int, end: int) -> Iterator[tuple[str, int, bytes]]:
    """Name, date and content of each document, and of a list of those that could not be printed."""
    left_out: list[str] = []
    for query, files in ((INVOICES, _of_invoice), (CREDIT_NOTES, _of_credit_note)):
        for row in _rows(query, start, end):
            try:
                yield from files(row)
            except (Unreadable, Refused):
                log.exception("%s is left out of an archive", row["id"])
                left_out.append(row["number"] or row["id"])
    if left_out:
        lines = [_("The invoice %(number)s cannot be shown at the moment.", number=number) for number in left_out]
        yield "README.txt", start, "\n".join(lines).encode()


def _of_invoice(row: Mapping[str, Any]) -> Iterator[tuple[str, int, bytes]]:
    view = invoices.find(g.visitor.scope, row["id"])
    if view is None:
        return
    number = view.number or view.id
    yield file_name(_("Invoice"), number), view.created, stored.invoice(view)
    if view.has_receipt:
        yield file_name(_("Receipt"), number), view.paid_at or view.created, stored.receipt(view)


def _of_credit_note(row: Mapping[str, Any]) -> Iterator[tuple[str, int, bytes]]:
    note = credit_notes.find(g.visitor.scope, row["id"])
    if note is not None:
        yield file_name(_("Credit note"), note.number), note.created, stored.credit_note(note)


def _unused(name: str, names: set[str]) -> str:
    stem, dot, ending = name.rpartition(".")
    count = 1
    while name in names:
        count += 1
        name = f"{stem}-{count}{dot}{ending}"
    names.add(name)
    return name


def file_name(kind: str, number: str) -> str:
    """The name of a document's file."""
    return f"{ascii_name(kind)}-{ascii_name(number[:80])}.pdf"


def ascii_name(name: str) -> str:
    """A name that every system takes as it is."""
    return OTHER_SIGNS.sub("-", name).strip("-.") or "document"


# --- the table --------------------------------------------------------------------------------------------------------


def table() -> Iterator[str]:
    """The invoices as CSV, the oldest first."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    buffer.write(BYTE_ORDER_MARK)
    writer.writerow(
        [
            _("Number"), _("Date"), _("Due date"), _("Status"), _("Currency"), _("Subtotal"), _("Tax"), _("Total"),
            _("Amount paid"), _("Amount remaining"), _("Paid on"), _("Description"),
        ]
    )  # fmt: skip
    for count, row in enumerate(_rows(INVOICES, 0, FOREVER), 1):
        writer.writerow(_cells(row))
        if count % BATCH == 0:
            yield _emptied(buffer)
    yield _emptied(buffer)


def _emptied(buffer: io.StringIO) -> str:
    written = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return written


def _status(row: Mapping[str, Any]) -> str:
    """The status in the words of the pages."""
    carried = invoices.is_carried_over(row["total"], row["amount_due"], row["ending_balance"])
    return wording.status(InvoiceStatus(row["status"]), row["total"], is_carried_over=carried)


def _cells(row: Mapping[str, Any]) -> list[str]:
    currency, status = row["currency"], row["status"]
    taxes = () if isinstance(row["total_taxes"], NotJson) else row["total_taxes"] or ()
    known = status in tuple(InvoiceStatus)
    left = row["amount_remaining"] if known and InvoiceStatus(status).payable else 0
    amounts = (row["subtotal"], sum(tax["amount"] for tax in taxes), row["total"], row["amount_paid"], left)
    return [
        safe(row["number"] or row["id"]),
        filters.iso(row["created"]),
        filters.iso(row["due_date"]) if row["due_date"] else "",
        _status(row) if known else safe(status),
        currency.upper(),
        *(str(money.major(amount, currency)) for amount in amounts),
        filters.iso(row["paid_at"]) if row["paid_at"] else "",
        safe(row["description"] or ""),
    ]
