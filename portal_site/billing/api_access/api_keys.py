"""API keys: creating, listing, rolling and revoking them, and finding the one of a request."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, bindparam, or_, select
from sqlalchemy.orm import Session

from portal_site.billing.errors import BillingError, NotFound
from portal_site.billing.events.emission import emit
from portal_site.billing.loading import ownership
from portal_site.billing.models import Account, ApiKey
from portal_site.billing.portal_access.portal_sessions import hash_token
from portal_site.billing.resources import programs as shapes
from portal_site.db.json_columns import JsonObject
from portal_site.db.page_query import PageQuery
from portal_site.db.transactions import reading, transaction
from portal_site.ids import new_id, random_letters

READ, WRITE = "read", "write"
# What restricted keys can be given, named as at Stripe. Refunds are part of charges, mandates of setup intents.
RIGHTS = (
    "customers", "customer_portal", "payment_methods", "setup_intents", "checkout_sessions", "payment_intents", "charges",
    "balance", "account", "events", "webhook_endpoints",
)  # fmt: skip
LETTERS = 44  # of a key, behind its prefix: 262 bits, without the underscore that some clients refuse
LONGEST_NAME = 100
LONGEST_KEPT = 7 * 24 * 60 * 60  # seconds that a rolled key can work beside the new one
SHOWN = 4  # the last letters, by which a merchant recognizes a key
# Stripe has no events for these; they are for the log.
CREATED, ENDS, ENDED = "api_key.created", "api_key.updated", "api_key.deleted"


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
    session.flush()
    emit(session, CREATED, row, at, document=shapes.api_key(row))
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


def working(account_id: str, livemode: bool, at: int) -> Sequence[ApiKey]:
    """The keys of an account and mode that work, the newest first."""
    works = or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > at)
    return _newest(account_id, livemode, works, None)


def ended(account_id: str, livemode: bool, at: int, most: int) -> Sequence[ApiKey]:
    """The newest keys of an account and mode that work no more."""
    return _newest(account_id, livemode, ApiKey.expires_at <= at, most)


def _newest(account_id: str, livemode: bool, condition: ColumnElement[bool], most: int | None) -> Sequence[ApiKey]:
    query = select(ApiKey).where(ApiKey.account_id == account_id, ApiKey.livemode == livemode, condition)
    with transaction() as session:
        return session.scalars(query.order_by(ApiKey.created.desc(), ApiKey.id.desc()).limit(most)).all()


def get(account_id: str, livemode: bool, key_id: str) -> ApiKey:
    """A key of an account and mode. Raises NotFound."""
    with transaction() as session:
        row = _find(session, account_id, key_id)
        if row.livemode != livemode:
            raise _missing(key_id)
        return row


def owner(key_id: str) -> str:
    """The id of the account whose key an operator names. Raises NotFound."""
    query = select(ApiKey.account_id).where(ApiKey.id == key_id)
    with reading() as reader:
        found = reader.scalar(query.execution_options(unscoped="an operator names a key, whoever's it is"))
    if found is None:
        raise _missing(key_id)
    return found


def roll(account_id: str, key_id: str, at: int, kept: int = 0) -> NewKey:
    """Replace a key by a new one with the same rights. The old one works for `kept` more seconds, if it would have anyway.

    Raises NotFound, and BillingError for a key that has ended already.
    """
    with transaction() as session:
        old = _working(session, account_id, key_id, at)
        until = at + min(max(kept, 0), LONGEST_KEPT)
        _end(session, old, until if old.expires_at is None else min(until, old.expires_at), at)
        return _add(session, old.account_id, old.livemode, old.name, old.rights, at)


def revoke(account_id: str, key_id: str, at: int) -> ApiKey:
    """End a key at once. Raises NotFound, and BillingError for a key that has ended already."""
    with transaction() as session:
        row = _working(session, account_id, key_id, at)
        _end(session, row, at, at)
        return row


def _end(session: Session, row: ApiKey, expires_at: int, at: int) -> None:
    """Let a key end at an instant, with the event of that: it has ended, or is going to."""
    if row.expires_at == expires_at:
        return
    before, row.expires_at = row.expires_at, expires_at
    document, previous = shapes.api_key(row), {"expires_at": before}
    emit(session, ENDED if expires_at <= at else ENDS, row, at, document=document, previous=previous)


def _find(session: Session, account_id: str, key_id: str, *, lock: bool = False) -> ApiKey:
    # No id contains a NUL, and PostgreSQL refuses it as a parameter.
    query = select(ApiKey).where(ApiKey.account_id == account_id, ApiKey.id == key_id.replace("\0", ""))
    row = session.scalar(query.with_for_update().execution_options(populate_existing=True) if lock else query)
    if row is None:
        raise _missing(key_id)
    return row


def _missing(key_id: str) -> NotFound:
    return NotFound("No such API key: '%(id)s'", "resource_missing", "key", id=key_id)


def _working(session: Session, account_id: str, key_id: str, at: int) -> ApiKey:
    row = _find(session, account_id, key_id, lock=True)
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
