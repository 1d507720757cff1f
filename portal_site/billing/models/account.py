"""A merchant's account, its custom domain, brand assets, API keys, and the answers to requests with an idempotency key."""

from typing import ClassVar

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from portal_site.billing.models.columns import (
    AccountId,
    Document,
    Documents,
    HasLivemode,
    Id,
    LongText,
    OptionalDocument,
)
from portal_site.db import Base


class Account(Base):
    """A merchant. `platform_id` is set on a connected account; `branding` is parsed by `branding.theme`."""

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
    # The retries after a failed payment, parsed by rules.payments.dunning.DunningPolicy.
    dunning: Mapped[Document]
    # The hosts that are allowed in return URLs, checked by rules.portal.safe_urls.Returns.
    return_hosts: Mapped[Documents]
    # The merchant's postal address, with the members of a customer's, and its own tax ids as {type, value}; invoices print them.
    address: Mapped[OptionalDocument]
    tax_ids: Mapped[Documents] = mapped_column(server_default="[]")
    # The account's own sender of e-mails, parsed by mail.messages.SenderSettings.
    mail: Mapped[OptionalDocument]
    # Which kinds of e-mails its customers get, and when, parsed by notices.kinds.Settings; null for the usual ones.
    notices: Mapped[OptionalDocument]
    # The merchant's own words in e-mails by kind, language and field, put in by mail.own_words; null for none.
    email_texts: Mapped[OptionalDocument]
    # A sender that is to be used once its domain is proven, and what was found of its DNS records, parsed by mail.senders.
    mail_domain: Mapped[OptionalDocument]
    # For how many days the links in e-mails work.
    email_link_days: Mapped[int] = mapped_column(default=28, server_default="28")
    # The random part of the URL of the page for cancelling without logging in; null while there is none.
    cancellation_page_id: Mapped[str | None]
    # Of a connected account: its own account at the platform's payment provider, which gets what is paid for it there.
    provider_account: Mapped[str | None]
    logo_id: Mapped[str | None] = mapped_column()
    icon_id: Mapped[str | None] = mapped_column()
    # Counts the changes of its settings, so that of two people who change them at once the second is told.
    version: Mapped[int] = mapped_column(default=1, server_default="1")

    __table_args__ = (
        Index("uq_accounts_cancellation_page_id", "cancellation_page_id", unique=True),
        Index("ix_accounts_platform", "platform_id", "id"),
    )


class SettingsVersion(Base):
    """The settings of a portal configuration, or of an account, as they were after a change: for their history, and to go back.

    `subject_id` is the configuration or the account. `settings` has its columns by name.
    """

    __tablename__ = "settings_versions"

    account_id: Mapped[AccountId] = mapped_column(primary_key=True)
    subject_id: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    created: Mapped[int]
    actor_type: Mapped[str | None]
    actor_id: Mapped[str | None]
    settings: Mapped[Document]


class CustomDomain(Base):
    """The host of its own on which an account's customers see their portal.

    It works from `verified_at`, when `token` was found in its DNS, until `disabled_at`, when the token had been missing for some
    days (`failures`). Only a domain that works is looked for again, at `check_due_at`. `checked_at` is when its DNS answered
    last, `finding` what that said, and `route` where the host led when somebody asked.
    """

    __tablename__ = "custom_domains"
    _WORKING = "verified_at IS NOT NULL AND disabled_at IS NULL"

    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
    host: Mapped[str]
    token: Mapped[str]
    created: Mapped[int]
    verified_at: Mapped[int | None]
    checked_at: Mapped[int | None]
    check_due_at: Mapped[int | None] = mapped_column(index=True)
    finding: Mapped[str | None]
    route: Mapped[str | None]
    failures: Mapped[int] = mapped_column(default=0)
    disabled_at: Mapped[int | None]

    # Anybody may claim a host, and one account can prove it.
    __table_args__ = (
        Index(
            "uq_custom_domains_host",
            "host",
            unique=True,
            sqlite_where=text(_WORKING),
            postgresql_where=text(_WORKING),
        ),
    )

    @property
    def works(self) -> bool:
        """Whether requests for the host are answered, and links lead to it."""
        return self.verified_at is not None and self.disabled_at is None


class BrandAsset(Base):
    """A checked logo or icon. Its id contains the hash of its content, so that browsers may cache it for a year."""

    __tablename__ = "brand_assets"

    id: Mapped[Id]
    account_id: Mapped[AccountId] = mapped_column(index=True)
    created: Mapped[int]
    content_type: Mapped[str]
    data: Mapped[bytes]
    width: Mapped[int]
    height: Mapped[int]


class ApiKey(HasLivemode, Base):
    """A key of the merchant's program. Only its hash is stored; `redacted` is what of it is shown: sk_test_…3kfQ.

    `rights` is null for a secret key, which may do everything. A restricted key has `read` or `write` for some of the rights.
    A key works until `expires_at`, if that is set; a key that was revoked or rolled has expired.
    """

    __tablename__ = "api_keys"

    id: Mapped[Id]
    account_id: Mapped[AccountId] = mapped_column(index=True)
    created: Mapped[int]
    name: Mapped[str | None]
    token_hash: Mapped[str] = mapped_column(unique=True)
    redacted: Mapped[str]
    rights: Mapped[OptionalDocument]
    expires_at: Mapped[int | None]


class IdempotentRequest(Base):
    """A request with an idempotency key, and its answer, which is encrypted because it may hold a link or a key.

    `fingerprint` is the hash of the method, the path and the parameters. `key` is unique in its account and mode.
    """

    __tablename__ = "idempotent_requests"
    KEPT: ClassVar[int] = 24 * 60 * 60  # seconds for which the same request gets the same answer

    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
    livemode: Mapped[bool] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    created: Mapped[int] = mapped_column(index=True)
    fingerprint: Mapped[str]
    request_id: Mapped[str]
    status: Mapped[int]
    answer: Mapped[LongText]
