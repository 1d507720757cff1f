"""What the last import brought, so that the next one can tell what changed there from what changed here."""

from sqlalchemy.orm import Mapped, mapped_column

from portal_site.billing.models.columns import AccountId, Id, LongText
from portal_site.db import Base


class ImportedObject(Base):
    """An imported object. `checksums` has eight hexadecimal digits for each of its columns, in the order of `merging.COLUMNS`."""

    __tablename__ = "imported_objects"

    account_id: Mapped[AccountId] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[Id]
    checksums: Mapped[LongText]
