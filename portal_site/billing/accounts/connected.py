"""The accounts that are connected to a platform: making one, their list, and those on whose behalf a customer was sold to."""

import re
from collections.abc import Sequence

from sqlalchemy import bindparam, select

from portal_site.billing.accounts import accounts
from portal_site.billing.accounts.accounts import NewAccount
from portal_site.billing.errors import BillingError, NotFound
from portal_site.billing.events.emission import OfAccount, emit
from portal_site.billing.loading import ownership
from portal_site.billing.models import Account, Subscription
from portal_site.billing.resources import accounts as shapes
from portal_site.db.page_query import PageQuery
from portal_site.db.transactions import transaction

AT_ONCE = 50
PROVIDER_ACCOUNT = re.compile(r"acct_[A-Za-z0-9]{1,64}")
_SOLD_FOR = PageQuery(
    accounts=select(Account.id, Account.business_name)
    .where(
        Account.platform_id == bindparam("account_id"),
        Account.id.in_(
            select(Subscription.on_behalf_of).where(
                Subscription.account_id == bindparam("account_id"),
                Subscription.customer_id == bindparam("customer_id"),
                Subscription.on_behalf_of.is_not(None),
            )
        ),
    )
    .order_by(Account.business_name, Account.id)
)


def create(platform_id: str, wanted: NewAccount, at: int) -> Account:
    """A new account that is connected to a platform. Raises BillingError, also if the platform is a connected account itself."""
    with transaction() as session:
        platform = ownership.get_account(session, platform_id)
        if platform.platform_id is not None:
            raise BillingError("A connected account can have no connected accounts.")
        row = accounts.add_account(session, wanted, at, platform_id=platform.id)
        emit(session, "account.created", OfAccount(platform.id), at, document=shapes.account(row))
        return row


def page(platform_id: str, after: str | None = None) -> tuple[Sequence[Account], str | None]:
    """A page of a platform's connected accounts, newest first, and the id that the next page comes after, if there is one.

    Ids begin with the time of their creation, so their order is that of the list.
    """
    with transaction() as session:
        query = select(Account).where(Account.platform_id == platform_id).order_by(Account.id.desc())
        if after:
            query = query.where(Account.id < after.replace("\0", ""))
        found = session.scalars(query.limit(AT_ONCE + 1)).all()
    shown = found[:AT_ONCE]
    return shown, shown[-1].id if len(found) > AT_ONCE else None


def get(platform_id: str, account_id: str) -> Account:
    """One of a platform's connected accounts. Raises NotFound."""
    with transaction() as session:
        query = select(Account).where(Account.platform_id == platform_id, Account.id == account_id.replace("\0", ""))
        row = session.scalars(query).one_or_none()
    if row is None:
        raise NotFound("There is no such connected account.", "resource_missing")
    return row


def set_provider_account(platform_id: str, account_id: str, provider_account: str | None, at: int) -> Account:
    """Set to which account at the platform's payment provider the money goes that is paid for a connected account.

    None: it stays with the platform. What is paid already does not move. Raises NotFound, and BillingError for what is no id.
    """
    if provider_account is not None and not PROVIDER_ACCOUNT.fullmatch(provider_account):
        raise BillingError("An account at Stripe is written like acct_1A2b3C4d5E6f.", param="provider_account")
    with transaction() as session:
        mine = Account.platform_id == platform_id, Account.id == account_id.replace("\0", "")
        row = session.scalars(select(Account).where(*mine).with_for_update()).one_or_none()
        if row is None:
            raise NotFound("There is no such connected account.", "resource_missing")
        if row.provider_account != provider_account:
            row.provider_account = provider_account
            session.flush()
            emit(session, "account.updated", OfAccount(platform_id), at, document=shapes.account(row))
        return row


def sold_for(platform_id: str, customer_id: str) -> list[tuple[str, str]]:
    """The connected accounts on whose behalf a customer of the platform has subscriptions, as (id, name)."""
    found = _SOLD_FOR.fetch(account_id=platform_id, customer_id=customer_id)["accounts"]
    return [(row["id"], row["business_name"]) for row in found]
