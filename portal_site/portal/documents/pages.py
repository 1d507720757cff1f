"""Downloads: an invoice, its receipt, a credit note, all documents of a year, and the list of invoices."""

from flask import Response, abort, g, stream_with_context

from portal_site.portal import blueprint, portal_feature
from portal_site.portal.documents import exports, stored
from portal_site.portal.invoices import is_hidden, shown_invoice
from portal_site.portal.reads import credit_notes
from portal_site.web.rendering.i18n import gettext as _

PDF = "application/pdf"


@blueprint.get("/invoices/<invoice_id>/pdf")
def download_invoice(invoice_id: str) -> Response:
    """An invoice as PDF."""
    invoice = shown_invoice(invoice_id)
    return _file(stored.invoice(invoice), _("Invoice"), invoice.number or invoice.id)


@blueprint.get("/invoices/<invoice_id>/receipt.pdf")
def download_receipt(invoice_id: str) -> Response:
    """The receipt of an invoice that was paid."""
    invoice = shown_invoice(invoice_id)
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
    """All documents of a year, one after the other as they are printed."""
    span = exports.span(year, g.visitor.timezone) or abort(404)
    name = exports.ascii_name(_("Invoices"))
    return _download(stream_with_context(exports.archive(*span)), "application/zip", f"{name}-{year}.zip")


@blueprint.get("/invoices/export.csv")
@portal_feature("invoice_history")
def download_list() -> Response:
    """The list of invoices as a table."""
    name = exports.ascii_name(_("Invoices"))
    return _download(stream_with_context(exports.table()), "text/csv; charset=utf-8", f"{name}.csv")


def _file(data: bytes, kind: str, number: str) -> Response:
    return _download(data, PDF, exports.file_name(kind, number))


def _download(body: object, content_type: str, name: str) -> Response:
    response = Response(body, content_type=content_type)  # type: ignore[arg-type]
    response.headers.set("Content-Disposition", "attachment", filename=name)
    return response
