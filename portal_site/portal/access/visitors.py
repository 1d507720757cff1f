"""The visitor of a request. It is loaded on each request, so that changes take effect with the next click."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from flask import session
from sqlalchemy import bindparam, case, func, literal, null, select, union_all
from sqlalchemy.orm import aliased

from portal_site.billing.errors import NotFound
from portal_site.billing.models import Account, Customer, PortalConfiguration, PortalSession, PortalVisit, TestClock
from portal_site.billing.portal_access.portal_sessions import IDLE_LIFE, SEEN_STEP, WHOLE_LIFE, hash_token
from portal_site.billing.rules.payments.dunning import DunningPolicy
from portal_site.billing.rules.portal import portal_features
from portal_site.billing.rules.portal.flows import PORTAL_HOMEPAGE, Flow
from portal_site.billing.rules.portal.portal_features import Features
from portal_site.billing.rules.portal.safe_urls import Returns
from portal_site.branding import theme
from portal_site.branding.theme import Branding
from portal_site.db.page_query import PageQuery, Row
from portal_site.portal.access import activity
from portal_site.portal.reads.subscriptions import CustomerBalance
from portal_site.web import hosts

COOKIE_MEMBER = "visit"

_SHOWN_ACCOUNT = func.coalesce(PortalSession.on_behalf_of, PortalSession.account_id)
_OWNER = aliased(Account)  # a platform's customers return to the platform, even if they see a connected account's name
_MERCHANT = (
    Account.business_name,
    Account.branding.label("account_branding"),
    Account.logo_id,
    Account.icon_id,
    Account.timezone.label("account_timezone"),
    Account.support_email,
    Account.support_phone,
    Account.support_url,
    func.coalesce(PortalConfiguration.privacy_policy_url, Account.privacy_policy_url).label("privacy_policy_url"),
    func.coalesce(PortalConfiguration.terms_of_service_url, Account.terms_of_service_url).label("terms_of_service_url"),
    PortalConfiguration.headline,
    PortalConfiguration.branding.label("configuration_branding"),
    case((PortalConfiguration.login_page_enabled, PortalConfiguration.login_page_id)).label("login_page_id"),
    PortalConfiguration.default_return_url,
    _OWNER.return_hosts,
    _OWNER.id.label("account_id"),
)
_BUSINESS = (
    *_MERCHANT,
    PortalSession.customer_id,
    PortalSession.return_url,
    PortalSession.locale,
    PortalSession.livemode,
    PortalSession.id.label("session_id"),
    PortalSession.after_expiration,
)
_CUSTOMER = (
    _OWNER.dunning.label("dunning_document"),
    PortalConfiguration.features.label("feature_document"),
    PortalConfiguration.remembers_devices,
    Customer.name,
    Customer.email,
    Customer.phone,
    Customer.address,
    Customer.shipping,
    Customer.balance,
    Customer.currency,
    Customer.invoice_prefix,
    Customer.other_balances,
    Customer.tax_exempt,
    Customer.default_payment_method_id,
    Customer.preferred_locales,
    Customer.timezone.label("customer_timezone"),
    TestClock.frozen_time,
)
_VISITOR = PageQuery(
    visitor=select(
        *_BUSINESS,
        PortalVisit.id.label("visit_id"),
        PortalVisit.last_seen_at,
        PortalSession.on_behalf_of,
        PortalSession.by_login,
        PortalSession.by_email_link,
        PortalSession.device_id,
        PortalSession.flow.label("flow_document"),
        PortalSession.flow_completed_at,
        *_CUSTOMER,
    )
    .select_from(PortalVisit)
    .join(PortalSession, PortalSession.id == PortalVisit.session_id)
    .join(Customer, Customer.id == PortalSession.customer_id)
    .join(PortalConfiguration, PortalConfiguration.id == PortalSession.configuration_id)
    .join(Account, Account.id == _SHOWN_ACCOUNT)
    .join(_OWNER, _OWNER.id == PortalSession.account_id)
    .outerjoin(TestClock, TestClock.id == Customer.test_clock_id)
    .where(
        PortalVisit.token_hash == bindparam("token_hash"),
        PortalVisit.ended_at.is_(None),
        PortalSession.ended_at.is_(None),
        PortalVisit.last_seen_at > bindparam("idle_since"),
        PortalVisit.opened_at > bindparam("opened_since"),
        PortalConfiguration.active,
        Customer.deleted_at.is_(None),
        Customer.account_id == PortalSession.account_id,
    )
)
_BY_TOKEN = union_all(
    select(PortalSession.id).where(PortalSession.token_hash == bindparam("token_hash")),
    select(PortalVisit.session_id).where(PortalVisit.token_hash == bindparam("token_hash")),
)
_SESSIONS = (
    select(*_BUSINESS)
    .select_from(PortalSession)
    .join(PortalConfiguration, PortalConfiguration.id == PortalSession.configuration_id)
    .join(Account, Account.id == _SHOWN_ACCOUNT)
    .join(_OWNER, _OWNER.id == PortalSession.account_id)
)
# An expired link or cookie still identifies the portal's owner; only the id of the customer is read.
_LOST = PageQuery(visitor=_SESSIONS.where(PortalSession.id.in_(_BY_TOKEN)))
_OF_SESSION = PageQuery(
    visitor=_SESSIONS.where(
        PortalSession.account_id == bindparam("account_id"), PortalSession.id == bindparam("session_id")
    )
)
# The owner of a login page, where nobody has come in yet.
_NOBODY = (
    select(
        *_MERCHANT,
        literal("").label("customer_id"),
        null().label("return_url"),
        null().label("locale"),
        PortalConfiguration.livemode,
        literal("").label("session_id"),
        null().label("after_expiration"),
    )
    .select_from(PortalConfiguration)
    .join(Account, Account.id == PortalConfiguration.account_id)
    .join(_OWNER, _OWNER.id == PortalConfiguration.account_id)
)
_OF_LOGIN = PageQuery(visitor=_NOBODY.where(PortalConfiguration.login_page_id == bindparam("login_page_id")))
# That of a page for cancellations, as the default configuration shows it; of live mode, where there is one.
_OF_CANCELLATION = PageQuery(
    visitor=_NOBODY.where(
        Account.cancellation_page_id == bindparam("cancellation_page_id"),
        PortalConfiguration.is_default,
        PortalConfiguration.active,
    ).order_by(PortalConfiguration.livemode.desc())
)
# A customer who has not come in: e-mails and the pages of their links show what its portal would.
_WITHOUT_SESSION = PageQuery(
    visitor=select(
        *_MERCHANT,
        *_CUSTOMER,
        Customer.id.label("customer_id"),
        Customer.livemode,
        null().label("return_url"),
        null().label("locale"),
        null().label("after_expiration"),
    )
    .select_from(Customer)
    .join(
        PortalConfiguration,
        (PortalConfiguration.account_id == Customer.account_id)
        & (PortalConfiguration.livemode == Customer.livemode)
        & PortalConfiguration.is_default,
    )
    .join(Account, Account.id == bindparam("shown_account_id"))
    .join(_OWNER, _OWNER.id == Customer.account_id)
    .outerjoin(TestClock, TestClock.id == Customer.test_clock_id)
    .where(
        Customer.account_id == bindparam("account_id"),
        Customer.id == bindparam("customer_id"),
        Customer.deleted_at.is_(None),
        PortalConfiguration.active,
    )
)
# Anybody's portal as a configuration shows it; without a customer, that of one who has nothing.
_PREVIEWED = PageQuery(
    visitor=select(
        *_MERCHANT,
        *_CUSTOMER,
        Customer.id.label("customer_id"),
        PortalConfiguration.account_id,
        PortalConfiguration.livemode,
        null().label("return_url"),
        null().label("locale"),
        null().label("after_expiration"),
    )
    .select_from(PortalConfiguration)
    .join(Account, Account.id == PortalConfiguration.account_id)
    .join(_OWNER, _OWNER.id == PortalConfiguration.account_id)
    .outerjoin(
        Customer,
        (Customer.account_id == PortalConfiguration.account_id)
        & (Customer.livemode == PortalConfiguration.livemode)
        & (Customer.id == bindparam("customer_id"))
        & Customer.deleted_at.is_(None),
    )
    .outerjoin(TestClock, TestClock.id == Customer.test_clock_id)
    .where(
        PortalConfiguration.account_id == bindparam("account_id"),
        PortalConfiguration.id == bindparam("configuration_id"),
    )
)
_NO_SESSION: Mapping[str, Any] = {
    "session_id": "", "visit_id": "", "last_seen_at": 0, "by_login": False, "by_email_link": False, "device_id": None,
    "flow_document": None, "flow_completed_at": None,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class PortalOwner:
    """The merchant who owns the portal: its public details and branding."""

    business_name: str
    account_branding: Mapping[str, Any]
    configuration_branding: Mapping[str, Any] | None
    logo_id: str | None
    icon_id: str | None
    account_timezone: str
    support_email: str | None
    support_phone: str | None
    support_url: str | None
    privacy_policy_url: str | None
    terms_of_service_url: str | None
    headline: str | None
    login_page_id: str | None
    customer_id: str
    return_url: str | None
    default_return_url: str | None
    return_hosts: Sequence[str]
    account_id: str
    locale: str | None
    livemode: bool
    session_id: str
    after_expiration: Mapping[str, Any] | None
    preferred_locales: tuple[str, ...] = ()

    @cached_property
    def branding(self) -> Branding:
        """The configuration's branding, with the account's for missing members."""
        return theme.parse(**{**self.account_branding, **(self.configuration_branding or {})})

    @property
    def timezone(self) -> str:
        """The time zone of the dates on the page."""
        return self.account_timezone

    @property
    def safe_return_url(self) -> str | None:
        """The URL of the link “Return to …”, if it has one of the merchant's registered hosts."""
        address = self.return_url or self.default_return_url
        returns = Returns.of(self.livemode, self.return_hosts, self.default_return_url)
        return address if address and returns.allow(address) else None


