"""Connecting an account to Stripe: its keys, checked before they are stored, and what makes gateways of them."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, update

from portal_site import encryption
from portal_site.billing.errors import BillingError, GatewayUnavailable, NotFound
from portal_site.billing.events.emission import OfAccount, emit
from portal_site.billing.gateways import Connector, Gateway, ReceivedEvent
from portal_site.billing.gateways.stripe import client as clients
from portal_site.billing.gateways.stripe import events, missed, rights
from portal_site.billing.gateways.stripe.gateway import NAME, StripeGateway
from portal_site.billing.gateways.stripe.models import StripeConnection
from portal_site.billing.loading import ownership
from portal_site.billing.resources import accounts as shapes
from portal_site.db.transactions import reading, transaction

PURPOSE = events.PURPOSE
SECRET, RESTRICTED, PUBLISHABLE = "sk", "rk", "pk"
LONGEST_KEY = 300
ACCOUNT_ID = re.compile(r"acct_[A-Za-z0-9_]{1,64}")
FORMER_SECRET = 24 * 60 * 60  # seconds for which the secret of before counts, as at Stripe


@dataclass(frozen=True)
class Report:
    """What a key is: of which account at Stripe, and which rights it is missing."""

    stripe_account: str
    country: str | None
    currency: str | None
    missing: tuple[str, ...]


class KeyUnreadable(GatewayUnavailable):
    """The stored key cannot be decrypted: the portal has another secret key than it had then."""

    def __init__(self) -> None:
        super().__init__("The key of Stripe was encrypted under another secret key: connect Stripe again.")


def key_of(row: StripeConnection) -> str:
    """A connection's secret or restricted key. Raises KeyUnreadable."""
    key = encryption.decrypt(PURPOSE, row.secret_key)
    if key is None:
        raise KeyUnreadable
    return key


class StripeConnector(Connector):
    """Makes the gateways of the accounts that have connected Stripe. `address` is that of its API."""

    name = NAME

    def __init__(self, address: str = clients.ADDRESS) -> None:
        self.address = address

    def gateway_of(self, account_id: str, livemode: bool) -> Gateway | None:
        """As the protocol says. Without the secret key that encrypted it, a connection does not work."""
        found = find(account_id, livemode)
        if found is None:
            return None

        def note(words: str) -> None:
            note_fault(account_id, livemode, words)

        return StripeGateway(self.client_of(found), livemode, found.currency or "usd", note)

    def read_event(self, account_id: str, headers: Mapping[str, str], body: bytes, at: int) -> ReceivedEvent:
        """As the protocol says."""
        found = [row for livemode in (False, True) if (row := find(account_id, livemode)) is not None]
        return events.read(found, headers.get("Stripe-Signature", ""), body, at)

    def missed_events(self, at: int) -> Iterator[tuple[str, ReceivedEvent]]:
        """As the protocol says."""
        return missed.events_of(due_for_events(at), self.client_of, at)

    def client_of(self, row: StripeConnection, read: int | None = None) -> Any:
        """Stripe's library with a connection's key, which waits `read` seconds. Raises KeyUnreadable without the key."""
        return clients.client(key_of(row), row.acts_for, self.address, read)


def find(account_id: str, livemode: bool) -> StripeConnection | None:
    """The connection of a mode, if there is one. The row belongs to no transaction."""
    query = select(StripeConnection).where(
        StripeConnection.account_id == account_id, StripeConnection.livemode.is_(livemode)
    )
    with reading() as reader:
        row = reader.execute(query).one_or_none()
    return StripeConnection(**row._mapping) if row is not None else None


def due_for_events(at: int) -> list[StripeConnection]:
    """The connections that work and have not been asked for events for an hour."""
    is_due = StripeConnection.fault.is_(None), StripeConnection.events_until <= at - missed.EVERY
    query = select(StripeConnection).where(*is_due).order_by(StripeConnection.events_until)
    with reading() as reader:
        rows = reader.execute(query.execution_options(unscoped="the worker asks about all accounts")).all()
    return [StripeConnection(**row._mapping) for row in rows]


def connect(
    connector: StripeConnector, account_id: str, livemode: bool, key: str, at: int, acts_for: str | None = None
) -> Report:
    """Check a secret or restricted key at Stripe and store it, in place of the one that there is.

    A new key for another account at Stripe is refused: payment methods that are stored there could not be charged any more.
    Raises BillingError with what is wrong, and GatewayUnavailable if Stripe does not answer.
    """
    key = key.strip()
    check_form(key, livemode)
    if acts_for is not None and not ACCOUNT_ID.fullmatch(acts_for):
        raise BillingError("An account at Stripe is written like acct_1A2b3C4d5E6f.", param="acts_for")
    report = _checked(connector, key, acts_for)
    if report.missing:
        raise BillingError(
            "The key may not do all that is needed. It is missing: %(rights)s.", param="key", rights=", ".join(report.missing)
        )  # fmt: skip
    values = {
        "created": at, "secret_key": encryption.encrypt(PURPOSE, key), "redacted": redacted(key), "acts_for": acts_for,
        "stripe_account": report.stripe_account, "country": report.country, "currency": report.currency,
        "checked_at": at, "fault": None,
    }  # fmt: skip
    with transaction() as session:
        account = ownership.get_account(session, account_id)
        session.refresh(account, with_for_update=True)
        where = StripeConnection.account_id == account_id, StripeConnection.livemode.is_(livemode)
        row = session.scalar(select(StripeConnection).where(*where))
        former = (row.stripe_account, row.acts_for) if row is not None else None
        if former is not None and former != (report.stripe_account, acts_for):
            raise BillingError(
                "This key belongs to another account at Stripe, where the payment methods of your customers are not. "
                "Enter one of the account that is connected, or disconnect that first.",
                param="key",
            )
        if row is None:
            row = StripeConnection(account_id=account_id, livemode=livemode, events_until=at, **values)
            session.add(row)
        else:
            for name, value in values.items():
                setattr(row, name, value)
        session.flush()
        emit(session, "gateway.connected", OfAccount(account_id, livemode), at, document=shapes.gateway(row, NAME))
    return report


