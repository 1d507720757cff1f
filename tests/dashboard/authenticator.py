"""A passkey in software, and the browser around it, which fills in what a page asks for. ES256, attestation "none"."""

import hashlib
import json
import re
import secrets
from dataclasses import dataclass, field
from html import unescape
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from webauthn import base64url_to_bytes
from webauthn.helpers import bytes_to_base64url, encode_cbor

from portal_site.staff.passkeys import Answer, Request

HOST, ORIGIN = "localhost", "http://localhost:8000"
PRESENT, VERIFIED, WITH_KEY = 1, 4, 64  # flags of what an authenticator says


@dataclass
class Authenticator:
    """Something with one passkey. `count` is how often it has signed; one that says 0 does not count."""

    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    id: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    count: int = 0
    verifies: bool = True
    handle: str = ""

    def create(self, asked: Request, *, origin: str = ORIGIN, host: str = HOST, **lies: Any) -> Answer:
        """Make the passkey. `lies` are members of what the browser would say."""
        options = json.loads(asked.options)
        self.handle = options["user"]["id"]
        numbers = self.key.public_key().public_numbers()
        public = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32), -3: numbers.y.to_bytes(32)}
        made = bytes(16) + len(self.id).to_bytes(2) + self.id + encode_cbor(public)
        said = {"fmt": "none", "attStmt": {}, "authData": self._data(host, WITH_KEY) + made}
        response = {
            "clientDataJSON": _encoded(self._client("webauthn.create", options, origin, lies)),
            "attestationObject": _encoded(encode_cbor(said)),
            "transports": ["internal", "hybrid", "internal", "telepathy"],
        }
        return self._answer(asked, response)

    def get(self, asked: Request, *, origin: str = ORIGIN, host: str = HOST, **lies: Any) -> Answer:
        """Sign what is asked for."""
        client = self._client("webauthn.get", json.loads(asked.options), origin, lies)
        data = self._data(host)
        signature = self.key.sign(data + hashlib.sha256(client).digest(), ec.ECDSA(SHA256()))
        response = {
            "clientDataJSON": _encoded(client), "authenticatorData": _encoded(data), "signature": _encoded(signature),
            "userHandle": self.handle,
        }  # fmt: skip
        return self._answer(asked, response)

    def _data(self, host: str, flags: int = 0) -> bytes:
        said = PRESENT | (VERIFIED if self.verifies else 0) | flags
        return hashlib.sha256(host.encode()).digest() + bytes([said]) + self.count.to_bytes(4)

    @staticmethod
    def _client(kind: str, options: dict[str, Any], origin: str, lies: dict[str, Any]) -> bytes:
        told = {"type": kind, "challenge": options["challenge"], "origin": origin, "crossOrigin": False, **lies}
        return json.dumps(told).encode()

    def _answer(self, asked: Request, response: dict[str, Any]) -> Answer:
        mine = _encoded(self.id)
        credential = {"id": mine, "rawId": mine, "type": "public-key", "response": response}
        return Answer(json.dumps(credential), asked.state)


def _encoded(data: bytes) -> str:
    return bytes_to_base64url(data)


def asked_by(page: str) -> Request:
    """What the form of a page asks the browser."""
    options, state = re.search(r'data-options="([^"]*)"', page), re.search(r'name="state" value="([^"]*)"', page)
    assert options, page
    assert state, page
    return Request(unescape(options[1]), unescape(state[1]))


def fields(answer: Answer) -> dict[str, str]:
    """What the script fills in."""
    return {"answer": answer.credential, "state": answer.state}


def named(asked: Request, member: str) -> list[bytes]:
    """The ids of the passkeys that a request names."""
    return [base64url_to_bytes(one["id"]) for one in json.loads(asked.options).get(member, [])]
