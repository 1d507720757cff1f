"""The beginning: an account with its owner, in a database that has neither."""

from sqlalchemy import exists, or_, select, text
from sqlalchemy.orm import Session

from portal_site.billing.accounts import accounts
from portal_site.billing.accounts.accounts import NewAccount
from portal_site.billing.errors import BillingError
from portal_site.billing.events.actors import ActorType, acting_as
from portal_site.billing.models import Account
from portal_site.db.transactions import reading, transaction
from portal_site.staff import teams
from portal_site.staff.models import User
from portal_site.staff.roles import Role

_BEGUN = select(or_(exists().select_from(Account), exists().select_from(User))).execution_options(
    unscoped="whether there is anybody at all"
)


def is_open() -> bool:
    """Whether nobody has begun: there is no account and no user."""
    with reading() as reader:
        return not reader.scalar(_BEGUN)


def begin(wanted: NewAccount, email: str, name: str, password: str, at: int) -> tuple[str, User]:
    """Make the first account and its owner: the account's id and the user. Raises BillingError if somebody has begun already."""
    with transaction() as session:
        _wait_for_others(session)
        if session.scalar(_BEGUN):
            raise BillingError("Somebody has set this up already. Sign in instead.")
        account = accounts.add_account(session, wanted, at)
        user = teams.new_user(session, teams.address(email), name, password, [account.business_name], at)
        with acting_as(ActorType.USER, user.id):
            teams.add_member(session, account.id, user, Role.OWNER, at)
        return account.id, user


def _wait_for_others(session: Session) -> None:
    """Of two that begin at once, the second finds what the first has made. SQLite has one writer anyway."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("LOCK TABLE users IN EXCLUSIVE MODE").execution_options(unscoped="there is nobody yet"))


def create_account(wanted: NewAccount, at: int) -> Account:
    """A further account, without a team. Raises BillingError."""
    with transaction() as session:
        return accounts.add_account(session, wanted, at)
