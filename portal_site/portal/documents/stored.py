"""Documents are printed once and kept: the same invoice in the same state is the same file, byte for byte."""

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from flask import g
from sqlalchemy import bindparam, insert, select
from sqlalchemy.exc import IntegrityError, OperationalError

from portal_site.billing.models import BrandAsset, PrintedDocument
from portal_site.db.transactions import passing_write, reading
from portal_site.documents import typesetting
from portal_site.documents.typesetting import Picture
from portal_site.portal.documents import contents
from portal_site.portal.documents.contents import Content
from portal_site.portal.reads.credit_notes import CreditNoteView
from portal_site.portal.reads.invoices import InvoiceView
from portal_site.web.rendering import i18n

log = logging.getLogger("portal_site")
SERIF = "serif"  # the font of a brand
# How a payment is going, and what stands beside the invoice on its page, are not printed.
NOT_PRINTED = ("attempt_status", "attempt_url", "decline_code", "credit_notes")
_STORED = select(PrintedDocument.data).where(
    PrintedDocument.id == bindparam("document_id"),
    PrintedDocument.account_id == bindparam("account_id"),
    PrintedDocument.customer_id == bindparam("customer_id"),
)
_LOGO = select(BrandAsset.content_type, BrandAsset.data, BrandAsset.width, BrandAsset.height).where(
    BrandAsset.id == bindparam("logo_id"),
    BrandAsset.account_id.in_([bindparam("account_id"), bindparam("on_behalf_of")]),
)


def invoice(view: InvoiceView) -> bytes:
    """An invoice as PDF."""
    return _find_or_print("invoice", view, view, lambda: contents.invoice(view, g.visitor))


def receipt(view: InvoiceView) -> bytes:
    """The receipt of an invoice that was paid, as PDF."""
    return _find_or_print("receipt", view, view, lambda: contents.receipt(view, g.visitor))


def credit_note(note: CreditNoteView) -> bytes:
    """A credit note as PDF."""
    return _find_or_print("credit_note", note, note.invoice, lambda: contents.credit_note(note, g.visitor))


def _find_or_print(kind: str, source: Any, view: InvoiceView, content: Callable[[], Content]) -> bytes:
    """The stored document, or a new one. One that lacks something is not kept: a font may come."""
    key = {"account_id": g.visitor.account_id, "customer_id": g.visitor.customer_id}
    name = _name(kind, source, view)
    with reading() as reader:
        found = reader.execute(_STORED, {"document_id": name, **key}).scalar()
        if found is not None:
            return bytes(found)
        logo = _logo(reader)
    country = (view.customer_address or {}).get("country")
    serif = g.visitor.branding.font == SERIF
    printed = typesetting.render(content(), logo, serif=serif, country=country, regret=contents.regret())
    if printed.is_whole:
        _keep(id=name, invoice_id=view.id, created=g.now, data=printed.data, **key)
    return printed.data


def _name(kind: str, source: Any, view: InvoiceView) -> str:
    """The hash of whose it is and of all that it is made from.

    What is empty is left out, so that a member that a later version adds to the views changes no name.
    """
    visitor = g.visitor
    made_from = _filled(asdict(source))
    where = (kind, visitor.account_id, visitor.customer_id, visitor.on_behalf_of, visitor.timezone)
    whole = [*where, i18n.current().locale, contents.paper(view), made_from]
    digest = hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()
    return f"doc_{digest[:40]}"


def _filled(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _filled(one) for name, one in value.items() if one and name not in NOT_PRINTED}
    return [_filled(one) for one in value] if isinstance(value, list | tuple) else value


def _logo(reader: Any) -> Picture | None:
    visitor = g.visitor
    if visitor.logo_id is None:
        return None
    owners = {"account_id": visitor.account_id, "on_behalf_of": visitor.on_behalf_of}
    row = reader.execute(_LOGO, {"logo_id": visitor.logo_id, **owners}).one_or_none()
    return Picture(row.content_type, bytes(row.data), row.width, row.height) if row else None


def _keep(**values: Any) -> None:
    """Store it, unless somebody else just did, or something else is being written: it would be the same the next time."""
    try:
        with passing_write() as connection:
            connection.execute(insert(PrintedDocument).values(**values))
    except (IntegrityError, OperationalError) as error:
        log.info("document %s is not kept this time: %s", values["id"], type(error).__name__)
