"""Deliveries over TLS: the certificate is checked for the name in the URL, whatever address is connected to."""

import datetime
import socket
import ssl
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from portal_site.config import LOOPBACK_NETWORKS
from portal_site.deliveries import connections
from portal_site.deliveries.connections import Sender
from tests.webhooks.receiver import Receiver, receiving


def _certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of shop.example that trusts itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "shop.example")])
    now = datetime.datetime.now(datetime.UTC)
    names = x509.SubjectAlternativeName([x509.DNSName("shop.example")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, secret = folder / "certificate.pem", folder / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    secret.write_bytes(key.private_bytes(serialization.Encoding.PEM, *form))
    return certificate, secret


@pytest.fixture
def secure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Receiver, Path]]:
    """A receiver behind TLS, which two names lead to, and its certificate."""
    certificate, key = _certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    real = socket.getaddrinfo

    def find(host: str, port: int, *args: Any, **options: Any) -> Any:
        return real("127.0.0.1" if host.endswith(".example") else host, port, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", find)
    with receiving(context) as receiver:
        yield receiver, certificate


def _post(receiver: Receiver, host: str) -> connections.Outcome:
    port = receiver.address.rpartition(":")[2]
    return Sender(LOOPBACK_NETWORKS, 5).post(f"https://{host}:{port}/hook", b"{}", "t=1,v1=a")


def test_a_certificate_that_nobody_vouches_for_is_refused(secure: tuple[Receiver, Path]) -> None:
    receiver, _certificate = secure
    outcome = _post(receiver, "shop.example")
    assert (outcome.status, outcome.fault) == (None, "its certificate, or its TLS, was not accepted")
    assert receiver.deliveries == []


def test_the_certificate_is_for_the_name(secure: tuple[Receiver, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    receiver, certificate = secure
    trusting = ssl.create_default_context(cafile=str(certificate))
    monkeypatch.setattr(connections, "_tls", lambda: trusting)
    assert _post(receiver, "shop.example").succeeded
    assert receiver.deliveries[0].headers["Host"].startswith("shop.example:")
    for host in ("other.example", "127.0.0.1"):
        assert _post(receiver, host).fault == "its certificate, or its TLS, was not accepted"
    assert len(receiver.deliveries) == 1
    assert ip_address("127.0.0.1") in LOOPBACK_NETWORKS[0]
