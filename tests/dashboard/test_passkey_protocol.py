"""Whom passkeys are for, and answers that are broken: without a database."""

import json
import random

import pytest
from webauthn import base64url_to_bytes
from webauthn.helpers import bytes_to_base64url

from portal_site.billing.errors import BillingError
from portal_site.staff import passkey_protocol, passkeys
from portal_site.staff.models import Passkey
from portal_site.staff.passkeys import RelyingParty, Request
from tests.dashboard.authenticator import HOST, ORIGIN, Authenticator

PARTY = RelyingParty(HOST, ORIGIN)
NOT_ACCEPTED = "not accepted"


@pytest.mark.parametrize(
    ("base_url", "host", "origin"),
    [
        ("https://billing.example.com", "billing.example.com", "https://billing.example.com"),
        ("https://Billing.example.com:443/portal", "billing.example.com", "https://billing.example.com"),
        ("https://shop.example:8443", "shop.example", "https://shop.example:8443"),
        ("http://localhost:8000", "localhost", "http://localhost:8000"),
        ("http://portal.localhost:80", "portal.localhost", "http://portal.localhost"),
    ],
)
def test_passkeys_are_for_the_base_url(base_url: str, host: str, origin: str) -> None:
    assert passkeys.relying_party(base_url) == RelyingParty(host, origin)


@pytest.mark.parametrize(
    ("base_url", "words"),
    [
        ("http://127.0.0.1:8000", "IP address"),
        ("https://[2001:db8::1]", "IP address"),
        ("http://billing.example.com", "HTTPS"),
        ("http://notlocalhost:8000", "HTTPS"),
    ],
)
def test_where_browsers_have_no_passkeys_the_reason_is_said(base_url: str, words: str) -> None:
    with pytest.raises(BillingError, match=words):
        passkeys.relying_party(base_url)


def test_bytes_that_are_broken_break_nothing() -> None:
    """A new passkey is not signed, so some changes of it are as good as before; what is signed bears none."""
    device, chance, challenge = Authenticator(), random.Random(11), b"c" * 32
    asked = Request(passkey_protocol.creation(PARTY, "user_1", "a@x.example", "A", challenge, []), "")
    made = device.create(asked).credential
    kept = passkey_protocol.read_creation(PARTY, made, challenge)
    row = Passkey(
        user_id="user_1", credential_id=kept.credential_id, public_key=kept.public_key, sign_count=0, transports=""
    )
    asked = Request(passkey_protocol.assertion(PARTY, challenge, [row], verify=False), "")
    signed = device.get(asked).credential
    assert (
        passkey_protocol.check_assertion(PARTY, row, passkey_protocol.read_assertion(signed), challenge, verify=True)
        == 0
    )
    refused = 0
    for _ in range(400):
        try:
            passkey_protocol.read_creation(PARTY, _broken(made, "attestationObject", chance), challenge)
        except BillingError:
            refused += 1
        member = chance.choice(["authenticatorData", "signature", "clientDataJSON"])
        with pytest.raises(BillingError, match=NOT_ACCEPTED):
            read = passkey_protocol.read_assertion(_broken(signed, member, chance))
            passkey_protocol.check_assertion(PARTY, row, read, challenge, verify=False)
    assert refused > 100


def _broken(credential: str, member: str, chance: random.Random) -> str:
    """The credential with some bytes of a member changed, or with its end cut off."""
    told = json.loads(credential)
    data = bytearray(base64url_to_bytes(told["response"][member]))
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(data))
        data[at] ^= chance.randint(1, 255)
    end = chance.choice([len(data), len(data), chance.randrange(len(data))])
    told["response"][member] = bytes_to_base64url(bytes(data[:end]))
    return json.dumps(told)
