"""The proxies that the README names, with the README's own lines, on ports of the test's."""

import os
import re
import shutil
import subprocess

import pytest

from tests.web.processes import README, Place, free_port

HOST = "billing.example.com"
PROXIES = ("caddy", "nginx")


def start_proxy(place: Place, proxy: str, inside: int) -> int:
    """Start a proxy that terminates TLS in front of a server; its port. Skips the test where this machine has no such program."""
    if not shutil.which(proxy) or (proxy == "nginx" and not shutil.which("openssl")):
        pytest.skip(f"{proxy} is not installed here")
    return {"caddy": _caddy, "nginx": _nginx}[proxy](place, inside)


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
    return outside


def _nginx(place: Place, inside: int) -> int:
    outside, folder = free_port(), place.folder
    names = {"crt": folder / "site.crt", "key": folder / "site.key"}
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={HOST}",
         "-keyout", str(names["key"]), "-out", str(names["crt"])],
        check=True, capture_output=True,
    )  # fmt: skip
    server = _lines(r"server \{", inside).replace("listen 443", f"listen 127.0.0.1:{outside}")
    for ending, path in names.items():
        server = server.replace(f"/etc/ssl/{HOST}.{ending}", str(path))
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root; " if os.getuid() == 0 else ""
    (folder / "nginx.conf").write_text(
        f"{user}daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr;\n"
        f"events {{ worker_connections 900; }}\nhttp {{ access_log off; {temporary}\n{server}\n}}\n"
    )
    place.start(["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")], outside, "nginx-log")
    return outside
