"""A merchant, and how its portal looks."""

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from portal_site.billing.models.columns import AccountId, Document, Documents, Id
from portal_site.db import Base


class Account(Base):
    """A merchant. A connected account belongs to a platform; `branding` holds what `branding.Branding` parses."""

    __tablename__ = "accounts"

    id: Mapped[Id]
    platform_id: Mapped[str | None] = mapped_column(ForeignKey("accounts.id"))
    created: Mapped[int]
    business_name: Mapped[str]
    country: Mapped[str | None]
    default_currency: Mapped[str | None]
    timezone: Mapped[str] = mapped_column(default="UTC")
    support_email: Mapped[str | None]
    support_phone: Mapped[str | None]
    support_url: Mapped[str | None]
    privacy_policy_url: Mapped[str | None]
    terms_of_service_url: Mapped[str | None]
    branding: Mapped[Document]
    # What follows on a failed renewal: what rules.dunning.Policy reads.
    dunning: Mapped[Document]
    # Hosts that a return address may lead to: what rules.web_addresses.Returns reads.
    return_hosts: Mapped[Documents]
    logo_id: Mapped[str | None] = mapped_column()
    icon_id: Mapped[str | None] = mapped_column()


class BrandAsset(Base):
    """A checked logo or icon. Its id carries the hash of its content, so that browsers may keep it for a year."""

    __tablename__ = "brand_assets"

    id: Mapped[Id]
    account_id: Mapped[AccountId] = mapped_column(index=True)
    created: Mapped[int]
    content_type: Mapped[str]
    data: Mapped[bytes]
    width: Mapped[int]
    height: Mapped[int]
