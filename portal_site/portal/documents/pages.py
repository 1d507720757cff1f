"""Downloads: an invoice, its receipt, a credit note, all documents of a year, and the list of invoices."""

import threading
from collections.abc import Iterator

from flask import Response, abort, g, stream_with_context
from werkzeug.exceptions import ServiceUnavailable

from portal_site.portal import blueprint, portal_feature
from portal_site.portal.documents import exports, stored
from portal_site.portal.invoices import is_hidden, shown_invoice
from portal_site.portal.reads import credit_notes
from portal_site.portal.reads.invoices import InvoiceView
from portal_site.web.rendering.i18n import gettext as _

PDF = "application/pdf"
# An archive may keep a thread for minutes, and there must be others for everybody else's pages.
MOST_ARCHIVES, RETRY_SECONDS = 2, 60
_few_archives = threading.BoundedSemaphore(MOST_ARCHIVES)


@blueprint.get("/invoices/<invoice_id>/pdf")
def download_invoice(invoice_id: str) -> Response:
    """An invoice as PDF."""
    return invoice_file(shown_invoice(invoice_id))


def invoice_file(invoice: InvoiceView) -> Response:
    """A shown invoice as a download."""
    return _file(stored.invoice(invoice), _("Invoice"), invoice.number or invoice.id)


@blueprint.get("/invoices/<invoice_id>/receipt.pdf")
def download_receipt(invoice_id: str) -> Response:
    """The receipt of an invoice that was paid."""
    return receipt_file(shown_invoice(invoice_id))


def receipt_file(invoice: InvoiceView) -> Response:
    """The receipt of a shown invoice as a download; one that is not paid has none."""
    if not invoice.has_receipt:
        abort(404)
    return _file(stored.receipt(invoice), _("Receipt"), invoice.number or invoice.id)


@blueprint.get("/credit-notes/<credit_note_id>/pdf")
def download_credit_note(credit_note_id: str) -> Response:
    """A credit note, wherever its invoice is shown."""
    note = credit_notes.find(g.visitor.scope, credit_note_id) or abort(404)
    if is_hidden(note.invoice):
        abort(404)
    return _file(stored.credit_note(note), _("Credit note"), note.number)


@blueprint.get("/invoices/export/<int:year>.zip")
@portal_feature("invoice_history")
def download_year(year: int) -> Response:
    """All documents of a year, one after the other as they are printed; a few such downloads at a time."""
    span = exports.span(year, g.visitor.timezone) or abort(404)
    if not _few_archives.acquire(blocking=False):
        raise ServiceUnavailable(retry_after=RETRY_SECONDS)
    parts = _releasing(exports.archive(*span))
    next(parts)
    name = exports.ascii_name(_("Invoices"))
    return _download(stream_with_context(parts), "application/zip", f"{name}-{year}.zip")


@blueprint.get("/invoices/export.csv")
@portal_feature("invoice_history")
def download_list() -> Response:
    """The list of invoices as a table."""
    name = exports.ascii_name(_("Invoices"))
    return _download(stream_with_context(exports.table()), "text/csv; charset=utf-8", f"{name}.csv")


def _releasing(parts: Iterator[bytes]) -> Iterator[bytes]:
    """The parts; it is somebody else's turn once they are sent or nobody wants them any more.

    The first one is taken at once: a generator that has not begun could not tell that it is closed.
    """
    try:
        yield b""
        yield from parts
    finally:
        _few_archives.release()


def _file(data: bytes, kind: str, number: str) -> Response:
    return _download(data, PDF, exports.file_name(kind, number))


def _download(body: object, content_type: str, name: str) -> Response:
    response = Response(body, content_type=content_type)  # type: ignore[arg-type]
    response.headers.set("Content-Disposition", "attachment", filename=name)
    return response
