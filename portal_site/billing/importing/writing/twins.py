"""What must not be there twice: ids of lines, credits of a line, an invoice's number, a customer's tax id."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal_site.billing.importing.known import BATCH
from portal_site.billing.importing.objects import ImportedObject, Row
from portal_site.billing.importing.report import ImportReport, Result
from portal_site.billing.loading.plans import Reader
from portal_site.billing.models import Customer, Invoice, InvoiceLineItem, TaxId

SAME_NUMBER = "their number is another invoice's"
SAME_TAX_ID = "their number is there already"
SAME_LINE = "a line's id that is another line's: the line gets one of its own"


def separate(
    reader: Reader, objects: Sequence[ImportedObject], account_id: str, report: ImportReport
) -> list[ImportedObject]:
    """The objects without those that have another one's number; lines with another one's id get one of their own."""
    _separate_lines(reader, [one for one in objects if one.kind == "invoice"], account_id, report)
    taken = _without_twins(reader, objects, report)
    _raise_sequences(taken)
    return taken


def _chunked(values: Sequence[str]) -> list[Sequence[str]]:
    return [values[start : start + BATCH] for start in range(0, len(values), BATCH)]


def _separate_lines(reader: Reader, invoices: Sequence[ImportedObject], account_id: str, report: ImportReport) -> None:
    lines = [(one, row) for one in invoices for row in one.parts(InvoiceLineItem)]
    owners: dict[str, str | None] = {}
    credited: dict[str | None, str] = {}
    for ids in _chunked([row.id for _, row in lines]):
        query = select(InvoiceLineItem.id, InvoiceLineItem.invoice_id).where(InvoiceLineItem.id.in_(ids))
        owners |= {
            row[0]: row[1] for row in reader.execute(query.execution_options(unscoped="an id must be nobody else's"))
        }
    for ids in _chunked([row.credited_line_id for _, row in lines if row.credited_line_id]):
        credits = select(InvoiceLineItem.credited_line_id, InvoiceLineItem.id).where(
            InvoiceLineItem.account_id == account_id, InvoiceLineItem.credited_line_id.in_(ids)
        )
        credited |= {row[0]: row[1] for row in reader.execute(credits)}
    seen: set[str] = set()
    for one, row in lines:
        if row.id in seen or owners.get(row.id, one.id) != one.id:
            sentence = f"{row.name} is in the file 2 times."
            report.find(Result.REPEATED, "line_item", row.id, SAME_LINE, sentence, one.customer)
            row.values["id"] = f"il_{one.id}_{row.position}"
        seen.add(row.id)
        if row.credited_line_id and credited.setdefault(row.credited_line_id, row.id) != row.id:
            row.values["credited_line_id"] = None  # a line is credited only once here


def _without_twins(reader: Reader, objects: Sequence[ImportedObject], report: ImportReport) -> list[ImportedObject]:
    customers = sorted({one.customer for one in objects if one.kind in ("invoice", "tax_id") and one.customer})
    holders: dict[tuple[str | None, ...], str] = {}
    for ids in _chunked(customers):
        numbers = select(Invoice.customer_id, Invoice.number, Invoice.id).where(
            Invoice.customer_id.in_(ids), Invoice.number.is_not(None)
        )
        holders |= {("invoice", row[0], row[1]): row[2] for row in reader.execute(numbers)}
        values = select(TaxId.customer_id, TaxId.type, TaxId.value, TaxId.id).where(TaxId.customer_id.in_(ids))
        holders |= {("tax_id", row[0], row[1], row[2]): row[3] for row in reader.execute(values)}
    taken = []
    for one in objects:
        key = _key(one)
        holder = holders.setdefault(key, one.id) if key else one.id
        if holder == one.id:
            taken.append(one)
            continue
        cause = SAME_NUMBER if one.kind == "invoice" else SAME_TAX_ID
        sentence = f"{one.name} cannot be stored: {key[-1] if key else ''} is the number of {holder}."
        report.find(Result.LEFT_OUT, one.kind, one.id, cause, sentence, one.customer)
    return taken


def _key(one: ImportedObject) -> tuple[str, ...] | None:
    row = one.rows[0] if one.rows else None
    if row is not None and row.model is Invoice and row.number is not None:
        return "invoice", row.customer_id, row.number
    if row is not None and row.model is TaxId:
        return "tax_id", row.customer_id, row.type, row.value
    return None


def _raise_sequences(objects: Sequence[ImportedObject]) -> None:
    """Let each customer's next invoice number come after those of its invoices, whatever its own sequence says."""
    highest: dict[str, int] = {}
    prefixes = {one.id: one.rows[0].invoice_prefix for one in objects if one.kind == "customer"}
    for one in objects:
        if one.kind == "invoice" and (number := _sequence(one.rows[0], prefixes)) is not None:
            highest[one.rows[0].customer_id] = max(number, highest.get(one.rows[0].customer_id, 0))
    for one in objects:
        if one.kind == "customer" and one.id in highest:
            row = one.rows[0]
            row.values["next_invoice_sequence"] = max(row.next_invoice_sequence, highest[one.id] + 1)


def raise_stored_sequences(session: Session, objects: Sequence[ImportedObject]) -> None:
    """The same for customers that were stored before, of the invoices that are new."""
    numbers = [one.rows[0] for one in objects if one.kind == "invoice" and one.rows[0].number]
    new = {one.id for one in objects if one.kind == "customer"}
    ids = sorted({row.customer_id for row in numbers} - new)
    for some in _chunked(ids):
        for customer in session.scalars(select(Customer).where(Customer.id.in_(some))):
            prefixes = {customer.id: customer.invoice_prefix}
            own = (_sequence(row, prefixes) for row in numbers if row.customer_id == customer.id)
            highest = max((number for number in own if number is not None), default=0)
            customer.next_invoice_sequence = max(customer.next_invoice_sequence, highest + 1)
    session.flush()


def _sequence(invoice: Row, prefixes: dict[str, str | None]) -> int | None:
    """The sequence number of an invoice that is numbered with its customer's prefix."""
    prefix, _, digits = (invoice.number or "").rpartition("-")
    own = prefixes.get(invoice.customer_id)
    return (
        int(digits) if prefix and prefix == own and digits.isascii() and digits.isdigit() and len(digits) < 15 else None
    )
