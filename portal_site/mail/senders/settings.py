"""Setting an account's own sender: by the operator at once, by the merchant once its domain is proven.

Whoever could send from any address could pretend to be anybody. So an address that a merchant enters waits, with a key for its
domain, until the key's record is found in DNS (`checks`), which only who has the domain can set. It is used at once where the
key that signs now is of the same domain.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal_site.billing.errors import BillingError, NotFound
from portal_site.billing.events.emission import OfAccount, emit
from portal_site.billing.loading import ownership
from portal_site.billing.models import Account
from portal_site.billing.resources import accounts as shapes
from portal_site.db.json_columns import JsonObject, json_text
from portal_site.db.transactions import transaction
from portal_site.mail.messages import LONGEST_NAME, Dkim, SenderSettings, deliverable
from portal_site.mail.senders import keys, records

CHANGED_MEANWHILE = "Somebody else has changed the sender in the meantime. Look at it, then do it again."


@dataclass(frozen=True)
class NextSender:
    """An address that waits for the proof of its domain, with the key that signs then."""

    address: str
    dkim: Dkim

    @property
    def domain(self) -> str:
        """The address's domain."""
        return domain_of(self.address)


@dataclass(frozen=True)
class LastCheck:
    """What was found of a domain's records, and when: `findings` and `found` (the records) are by record."""

    at: int
    domain: str
    selector: str
    findings: Mapping[str, str]
    found: Mapping[str, list[str]]


@dataclass(frozen=True)
class Sender:
    """An account's sender now, the one that waits, and the last check. `mark` changes with the first two."""

    account_id: str
    business_name: str
    support_email: str | None
    current: SenderSettings
    next: NextSender | None
    check: LastCheck | None
    mark: str

    @classmethod
    def of(cls, row: Account) -> Self:
        """From an account."""
        document = row.mail_domain or {}
        waiting, check = document.get("next"), document.get("check")
        return cls(
            row.id, row.business_name, row.support_email, SenderSettings.of(row.mail),
            NextSender(waiting["address"], Dkim(**waiting["dkim"])) if waiting else None,
            LastCheck(**check) if check else None,
            hashlib.sha256(json_text([row.mail, waiting]).encode()).hexdigest()[:16],
        )  # fmt: skip

    @property
    def address(self) -> str | None:
        """The address that the merchant wants."""
        return self.next.address if self.next else self.current.address

    @property
    def dkim(self) -> Dkim | None:
        """The key that it is to be signed with."""
        return self.next.dkim if self.next else self.current.dkim

    @property
    def place(self) -> tuple[str, str]:
        """The domain and the selector whose records are looked at; empty ones without."""
        return domain_of(self.address or ""), self.dkim.selector if self.dkim else ""


def domain_of(address: str) -> str:
    """An address's domain, in small letters and ASCII."""
    return (deliverable(address) or address).rpartition("@")[2].lower()


def get(account_id: str) -> Sender:
    """An account's sender. Raises NotFound."""
    with transaction() as session:
        return Sender.of(_row(session, account_id))