@dataclass(frozen=True, kw_only=True)
class Visitor(PortalOwner):
    """The customer of a request, with the portal's owner and configuration."""

    visit_id: str
    last_seen_at: int
    on_behalf_of: str | None
    by_login: bool
    by_email_link: bool
    device_id: str | None
    flow_document: Mapping[str, Any] | None
    flow_completed_at: int | None
    dunning_document: Mapping[str, Any] | None
    feature_document: Mapping[str, Any]
    remembers_devices: bool
    name: str | None
    email: str | None
    phone: str | None
    address: Mapping[str, Any] | None
    shipping: Mapping[str, Any] | None
    balance: int
    currency: str | None
    invoice_prefix: str | None
    other_balances: Mapping[str, int] | None
    tax_exempt: str
    default_payment_method_id: str | None
    customer_timezone: str | None
    frozen_time: int | None

    def time(self, real: int) -> int:
        """The customer's current instant: that of its test clock, else the real one."""
        return real if self.frozen_time is None else self.frozen_time

    @cached_property
    def features(self) -> Features:
        """The options of the configuration; a coupon of the visit's flow is offered instead of the merchant's other offers."""
        features = portal_features.read(self.feature_document)
        if self.by_login:
            features = features.without_email()
        if self.by_email_link:  # an offer may lead to pages that such a visit is not for
            features = features.without_offers()
        if self.flow is None or self.flow.retention_coupon is None:
            return features
        return features.offering(self.flow.retention_coupon)

    @cached_property
    def flow(self) -> Flow | None:
        """The one thing that the visit is for; None if it is for everything, or once a flow that ends at the overview is done."""
        flow = Flow.of(self.flow_document) if self.flow_document else None
        leads_home = flow is not None and flow.completion.type == PORTAL_HOMEPAGE and not self.by_email_link
        return None if leads_home and self.flow_completed_at is not None else flow

    @cached_property
    def dunning(self) -> DunningPolicy:
        """What happens to unpaid invoices."""
        return DunningPolicy.of(self.dunning_document or {})

    @property
    def timezone(self) -> str:
        """The customer's, else the merchant's."""
        return self.customer_timezone or self.account_timezone

    @property
    def payer(self) -> CustomerBalance:
        """What of this customer decides an amount."""
        return CustomerBalance(self.balance, self.currency, self.tax_exempt, self.other_balances)

    @property
    def scope(self) -> dict[str, Any]:
        """The parameters that limit each query to this visitor."""
        return {"account_id": self.account_id, "customer_id": self.customer_id, "on_behalf_of": self.on_behalf_of}


