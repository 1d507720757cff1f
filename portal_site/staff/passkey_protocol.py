"""WebAuthn itself, by the library `webauthn`: what the browser is asked, and whether its answer is right.

The library is imported when it is needed: it takes a quarter of a second, which each command would wait for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from portal_site.billing.errors import BillingError
from portal_site.staff.models import Passkey

if TYPE_CHECKING:
    from webauthn.helpers.structs import AuthenticationCredential, PublicKeyCredentialDescriptor

NAME = "Portal Site"
TIMEOUT = 5 * 60 * 1000  # milliseconds that the browser waits for a finger or a key


@dataclass(frozen=True)
class RelyingParty:
    """Whom passkeys are for: its id is the host that browsers keep them for, `origin` where they may be used."""

    id: str
    origin: str


@dataclass(frozen=True)
class NewPasskey:
    """What is kept of a new passkey; bytes as base64url."""

    credential_id: str
    public_key: str
    sign_count: int
    transports: str


@dataclass(frozen=True)
class Signed:
    """The answer of a passkey, read and not checked yet; `id` says of which, as base64url."""

    id: str
    credential: "AuthenticationCredential"


def refusal() -> BillingError:
    """What is said of each answer that is wrong, whatever is wrong with it."""
    return BillingError("This passkey was not accepted. Try again, or use another way.")


def creation(
    party: RelyingParty, user_id: str, email: str, name: str, challenge: bytes, there: Sequence[Passkey]
) -> str:
    """The options for a new passkey, as JSON. Those that are `there` are not made again."""
    from webauthn import generate_registration_options, options_to_json
    from webauthn.helpers.structs import AuthenticatorSelectionCriteria, ResidentKeyRequirement

    options = generate_registration_options(
        rp_id=party.id,
        rp_name=NAME,
        user_id=user_id.encode(),
        user_name=email,
        user_display_name=name,
        challenge=challenge,
        timeout=TIMEOUT,
        # Password managers keep only what can be found without being named; a security key may have no place for that.
        authenticator_selection=AuthenticatorSelectionCriteria(resident_key=ResidentKeyRequirement.PREFERRED),
        exclude_credentials=_described(there),
    )
    return options_to_json(options)


def assertion(party: RelyingParty, challenge: bytes, there: Sequence[Passkey], *, verify: bool) -> str:
    """The options for using one of these passkeys, as JSON. With `verify` it has to know its user, by a PIN or a finger."""
    from webauthn import generate_authentication_options, options_to_json
    from webauthn.helpers.structs import UserVerificationRequirement

    wanted = UserVerificationRequirement.REQUIRED if verify else UserVerificationRequirement.PREFERRED
    options = generate_authentication_options(
        rp_id=party.id, challenge=challenge, timeout=TIMEOUT, allow_credentials=_described(there),
        user_verification=wanted,
    )  # fmt: skip
    return options_to_json(options)


def _described(there: Sequence[Passkey]) -> "list[PublicKeyCredentialDescriptor]":
    from webauthn import base64url_to_bytes
    from webauthn.helpers.structs import AuthenticatorTransport, PublicKeyCredentialDescriptor

    return [
        PublicKeyCredentialDescriptor(
            base64url_to_bytes(one.credential_id),
            transports=[AuthenticatorTransport(name) for name in one.transports.split()] or None,
        )
        for one in there
    ]


def read_creation(party: RelyingParty, credential: str, challenge: bytes) -> NewPasskey:
    """The new passkey that the browser answers with. Raises BillingError if it is not for us, or not for this challenge."""
    from webauthn import verify_registration_response
    from webauthn.helpers import bytes_to_base64url, parse_registration_credential_json

    try:
        read = parse_registration_credential_json(credential)
        made = verify_registration_response(
            credential=read, expected_challenge=challenge, expected_rp_id=party.id, expected_origin=party.origin
        )
    except Exception as error:  # the library lets those of its parsers through, too
        raise refusal() from error
    return NewPasskey(
        bytes_to_base64url(made.credential_id),
        bytes_to_base64url(made.credential_public_key),
        made.sign_count,
        " ".join(dict.fromkeys(way.value for way in read.response.transports or ())),
    )


def read_assertion(credential: str) -> Signed:
    """What a passkey has signed. Raises BillingError if it is nothing of that kind."""
    from webauthn.helpers import bytes_to_base64url, parse_authentication_credential_json

    try:
        read = parse_authentication_credential_json(credential)
        return Signed(bytes_to_base64url(read.raw_id), read)
    except Exception as error:
        raise refusal() from error


def check_assertion(party: RelyingParty, passkey: Passkey, signed: Signed, challenge: bytes, *, verify: bool) -> int:
    """The new count of a passkey that has signed this challenge. Raises BillingError if it has not, or counts backwards."""
    from webauthn import base64url_to_bytes, verify_authentication_response

    handle = signed.credential.response.user_handle
    try:
        if handle not in (None, b"", passkey.user_id.encode()):
            raise ValueError("it is another user's")
        found = verify_authentication_response(
            credential=signed.credential,
            expected_challenge=challenge,
            expected_rp_id=party.id,
            expected_origin=party.origin,
            credential_public_key=base64url_to_bytes(passkey.public_key),
            credential_current_sign_count=passkey.sign_count,
            require_user_verification=verify,
        )
    except Exception as error:
        raise refusal() from error
    return found.new_sign_count