def _row(session: Session, account_id: str, *, lock: bool = False) -> Account:
    query = select(Account).where(Account.id == account_id).execution_options(populate_existing=lock)
    row = session.scalars(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise NotFound("No such account: '%(id)s'", "resource_missing", "account", id=account_id)
    return row


def set_sender(
    account_id: str | None,
    at: int,
    *,
    name: str | None = None,
    address: str | None = None,
    reply_to: str | None = None,
    dkim_domain: str | None = None,
    dkim_selector: str = "portal",
    key: str | None = None,
) -> str | None:
    """Store an account's sender, which the operator answers for, at once; the DNS record for its key, if it has one.

    Raises BillingError for an address that is none, a key that is none, and a key without a domain or the other way round.
    """
    for value in (address, reply_to):
        if value is not None and deliverable(value) is None:
            raise BillingError(f"Not an e-mail address: {value}")
    if (key is None) != (dkim_domain is None):
        raise BillingError("A signature needs both a domain and a key.")
    dkim = keys.new(dkim_domain, dkim_selector, key) if key is not None and dkim_domain is not None else None
    with transaction() as session:
        row = _row(session, ownership.get_account(session, account_id).id, lock=True)
        put(session, row, SenderSettings(name, address, reply_to, dkim), None, at)
    if dkim is None:
        return None
    return f"{dkim.selector}._domainkey.{dkim.domain}  {records.dkim_to_set(keys.public_key(dkim) or '')}"


def save(account_id: str, mark: str, name: str, address: str, reply_to: str, at: int) -> Sender:
    """Store what a merchant wants; what is empty is as it is without a sender. A new address may have to wait for its domain.

    Raises BillingError with the field, and for a sender that was changed since it had this `mark`.
    """
    if len(name) > LONGEST_NAME:
        raise BillingError("Use at most %(count)s characters.", param="name", count=LONGEST_NAME)
    own, answers = (_checked(value, field) for value, field in ((address, "address"), (reply_to, "reply_to")))
    before = _same(get(account_id), mark)
    current, waiting = replace(before.current, name=name or None, reply_to=answers), before.next
    if own is None:
        current, waiting = replace(current, address=None, dkim=None), None
    elif own != before.address:
        current, waiting = _with_address(current, waiting, own)
    return _store(before, current, waiting, at)


def _checked(typed: str, field: str) -> str | None:
    """An address as it is sent from; None for none. Not every server takes one with other letters before the @."""
    found = deliverable(typed)
    if typed and (found is None or not found.isascii()):
        raise BillingError("Enter an email address such as billing@example.com.", param=field)
    return found


def _with_address(
    current: SenderSettings, waiting: NextSender | None, address: str
) -> tuple[SenderSettings, NextSender | None]:
    """The sender with another address: at once, or as one that waits."""
    domain = domain_of(address)
    if address == current.address or (current.dkim is not None and current.dkim.domain == domain):
        return replace(current, address=address), None
    key = waiting.dkim if waiting is not None and waiting.domain == domain else keys.new(domain)
    return current, NextSender(address, key)


def set_key(account_id: str, mark: str, at: int, *, selector: str = "", pem: str = "") -> Sender:
    """Let another key sign, a new one or the merchant's own, once its record is found. The former one signs until then.

    Raises BillingError for a key or a selector that is none, without an address, and as `save` does.
    """
    before = _same(get(account_id), mark)
    if before.address is None:
        raise BillingError("Enter an address first: the key is for its domain.", param="selector")
    dkim, former = keys.new(domain_of(before.address), selector, pem), before.current.dkim
    if former is not None and (former.domain, former.selector) == (dkim.domain, dkim.selector):
        raise BillingError("The key that signs now has this selector. Choose another one.", param="selector")
    return _store(before, before.current, NextSender(before.address, dkim), at)


def withdraw(account_id: str, mark: str, at: int) -> Sender:
    """Give up the sender that waits. Raises BillingError as `save` does."""
    before = _same(get(account_id), mark)
    return _store(before, before.current, None, at)


def _same(found: Sender, mark: str) -> Sender:
    """The sender, if it still has this mark. Raises BillingError if it was changed since."""
    if found.mark != mark:
        raise BillingError(CHANGED_MEANWHILE)
    return found


def _store(before: Sender, current: SenderSettings, waiting: NextSender | None, at: int) -> Sender:
    # Keys are made before the transaction, which nobody has to wait for then.
    with transaction() as session:
        row = _row(session, before.account_id, lock=True)
        _same(Sender.of(row), before.mark)
        return put(session, row, current, waiting, at)


def note_check(account_id: str, mark: str, check: LastCheck, at: int, *, is_proven: bool) -> Sender:
    """Store what was found of the sender with this mark. One that waits is used from now on if its domain `is_proven`.

    Raises BillingError as `save` does.
    """
    with transaction() as session:
        row = _row(session, account_id, lock=True)
        before = _same(Sender.of(row), mark)
        row.mail_domain = {**(row.mail_domain or {}), "check": asdict(check)}
        if before.next is None or not is_proven:
            return Sender.of(row)
        proven = replace(before.current, address=before.next.address, dkim=before.next.dkim)
        return put(session, row, proven, None, at)


def put(session: Session, row: Account, current: SenderSettings, waiting: NextSender | None, at: int) -> Sender:
    """Store a sender, and emit what is different. What was found of other records is forgotten."""
    before, shown = _public(row), shapes.account(row)
    document = asdict(current)
    if current.dkim is None:
        del document["dkim"]
    row.mail = document if any(document.values()) else None
    check, kept = Sender.of(row).check, {"next": asdict(waiting)} if waiting else {}
    row.mail_domain = kept or None
    if check is not None and (check.domain, check.selector) == Sender.of(row).place:
        row.mail_domain = {**kept, "check": asdict(check)}
    if (after := _public(row)) != before:
        now = {**shown, "settings_changed": {"sender": after}}
        previous = {"settings_changed": {"sender": before}}
        emit(session, "account.updated", OfAccount(row.id), at, document=now, previous=previous)
    return Sender.of(row)


def _public(row: Account) -> JsonObject:
    """A sender without what is secret of it."""

    def of_key(dkim: Dkim | None) -> Any:
        return f"{dkim.selector}._domainkey.{dkim.domain}" if dkim else None

    found = Sender.of(row)
    waiting = found.next
    return {
        "name": found.current.name, "address": found.current.address, "reply_to": found.current.reply_to,
        "key": of_key(found.current.dkim), "next_address": waiting.address if waiting else None,
        "next_key": of_key(waiting.dkim if waiting else None),
    }  # fmt: skip
