"""Column types and mixins that many tables share."""

from typing import Annotated, Any

from sqlalchemy import JSON, Dialect, ForeignKey, Text, TypeDecorator, false
from sqlalchemy.orm import Mapped, mapped_column

from portal_site.billing.rules.subscriptions.pending_update import PendingUpdate

Id = Annotated[str, mapped_column(primary_key=True)]
AccountId = Annotated[str, mapped_column(ForeignKey("accounts.id"))]
CustomerId = Annotated[str, mapped_column(ForeignKey("customers.id"))]
LongText = Annotated[str, mapped_column(Text)]
# none_as_null: None is stored as SQL NULL, so that a missing value has one representation and not JSON null as a second.
Document = Annotated[dict[str, Any], mapped_column(JSON(none_as_null=True), default=dict)]
OptionalDocument = Annotated[dict[str, Any] | None, mapped_column(JSON(none_as_null=True))]
OptionalDocuments = Annotated[list[Any] | None, mapped_column(JSON(none_as_null=True))]
Documents = Annotated[list[Any], mapped_column(JSON(none_as_null=True), default=list)]


class PendingUpdateColumn(TypeDecorator[PendingUpdate]):
    """A JSON column whose value is a PendingUpdate."""

    impl = JSON(none_as_null=True)
    cache_ok = True

    def process_bind_param(self, value: PendingUpdate | None, _dialect: Dialect) -> dict[str, Any] | None:
        """The document that is stored."""
        return value.as_document() if value is not None else None

    def process_result_value(self, value: Any, _dialect: Dialect) -> PendingUpdate | None:
        """The stored document as a PendingUpdate."""
        return PendingUpdate.of(value) if value is not None else None


class HasLivemode:
    """A row in test or in live mode. Rows of one mode never refer to rows of the other."""

    livemode: Mapped[bool] = mapped_column(default=False, server_default=false())


class HasMetadata:
    """A row with the merchant's own metadata, which is never shown to a customer."""

    metadata_: Mapped[Document] = mapped_column("metadata")


def values(row: object, *names: str) -> dict[str, Any]:
    """Some columns of a row by name, for an event's object or previous attributes."""
    return {name: getattr(row, name) for name in names}
