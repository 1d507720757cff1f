"""Passkeys (WebAuthn): key pairs that sign a challenge of ours. Adding, listing, using and removing them.

A page asks the browser with a `Request`, and the browser's `Answer` comes back in a form. The challenge travels with it,
encrypted, with whom and what it is for: so a page that is shown writes nothing. It counts once, which a row says.
"""

import hashlib
import ipaddress
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from portal_site import encryption
from portal_site.billing.errors import BillingError, NotFound
from portal_site.billing.resources import teams as shapes
from portal_site.db.transactions import reading, transaction
from portal_site.ids import new_id
from portal_site.staff import passkey_protocol, second_step
from portal_site.staff.models import Passkey, User
from portal_site.staff.passkey_protocol import RelyingParty
from portal_site.staff.user_events import note

PURPOSE = "passkey-challenge"
LIFE = 10 * 60  # seconds for which a challenge can be answered: as long as the second step may take
CHALLENGE = 32  # bytes
LONGEST_NAME, LONGEST_ANSWER = 60, 20_000
MOST = 20  # passkeys of a user
HTTPS = {"https": 443, "http": 80}
# One statement, so that of two answers at once one is refused.
_USE = text(
    "INSERT INTO used_challenges (id, ends_at) VALUES (:id, :ends_at) ON CONFLICT (id) DO NOTHING"
).execution_options(unscoped="challenges belong to no merchant")


class Ceremony(StrEnum):
    """What a challenge is for. It is good for nothing else."""

    ADD = "add"
    SIGN_IN = "sign in"
    PROVE = "prove"


@dataclass(frozen=True)
class Request:
    """What a page gives to the browser: the options as JSON, and the encrypted challenge, which comes back with the answer."""

    options: str
    state: str


@dataclass(frozen=True)
class Answer:
    """What came back: the browser's JSON, and the state of the request."""

    credential: str
    state: str


def relying_party(base_url: str) -> RelyingParty:
    """Whom passkeys are for. Raises BillingError with the reason where browsers have none."""
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    if _is_address(host):
        raise BillingError(
            "Passkeys are not available here: they need a domain name, and the address of this portal is an IP address."
        )
    if parts.scheme != "https" and host != "localhost" and not host.endswith(".localhost"):
        raise BillingError("Passkeys are not available here: browsers allow them over HTTPS only.")
    port = "" if parts.port in (None, HTTPS[parts.scheme]) else f":{parts.port}"
    return RelyingParty(host, f"{parts.scheme}://{host}{port}")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def of_user(user_id: str) -> Sequence[Passkey]:
    """A user's passkeys, the oldest first."""
    with transaction() as session:
        return _of(session, user_id)


def _of(session: Session, user_id: str) -> Sequence[Passkey]:
    query = select(Passkey).where(Passkey.user_id == user_id).order_by(Passkey.created, Passkey.id)
    return session.scalars(query).all()


def ask_to_add(party: RelyingParty, user_id: str, at: int) -> Request:
    """Ask the browser for a new passkey; those that are there are named, so that none is made twice."""
    challenge = secrets.token_bytes(CHALLENGE)
    with reading() as reader:
        who = reader.execute(select(User.email, User.name).where(User.id == user_id)).one()
    options = passkey_protocol.creation(party, user_id, who.email, who.name, challenge, of_user(user_id))
    return Request(options, _state(user_id, Ceremony.ADD, challenge, at))


def ask_to_use(party: RelyingParty, user_id: str, ceremony: Ceremony, at: int) -> Request | None:
    """Ask the browser for one of the user's passkeys; None if there is none."""
    found = of_user(user_id)
    if not found:
        return None
    challenge = secrets.token_bytes(CHALLENGE)
    options = passkey_protocol.assertion(party, challenge, found, verify=ceremony is Ceremony.PROVE)
    return Request(options, _state(user_id, ceremony, challenge, at))


def _state(user_id: str, ceremony: Ceremony, challenge: bytes, at: int) -> str:
    return encryption.encrypt(PURPOSE, json.dumps([user_id, ceremony, challenge.hex(), at]))


