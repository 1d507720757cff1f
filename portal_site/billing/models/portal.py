"""Portal configurations, portal sessions (a link for one customer), portal visits (a browser that opened it), and logins."""

from sqlalchemy import ForeignKey, Index, false, text
from sqlalchemy.orm import Mapped, mapped_column

from portal_site.billing.models.columns import (
    AccountId,
    CustomerId,
    Document,
    HasLivemode,
    HasMetadata,
    Id,
    LongText,
    OptionalDocument,
)
from portal_site.db import Base


class PortalConfiguration(HasLivemode, HasMetadata, Base):
    """What customers may do and how the portal looks. `features` is parsed by `rules.portal.portal_features.Features`.

    `branding` overrides the account's branding member by member; null means the account's branding unchanged.
    """

    __tablename__ = "portal_configurations"

    id: Mapped[Id]
    account_id: Mapped[AccountId] = mapped_column(index=True)
    created: Mapped[int]
    updated: Mapped[int]
    active: Mapped[bool] = mapped_column(default=True)
    is_default: Mapped[bool] = mapped_column(default=False)
    name: Mapped[str | None]
    headline: Mapped[str | None]
    privacy_policy_url: Mapped[str | None]
    terms_of_service_url: Mapped[str | None]
    default_return_url: Mapped[LongText | None]
    login_page_enabled: Mapped[bool] = mapped_column(default=False)
    # The random part of the login page's URL; another one makes the old URL lead nowhere.
    login_page_id: Mapped[str | None]
    # Whether customers may stay logged in on a device.
    remembers_devices: Mapped[bool] = mapped_column(default=False, server_default=false())
    features: Mapped[Document]
    branding: Mapped[OptionalDocument]
    # Counts the changes, so that of two people who change it at once the second is told.
    version: Mapped[int] = mapped_column(default=1, server_default="1")

    __table_args__ = (
        Index(
            "uq_portal_configurations_default",
            "account_id",
            "livemode",
            unique=True,
            sqlite_where=text("is_default"),
            postgresql_where=text("is_default"),
        ),
        Index("uq_portal_configurations_login_page_id", "login_page_id", unique=True),
    )


class PortalSession(HasLivemode, Base):
    """A link for one customer. Only the hash of its token is stored. The link works until `expires_at`, even repeatedly.

    `flow` is the one thing that it is for, if any, parsed by `rules.portal.flows.Flow`.
    """

    __tablename__ = "portal_sessions"

    id: Mapped[Id]
    account_id: Mapped[AccountId]
    customer_id: Mapped[CustomerId]
    configuration_id: Mapped[str] = mapped_column(ForeignKey("portal_configurations.id"))
    on_behalf_of: Mapped[str | None] = mapped_column(ForeignKey("accounts.id"))
    created: Mapped[int]
    token_hash: Mapped[str] = mapped_column(unique=True)
    expires_at: Mapped[int] = mapped_column(index=True)
    ended_at: Mapped[int | None]
    return_url: Mapped[LongText | None]
    locale: Mapped[str | None]
    flow: Mapped[OptionalDocument]
    flow_completed_at: Mapped[int | None]
    # Whether an expired link leads to a code for the customer's own address: the `after_expiration` hash of the API.
    after_expiration: Mapped[OptionalDocument]
    # The first of the expired sessions that this one replaces; a flow is completed for all of them.
    replaces_id: Mapped[str | None]
    # Whether it began at the login page: the e-mail address, which let the customer in, cannot be changed then.
    by_login: Mapped[bool] = mapped_column(default=False, server_default=false())
    # Whether it began with a link in an e-mail, which may have been forwarded: its pages show no more than its flow needs.
    by_email_link: Mapped[bool] = mapped_column(default=False, server_default=false())
    # The remembered device that began it, without a code: payment details and cancelling ask for one.
    device_id: Mapped[str | None] = mapped_column(index=True)

    __table_args__ = (
        Index(
            "ix_portal_sessions_replaces_id",
            "replaces_id",
            sqlite_where=text("replaces_id IS NOT NULL"),
            postgresql_where=text("replaces_id IS NOT NULL"),
        ),
    )


class PortalVisit(Base):
    """A browser that opened a session's link. It ends by logout, by inactivity, or at its maximum duration."""

    __tablename__ = "portal_visits"

    id: Mapped[Id]
    account_id: Mapped[AccountId]
    session_id: Mapped[str] = mapped_column(ForeignKey("portal_sessions.id"), index=True)
    token_hash: Mapped[str] = mapped_column(unique=True)
    opened_at: Mapped[int] = mapped_column(index=True)
    last_seen_at: Mapped[int]
    ended_at: Mapped[int | None]


class RememberedDevice(HasLivemode, Base):
    """A browser in which a customer stays logged in until `expires_at`, as long as it has the address (in lower case) that let it
    in. Only the hash of the cookie's token is stored.
    """

    __tablename__ = "remembered_devices"

    id: Mapped[Id]
    account_id: Mapped[AccountId]
    customer_id: Mapped[CustomerId] = mapped_column(index=True)
    configuration_id: Mapped[str] = mapped_column(ForeignKey("portal_configurations.id"))
    created: Mapped[int]
    last_used_at: Mapped[int]
    email: Mapped[str]
    expires_at: Mapped[int] = mapped_column(index=True)
    token_hash: Mapped[str] = mapped_column(unique=True)


class LoginRequest(HasLivemode, Base):
    """Somebody has typed an e-mail address on a login page. It is stored whether or not a customer has that address.

    With `session_id` the address was not typed: an expired session of the customer is to be replaced. `browser_hash` is the
    hash of a secret in that browser's cookie, and `host` the custom domain that it was on, to which the link leads. The worker
    answers each request: it makes the code, of which `code_hash` is stored, and writes the e-mail, or neither. `network_hash`
    is for the limit of requests from one network.
    """

    __tablename__ = "login_requests"

    id: Mapped[Id]
    account_id: Mapped[AccountId]
    configuration_id: Mapped[str] = mapped_column(ForeignKey("portal_configurations.id"))
    created: Mapped[int]
    expires_at: Mapped[int]
    session_id: Mapped[str | None]
    email: Mapped[str]
    locale: Mapped[str | None]
    browser_hash: Mapped[str]
    host: Mapped[str | None]
    network_hash: Mapped[str]
    answered_at: Mapped[int | None]
    code_hash: Mapped[str | None]
    tries: Mapped[int] = mapped_column(default=0)
    used_at: Mapped[int | None]

    __table_args__ = (
        Index(
            "ix_login_requests_unanswered",
            "created",
            "id",
            sqlite_where=text("answered_at IS NULL"),
            postgresql_where=text("answered_at IS NULL"),
        ),
        Index("ix_login_requests_created", "created"),
        Index("ix_login_requests_account_id_email_created", "account_id", "email", "created"),
        Index("ix_login_requests_network_hash_created", "network_hash", "created"),
    )
