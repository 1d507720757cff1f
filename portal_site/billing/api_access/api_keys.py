"""API keys: creating, listing, rolling and revoking them, and finding the one of a request."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from portal_site.billing.errors import BillingError, NotFound
from portal_site.billing.loading import ownership
from portal_site.billing.models import Account, ApiKey
from portal_site.billing.portal_access.portal_sessions import hash_token
from portal_site.db.json_columns import JsonObject
from portal_site.db.page_query import PageQuery
from portal_site.db.transactions import transaction
from portal_site.ids import new_id, random_letters

READ, WRITE = "read", "write"
RIGHTS = ("customers", "customer_portal")  # what restricted keys can be given, named as at Stripe
LETTERS = 44  # of a key, behind its prefix: 262 bits, without the underscore that some clients refuse
SHOWN = 4  # the last letters, by which a merchant recognizes a key


@dataclass(frozen=True)
class NewKey:
    """A new key's row and its token, which cannot be read again."""

    row: ApiKey
    token: str


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose request it is: the account that is acted for, the mode of the key, and the key's rights, None for all.

    The account is the key's own, or one that is connected to it.
    """

    key_id: str
    account_id: str
    livemode: bool
    redacted: str
    rights: JsonObject | None

    def may(self, right: str, level: str) -> bool:
        """Whether the key allows this. Who may write may read."""
        return self.rights is None or self.rights.get(right) in (WRITE, level)


def create(
    account_id: str | None, at: int, *, livemode: bool, name: str | None = None, rights: Mapping[str, str] | None = None
) -> NewKey:
    """Create a secret key or, with `rights`, a restricted one. Raises BillingError for an unknown right."""
    for right, level in (rights or {}).items():
        if right not in RIGHTS or level not in (READ, WRITE):
            raise BillingError(
                "Unknown right: %(right)s=%(level)s. The rights are %(rights)s, each read or write.",
                "", "rights", right=right, level=level, rights=", ".join(RIGHTS),
            )  # fmt: skip
    with transaction() as session:
        account = ownership.get_account(session, account_id)
        return _add(session, account.id, livemode, name, rights, at)


def _add(
    session: Session, account_id: str, livemode: bool, name: str | None, rights: Mapping[str, str] | None, at: int
) -> NewKey:
    kind, mode = "sk" if rights is None else "rk", "live" if livemode else "test"
    token = f"{kind}_{mode}_{random_letters(LETTERS)}"
    row = ApiKey(
        id=new_id("key"),
        account_id=account_id,
        livemode=livemode,
        created=at,
        name=name,
        token_hash=hash_token(token),
        redacted=redact(token),
        rights=dict(rights) if rights is not None else None,
    )
    session.add(row)
    return NewKey(row, token)


def redact(token: str) -> str:
    """A key as messages and lists show it: its prefix and its last letters."""
    prefix, _, letters = token.rpartition("_")
    return f"{prefix}_…{letters[-SHOWN:]}" if prefix and len(letters) > 2 * SHOWN else "…"


def of_account(account_id: str | None) -> Sequence[ApiKey]:
    """The keys of an account, the newest first."""
    with transaction() as session:
        account = ownership.get_account(session, account_id)
        query = select(ApiKey).where(ApiKey.account_id == account.id).order_by(ApiKey.created.desc(), ApiKey.id.desc())
        return session.scalars(query).all()


def roll(key_id: str, at: int, kept: int = 0) -> NewKey:
    """Replace a key by a new one with the same rights. The old one works for `kept` more seconds."""
    with transaction() as session:
        old = _get(session, key_id, at)
        old.expires_at = at + kept
        return _add(session, old.account_id, old.livemode, old.name, old.rights, at)


def revoke(key_id: str, at: int) -> ApiKey:
    """End a key at once."""
    with transaction() as session:
        row = _get(session, key_id, at)
        row.expires_at = at
        return row


def _get(session: Session, key_id: str, at: int) -> ApiKey:
    query = select(ApiKey).where(ApiKey.id == key_id).with_for_update()
    row = session.scalar(query.execution_options(unscoped="an operator names a key, whoever's it is"))
    if row is None:
        raise NotFound("No such API key: '%(id)s'", "resource_missing", "key", id=key_id)
    if row.expires_at is not None and row.expires_at <= at:
        raise BillingError("This key has ended already.", "api_key_expired", "key")
    return row


_CONNECTED = select(Account.id).where(Account.id == bindparam("acts_for"), Account.platform_id == ApiKey.account_id)
_BY_HASH = PageQuery(
    key=select(
        ApiKey.id, ApiKey.account_id, ApiKey.livemode, ApiKey.redacted, ApiKey.rights, ApiKey.expires_at,
        _CONNECTED.scalar_subquery().label("connected_id"),
    ).where(ApiKey.token_hash == bindparam("token_hash"))
)  # fmt: skip


def find(token: str, at: int, acts_for: str | None = None) -> Caller | None:
    """Whose key this is, and that it acts for this account, if one is named; None for an unknown key.

    Raises BillingError with the code `api_key_expired` for a key that has ended, and with `account_invalid` if the account is
    neither the key's own nor connected to it.
    """
    row = _BY_HASH.one(token_hash=hash_token(token), acts_for=acts_for)
    if row is None:
        return None
    if row["expires_at"] is not None and row["expires_at"] <= at:
        raise BillingError("Expired API Key provided: %(key)s", "api_key_expired", key=row["redacted"])
    if acts_for not in (None, row["account_id"], row["connected_id"]):
        raise BillingError(
            "The provided key '%(key)s' does not have access to account '%(account)s' (or that account does not exist). "
            "Application access may have been revoked.",
            "account_invalid", key=row["redacted"], account=acts_for,
        )  # fmt: skip
    return Caller(row["id"], acts_for or row["account_id"], row["livemode"], row["redacted"], row["rights"])
