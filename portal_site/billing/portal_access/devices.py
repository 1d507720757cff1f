"""Remembered devices: browsers in which a customer stays logged in, until they are forgotten or 90 days are over."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Select, delete, func, select, update
from sqlalchemy.orm import Session

from portal_site.billing.models import Customer, PortalConfiguration, PortalSession, RememberedDevice
from portal_site.billing.portal_access.portal_sessions import LINK_LIFE, TOKEN_BYTES, hash_token, start_visit
from portal_site.db.transactions import reading, transaction
from portal_site.ids import new_id

LIFE = 90 * 24 * 60 * 60  # seconds
MOST = 20  # of a customer; the one that was used least recently makes room


@dataclass(frozen=True)
class Resumed:
    """A session that a remembered device has begun: its token, and the token for the browser's cookie."""

    token: str
    cookie: str


@dataclass(frozen=True)
class DeviceView:
    """A remembered device, as its owner sees it."""

    id: str
    created: int
    last_used_at: int


def remember(session_token: str, at: int) -> str | None:
    """Remember the browser of a session that a code has opened, and return the token for its cookie.

    None if the configuration does not allow it.
    """
    with transaction() as session:
        query = (
            select(PortalSession, func.lower(Customer.email))
            .join(Customer, Customer.id == PortalSession.customer_id)
            .join(PortalConfiguration, PortalConfiguration.id == PortalSession.configuration_id)
            .where(PortalSession.token_hash == hash_token(session_token), PortalSession.by_login, *_IS_ALLOWED)
        )
        found = session.execute(query).first()
        if found is None:
            return None
        row, email = found
        _make_room(session, row.customer_id)
        token = secrets.token_urlsafe(TOKEN_BYTES)
        device = RememberedDevice(
            id=new_id("dev"), account_id=row.account_id, customer_id=row.customer_id, livemode=row.livemode,
            configuration_id=row.configuration_id, created=at, last_used_at=at, expires_at=at + LIFE, email=email,
            token_hash=hash_token(token),
        )  # fmt: skip
        session.add(device)
        return token


_IS_ALLOWED = (
    PortalConfiguration.active,
    PortalConfiguration.login_page_enabled,
    PortalConfiguration.remembers_devices,
)


def _make_room(session: Session, customer_id: str) -> None:
    mine = RememberedDevice.customer_id == customer_id
    kept = select(RememberedDevice.id).where(mine).order_by(RememberedDevice.last_used_at.desc()).limit(MOST - 1)
    too_many = RememberedDevice.id.not_in(session.scalars(kept).all())
    session.execute(delete(RememberedDevice).where(mine, too_many))


def find_customer(token: str, at: int) -> str | None:
    """Whose device the token is of; None if it is forgotten, or is not allowed any more. It only reads."""
    with reading() as reader:
        return reader.scalar(_query(token, at).with_only_columns(RememberedDevice.customer_id))


def resume(token: str, at: int) -> Resumed | None:
    """Begin a session for a remembered device; None if it is forgotten, or is not allowed any more.

    Its e-mail address cannot be changed, and payment details and cancelling ask for a code.
    """
    with transaction() as session:
        device = session.scalar(_query(token, at))
        if device is None:
            return None
        device.last_used_at = at
        session_token = secrets.token_urlsafe(TOKEN_BYTES)
        row = PortalSession(
            id=new_id("bps"), account_id=device.account_id, customer_id=device.customer_id, livemode=device.livemode,
            configuration_id=device.configuration_id, created=at, expires_at=at + LINK_LIFE,
            token_hash=hash_token(session_token), by_login=True, device_id=device.id,
            after_expiration={"type": "customer_login", "customer_login": {"expires_at": None}},
        )  # fmt: skip
        session.add(row)
        session.flush()
        return Resumed(session_token, start_visit(session, row, at))


def _query(token: str, at: int) -> Select[*tuple[RememberedDevice]]:
    return (
        select(RememberedDevice)
        .join(PortalConfiguration, PortalConfiguration.id == RememberedDevice.configuration_id)
        .join(Customer, Customer.id == RememberedDevice.customer_id)
        .where(
            RememberedDevice.token_hash == hash_token(token),
            RememberedDevice.expires_at > at,
            Customer.deleted_at.is_(None),
            func.lower(Customer.email) == RememberedDevice.email,
            *_IS_ALLOWED,
        )
    )


def is_device_of_account(token: str, account_id: str, at: int) -> bool:
    """Whether the token is of a device that an account's customer is remembered on."""
    query = select(RememberedDevice.id).where(
        RememberedDevice.token_hash == hash_token(token),
        RememberedDevice.account_id == account_id,
        RememberedDevice.expires_at > at,
    )
    with reading() as reader:
        return reader.execute(query).first() is not None


def devices_of(customer_id: str, at: int) -> Sequence[DeviceView]:
    """A customer's remembered devices, the one that was used last first."""
    columns = RememberedDevice.id, RememberedDevice.created, RememberedDevice.last_used_at
    query = select(*columns).where(RememberedDevice.customer_id == customer_id, RememberedDevice.expires_at > at)
    with reading() as reader:
        rows = reader.execute(query.order_by(RememberedDevice.last_used_at.desc(), RememberedDevice.id)).all()
    return [DeviceView(*row) for row in rows]


def forget(customer_id: str, device_id: str | None, at: int) -> int:
    """Forget one of a customer's devices and end the sessions that it began, or (None) all, with all sessions of logins.

    Returns how many.
    """
    with transaction() as session:
        mine = [RememberedDevice.customer_id == customer_id]
        begun = [PortalSession.customer_id == customer_id, PortalSession.by_login]
        if device_id is not None:
            mine.append(RememberedDevice.id == device_id)
            begun.append(PortalSession.device_id == device_id)
        session.execute(update(PortalSession).where(*begun, PortalSession.ended_at.is_(None)).values(ended_at=at))
        return int(session.execute(delete(RememberedDevice).where(*mine)).rowcount)  # type: ignore[attr-defined]


def forget_token(token: str, at: int) -> None:
    """Forget the device with this token, and end the sessions that it began: its customer logs out there."""
    with transaction() as session:
        device_id = session.scalar(select(RememberedDevice.id).where(RememberedDevice.token_hash == hash_token(token)))
        if device_id is not None:
            begun = PortalSession.device_id == device_id, PortalSession.ended_at.is_(None)
            statement = update(PortalSession).where(*begun).values(ended_at=at)
            session.execute(statement.execution_options(unscoped="the device's token names its sessions"))
        session.execute(delete(RememberedDevice).where(RememberedDevice.token_hash == hash_token(token)))
