"""Columns that many tables share; not a place for behaviour."""

from typing import Annotated, Any

from sqlalchemy import JSON, ForeignKey, Text, false
from sqlalchemy.orm import Mapped, mapped_column

from portal_site.db import Base

Id = Annotated[str, mapped_column(primary_key=True)]
AccountId = Annotated[str, mapped_column(ForeignKey("accounts.id"))]
CustomerId = Annotated[str, mapped_column(ForeignKey("customers.id"))]
LongText = Annotated[str, mapped_column(Text)]
# none_as_null: “not given” is one thing in the database, not two.
Document = Annotated[dict[str, Any], mapped_column(JSON(none_as_null=True), default=dict)]
OptionalDocument = Annotated[dict[str, Any] | None, mapped_column(JSON(none_as_null=True))]
Documents = Annotated[list[Any], mapped_column(JSON(none_as_null=True), default=list)]


class HasLivemode:
    """Rows of test and of live mode are separate worlds that never refer to each other."""

    livemode: Mapped[bool] = mapped_column(default=False, server_default=false())


class HasMetadata:
    """Rows on which the merchant keeps notes of its own, never shown to a customer."""

    metadata_: Mapped[Document] = mapped_column("metadata")


def values(row: Base, *names: str) -> dict[str, Any]:
    """Some columns of a row, as an event's object or its previous attributes carry them."""
    return {name: getattr(row, name) for name in names}
