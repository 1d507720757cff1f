"""The proxies that the README and deploy/ have configurations for, with exactly these, on ports of the test's."""

import os
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.web.processes import CHECKOUT, README, Place, free_port

HOST = "billing.example.com"
PROXIES = ("caddy", "nginx")


def start_proxy(place: Place, proxy: str, inside: int) -> int:
    """Start a proxy that terminates TLS in front of a server; its port. Skips the test where this machine has no such program."""
    if not shutil.which(proxy) or (proxy == "nginx" and not shutil.which("openssl")):
        pytest.skip(f"{proxy} is not installed here")
    return {"caddy": _caddy, "nginx": _nginx}[proxy](place, inside)


def start_for_domains(place: Place, proxy: str, inside: int, hosts: Sequence[str]) -> int:
    """Start a proxy with its file in deploy/, which serves custom domains too; its port.

    Caddy asks the portal for which hosts it may sign certificates; for nginx they are made for `hosts` here.
    """
    if not shutil.which(proxy) or (proxy == "nginx" and not shutil.which("openssl")):
        pytest.skip(f"{proxy} is not installed here")
    return _caddy_on_demand(place, inside) if proxy == "caddy" else _nginx_for(place, inside, hosts)


def authority(place: Place) -> Path:
    """The certificate of the authority with which Caddy signs on this machine."""
    return place.folder / "certificates" / "pki" / "authorities" / "local" / "root.crt"


def _caddy_on_demand(place: Place, inside: int) -> int:
    outside = free_port()
    lines = (CHECKOUT / "deploy" / "Caddyfile").read_text()
    # On loopback, with certificates that Caddy signs itself, and with nothing asked of anybody else.
    options = (
        f"admin off\ndefault_bind 127.0.0.1\nlocal_certs\nskip_install_trust\nauto_https disable_redirects\n"
        f"https_port {outside}\nstorage file_system {place.folder / 'certificates'}\n"
    )
    assert lines.count("\n{\n") == 1
    file = place.folder / "Caddyfile"
    file.write_text(lines.replace("\n{\n", f"\n{{\n{options}", 1))
    command = ["caddy", "run", "--adapter", "caddyfile", "--config", str(file)]
    given = {"PORTAL_HOST": HOST, "PORTAL_UPSTREAM": f"127.0.0.1:{inside}", "XDG_DATA_HOME": str(place.folder)}
    place.start(command, outside, "caddy-log", XDG_CONFIG_HOME=str(place.folder), **given)
    _wait_for_certificate(outside)
    return outside


def _lines(begin: str, inside: int) -> str:
    """A block of the README, in front of this server."""
    block = re.search(rf"^    {begin}.*?^    \}}", README, re.MULTILINE | re.DOTALL)
    assert block is not None
    return block[0].replace("127.0.0.1:8000", f"127.0.0.1:{inside}")


def _caddy(place: Place, inside: int) -> int:
    outside = free_port()
    site = _lines(r"billing\.example\.com \{", inside).replace("{", "{\nbind 127.0.0.1", 1)
    # With a certificate that Caddy signs itself, and with nothing asked of anybody else.
    options = f"admin off\nlocal_certs\nskip_install_trust\nauto_https disable_redirects\nhttps_port {outside}"
    file = place.folder / "Caddyfile"
    file.write_text(f"{{\n{options}\n}}\n{site}\n")
    command = ["caddy", "run", "--adapter", "caddyfile", "--config", str(file)]
    place.start(command, outside, "caddy-log", XDG_DATA_HOME=str(place.folder), XDG_CONFIG_HOME=str(place.folder))
    _wait_for_certificate(outside)
    return outside


def _wait_for_certificate(port: int) -> None:
    """Wait until there is a certificate for HOST: Caddy listens first, signs afterwards, and refuses connections meanwhile."""
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    for _ in range(600):
        with socket.create_connection(("127.0.0.1", port), timeout=60) as raw:
            try:
                trusting.wrap_socket(raw, server_hostname=HOST).close()
            except ssl.SSLError:
                time.sleep(0.1)
            else:
                return
    raise AssertionError("Caddy has signed no certificate")


def _nginx(place: Place, inside: int) -> int:
    outside, folder = free_port(), place.folder
    _sign(folder, HOST)
    server = _lines(r"server \{", inside).replace("listen 443", f"listen 127.0.0.1:{outside}")
    _run_nginx(place, server.replace("/etc/ssl/", f"{folder}/"), outside)
    return outside


def _nginx_for(place: Place, inside: int, hosts: Sequence[str]) -> int:
    outside = free_port()
    for host in hosts:
        _sign(place.folder, host)
    servers = (CHECKOUT / "deploy" / "nginx.conf").read_text().replace("127.0.0.1:8000", f"127.0.0.1:{inside}")
    servers = servers.replace("listen 80 ", f"listen 127.0.0.1:{free_port()} ")
    servers = servers.replace("listen 443 ", f"listen 127.0.0.1:{outside} ")
    _run_nginx(place, servers.replace("/etc/ssl/portal/", f"{place.folder}/"), outside)
    return outside


def _sign(folder: Path, host: str) -> None:
    """Make a certificate that is signed by itself."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={host}",
         "-addext", f"subjectAltName=DNS:{host}", "-keyout", str(folder / f"{host}.key"), "-out", str(folder / f"{host}.crt")],
        check=True, capture_output=True,
    )  # fmt: skip


def _run_nginx(place: Place, servers: str, outside: int) -> None:
    folder = place.folder
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root; " if os.getuid() == 0 else ""
    (folder / "nginx.conf").write_text(
        f"{user}daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr;\n"
        f"events {{ worker_connections 900; }}\nhttp {{ access_log off; {temporary}\n{servers}\n}}\n"
    )
    place.start(["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")], outside, "nginx-log")
