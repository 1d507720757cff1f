"""Credit notes that were voided there since they were imported."""

from collections.abc import Sequence

from sqlalchemy import delete
from sqlalchemy.orm import Session

from portal_site.billing.importing.objects import ImportedObject
from portal_site.billing.importing.schemas.billing_schemas import CreditNoteShape
from portal_site.billing.models import CreditNote, CreditNoteLineItem


def delete_void(session: Session, objects: Sequence[ImportedObject], account_id: str) -> None:
    """Delete the stored credit notes that are void in the files: they take nothing off any more."""
    void = [one.id for one in objects if isinstance(one.shape, CreditNoteShape) and one.shape.status == "void"]
    for model, column in ((CreditNoteLineItem, CreditNoteLineItem.credit_note_id), (CreditNote, CreditNote.id)):
        if void:
            gone = delete(model).where(column.in_(void), model.account_id == account_id)
            session.execute(gone, execution_options={"synchronize_session": False})