def find_visitor(at: int) -> Visitor | None:
    """The visitor with this browser's cookie, or None if it has no valid session."""
    token = session.get(COOKIE_MEMBER)
    if not token:
        return None
    row = _VISITOR.one(token_hash=hash_token(token), idle_since=at - IDLE_LIFE, opened_since=at - WHOLE_LIFE)
    if row is None or not hosts.shows(row["account_id"]):
        return None
    visitor = Visitor(**{**row, "preferred_locales": tuple(row["preferred_locales"] or ())})
    if at - visitor.last_seen_at >= SEEN_STEP:
        activity.note(visitor.account_id, visitor.visit_id, at)
    return visitor


def find_login_owner(login_page_id: str) -> PortalOwner | None:
    """The owner of a login page, or None if there is no such page."""
    return _owner(_OF_LOGIN.one(login_page_id=login_page_id))


def find_cancellation_owner(page_id: str) -> PortalOwner | None:
    """The owner of a page for cancelling without logging in, or None if there is no such page."""
    return _owner(_OF_CANCELLATION.one(cancellation_page_id=page_id))


def find_session_owner(account_id: str, session_id: str) -> PortalOwner | None:
    """The owner of the portal of a session that a signed link names."""
    return _owner(_OF_SESSION.one(account_id=account_id, session_id=session_id))