def take_challenge(user_id: str, ceremony: Ceremony, answer: Answer, at: int) -> bytes:
    """The challenge that was answered, which is used up by it, whatever the answer says. Raises BillingError."""
    if not answer.credential:
        raise BillingError("The browser has sent no passkey. Passkeys need JavaScript.")
    kept = json.loads(encryption.decrypt(PURPOSE, answer.state) or "null")
    if kept is None or kept[:2] != [user_id, ceremony] or len(answer.credential) > LONGEST_ANSWER:
        raise passkey_protocol.refusal()
    challenge, ends_at = bytes.fromhex(kept[2]), kept[3] + LIFE
    if at > ends_at:
        raise BillingError("That took too long. Try again.")
    with transaction() as session:
        given = {"id": hashlib.sha256(challenge).hexdigest(), "ends_at": ends_at}
        is_new = bool(session.execute(_USE, given).rowcount)  # type: ignore[attr-defined]
    if not is_new:
        raise BillingError("This answer was sent already. Try again.")
    return challenge


def add(party: RelyingParty, user_id: str, answer: Answer, name: str, at: int, *, first: bool) -> list[str]:
    """Keep a new passkey. With a user's `first` second step come the recovery codes; else the list is empty.

    Raises BillingError, also if it was to be the first and is not.
    """
    words = " ".join(name.split())
    if not words or len(words) > LONGEST_NAME:
        raise BillingError("Enter a name of up to %(count)s characters.", param="name", count=LONGEST_NAME)
    challenge = take_challenge(user_id, Ceremony.ADD, answer, at)
    made = passkey_protocol.read_creation(party, answer.credential, challenge)
    row = Passkey(
        id=new_id("pkey"), user_id=user_id, created=at, name=words, credential_id=made.credential_id,
        public_key=made.public_key, sign_count=made.sign_count, transports=made.transports,
    )  # fmt: skip
    try:
        with transaction() as session:
            _add(session, row, first)
            note(session, user_id, "passkey_added", at, shapes.passkey(row.id, user_id, words))
            return second_step.new_codes(session, user_id) if first else []
    except IntegrityError:
        raise BillingError("This passkey is in use already.") from None


def _add(session: Session, row: Passkey, first: bool) -> None:
    user = session.get_one(User, row.user_id, with_for_update=True)
    there = _of(session, row.user_id)
    if first and (there or user.totp_confirmed_at is not None):
        raise BillingError("Two-step verification is set up already. Sign in again.")
    if len(there) >= MOST:
        raise BillingError("You have %(count)s passkeys already. Remove one first.", count=MOST)
    session.add(row)
    session.flush()


def use(
    session: Session, party: RelyingParty, user_id: str, ceremony: Ceremony, answer: Answer, challenge: bytes, at: int
) -> None:
    """Check the answer of a user's passkey, and note its use. Raises BillingError if it proves nothing."""
    signed = passkey_protocol.read_assertion(answer.credential)
    query = select(Passkey).where(Passkey.user_id == user_id, Passkey.credential_id == signed.id)
    row = session.scalars(query.with_for_update()).one_or_none()
    if row is None:
        raise passkey_protocol.refusal()
    must_verify = ceremony is Ceremony.PROVE
    row.sign_count = passkey_protocol.check_assertion(party, row, signed, challenge, verify=must_verify)
    row.last_used_at = at
    note(session, user_id, "passkey_used", at, shapes.passkey(row.id, user_id, row.name))


def remove(user_id: str, passkey_id: str, at: int) -> str:
    """Forget a passkey; its name. Raises NotFound, and BillingError if it is the user's only second step."""
    with transaction() as session:
        user = session.get_one(User, user_id, with_for_update=True)
        there = _of(session, user_id)
        row = next((one for one in there if one.id == passkey_id), None)
        if row is None:
            raise NotFound("There is no such passkey.")
        if len(there) == 1 and user.totp_confirmed_at is None:
            raise BillingError("This is your only second step. Add another passkey or an app first.")
        session.delete(row)
        note(session, user_id, "passkey_removed", at, shapes.passkey(row.id, user_id, row.name))
        return row.name