def check(connector: StripeConnector, account_id: str, livemode: bool, at: int) -> Report:
    """Ask Stripe whether the stored key still works. Raises NotFound if there is none, and as `connect` does."""
    row = find(account_id, livemode)
    if row is None:
        raise NotFound("Stripe is not connected in this mode.", "resource_missing")
    key = key_of(row)
    try:
        report = _checked(connector, key, row.acts_for)
    except BillingError as error:
        if not isinstance(error, GatewayUnavailable):
            note_fault(account_id, livemode, str(error))
        raise
    fault = f"It is missing: {', '.join(report.missing)}." if report.missing else None
    note_fault(account_id, livemode, fault, at)
    return report


def set_endpoint_secret(account_id: str, livemode: bool, secret: str, at: int) -> None:
    """Store the secret of the endpoint at Stripe that sends events here; the one before it counts for another day.

    Raises BillingError for what is none, and NotFound if Stripe is not connected.
    """
    secret = secret.strip()
    if not secret.startswith("whsec_") or len(secret) > LONGEST_KEY or not secret.isascii():
        raise BillingError("This is no secret of an endpoint of Stripe’s. It begins with whsec_.", param="secret")
    with transaction() as session:
        where = StripeConnection.account_id == account_id, StripeConnection.livemode.is_(livemode)
        row = session.scalar(select(StripeConnection).where(*where).with_for_update())
        if row is None:
            raise NotFound("Stripe is not connected in this mode.", "resource_missing")
        if row.webhook_secret is not None:
            row.former_secret, row.former_secret_until = row.webhook_secret, at + FORMER_SECRET
        row.webhook_secret = encryption.encrypt(PURPOSE, secret)


def disconnect(account_id: str, livemode: bool, at: int) -> None:
    """Forget the key. Payment methods stay at Stripe, and are not charged until it is connected again. Raises NotFound."""
    with transaction() as session:
        where = StripeConnection.account_id == account_id, StripeConnection.livemode.is_(livemode)
        row = session.scalar(select(StripeConnection).where(*where))
        if row is None:
            raise NotFound("Stripe is not connected in this mode.", "resource_missing")
        session.delete(row)
        emit(session, "gateway.disconnected", OfAccount(account_id, livemode), at, document=shapes.gateway(row, NAME))


def note_fault(account_id: str, livemode: bool, words: str | None, at: int | None = None) -> None:
    """Remember why a key does not work, for `portal check` and the dashboard; None: it does."""
    values: dict[str, Any] = {"fault": words, **({"checked_at": at} if at is not None else {})}
    with transaction() as session:
        where = StripeConnection.account_id == account_id, StripeConnection.livemode.is_(livemode)
        session.execute(update(StripeConnection).where(*where).values(**values))


def faults() -> list[tuple[str, bool, str]]:
    """The connections whose keys do not work, as (account, live mode, why)."""
    query = select(StripeConnection.account_id, StripeConnection.livemode, StripeConnection.fault)
    query = query.where(StripeConnection.fault.is_not(None)).order_by(StripeConnection.account_id)
    with reading() as reader:
        rows = reader.execute(query.execution_options(unscoped="an operator looks at all accounts")).all()
    return [(row.account_id, row.livemode, row.fault or "") for row in rows]


def check_form(key: str, livemode: bool) -> None:
    """Raise BillingError for what is no secret key of this mode."""
    kind, _, rest = key.partition("_")
    mode = rest.partition("_")[0]
    if kind == PUBLISHABLE:
        raise BillingError("This is a publishable key. Enter the secret or a restricted key.", param="key")
    if kind not in (SECRET, RESTRICTED) or mode not in ("test", "live") or len(key) > LONGEST_KEY or not key.isascii():
        raise BillingError("This is no key of Stripe’s. Those begin with sk_ or rk_.", param="key")
    if (mode == "live") is not livemode:
        sentence = "This key is for live mode. Enter one for test mode."
        if livemode:
            sentence = "This key is for test mode. Enter one for live mode."
        raise BillingError(sentence, "livemode_mismatch", "key")


def redacted(key: str) -> str:
    """What is shown of a key."""
    return f"{key[:8]}…{key[-4:]}"


def _checked(connector: StripeConnector, key: str, acts_for: str | None) -> Report:
    import stripe

    stripe_client = clients.client(key, acts_for, connector.address)
    try:
        account = stripe_client.v1.accounts.retrieve_current().to_dict()
        missing = rights.missing(stripe_client)
    except stripe.AuthenticationError as error:
        raise BillingError(
            "Stripe does not know this key. It may have been revoked. Copy it again, or make a new one at Stripe.",
            param="key",
        ) from error
    except stripe.PermissionError as error:
        if acts_for is not None and getattr(error.error, "code", None) == "account_invalid":
            raise BillingError(
                "The key has no access to this account. It does not exist, or is not connected to the account of the key.",
                param="acts_for",
            ) from error
        raise BillingError(
            "The key may not do all that is needed. It is missing: %(rights)s.", param="key", rights=rights.ACCOUNT
        ) from error
    except stripe.StripeError as error:
        raise GatewayUnavailable(f"{type(error).__name__}: {error.user_message or 'no answer'}") from error
    currency = account.get("default_currency")
    return Report(str(account["id"]), account.get("country"), currency, missing)