def find_expired_owner(token: str | None) -> PortalOwner | None:
    """The owner of the portal of an expired link or cookie, or None if it is unknown."""
    return _owner(_LOST.one(token_hash=hash_token(token))) if token else None


def _owner(row: Row | None) -> PortalOwner | None:
    """The owner in a row. On the custom domain of another account there is none."""
    return PortalOwner(**row) if row is not None and hosts.shows(row["account_id"]) else None


def find_without_session(account_id: str, customer_id: str, on_behalf_of: str | None) -> Visitor | None:
    """A customer without a session, with the default configuration; None if it is deleted, or there is no such configuration."""
    shown = on_behalf_of or account_id
    row = _WITHOUT_SESSION.one(account_id=account_id, customer_id=customer_id, shown_account_id=shown)
    if row is None or not hosts.shows(account_id):
        return None
    return Visitor(
        **{**row, "preferred_locales": tuple(row["preferred_locales"] or ())}, **_NO_SESSION, on_behalf_of=on_behalf_of
    )


def find_previewed(account_id: str, configuration_id: str, customer_id: str, changed: Mapping[str, Any]) -> Visitor:
    """A customer as this configuration would show the portal, with `changed` columns of it that are not stored.

    An id that is no customer's is somebody who has nothing. Raises NotFound if there is no such configuration.
    """
    row = _PREVIEWED.one(account_id=account_id, configuration_id=configuration_id, customer_id=customer_id)
    if row is None:
        raise NotFound("No such configuration: '%(id)s'", "resource_missing", "configuration", id=configuration_id)
    if row["customer_id"] is None:
        row = {**row, "customer_id": "", "balance": 0, "tax_exempt": "none"}
    known = {**row, **changed, "preferred_locales": tuple(row["preferred_locales"] or ())}
    return Visitor(**known, **_NO_SESSION, on_behalf_of=None)
