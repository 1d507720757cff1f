"""What a proxy is told before it gets a certificate, and who is told nothing."""

import pytest
from flask import Flask

from portal_site import clock
from portal_site.domains import custom_domains
from tests import world
from tests.domains.conftest import HOST, OWN, proven
from tests.domains.name_server import NameServer

ASK = "/internal/tls-ask"


def _ask(app: Flask, domain: str, peer: str = "127.0.0.1", **headers: str) -> int:
    sent = {"Host": "127.0.0.1:8000", **{name.replace("_", "-"): value for name, value in headers.items()}}
    answer = app.test_client().get(
        ASK, query_string={"domain": domain}, headers=sent, environ_base={"REMOTE_ADDR": peer}
    )
    assert answer.data == b""
    return answer.status_code


def test_hosts_that_are_served_get_a_certificate(app: Flask, dns: NameServer) -> None:
    account_id = world.scene().account_id
    assert _ask(app, OWN) == 200
    assert _ask(app, HOST) == 404
    custom_domains.set_domain(account_id, HOST, clock.now())
    assert _ask(app, HOST) == 404
    proven(dns, account_id)
    assert [_ask(app, name) for name in (HOST, HOST.upper(), f"{HOST}.")] == [200, 200, 200]
    for name in (f"x.{HOST}", "evil.example", "", "127.0.0.1", "*", f"{HOST}%", "a." * 3000):
        assert _ask(app, name) == 404, name[:50]
    custom_domains.remove_domain(account_id, clock.now())
    assert _ask(app, HOST) == 404


@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", "10.0.0.7", "172.18.0.3", "192.168.1.2", "fd00::5"])
def test_a_proxy_of_the_own_network_is_told(lite_app: Flask, peer: str) -> None:
    assert _ask(lite_app, OWN, peer) == 200


@pytest.mark.parametrize("peer", ["203.0.113.9.1", "8.8.8.8", "2606:4700::1", "", "unix"])
def test_nobody_from_outside_is_told(lite_app: Flask, peer: str) -> None:
    assert _ask(lite_app, OWN, peer) == 404


@pytest.mark.parametrize(
    "header", ["X_Forwarded_For", "X_Forwarded_Host", "X_Forwarded_Proto", "X_Real_IP", "Forwarded", "Via"]
)
def test_nobody_who_comes_through_a_proxy_is_told(lite_app: Flask, header: str) -> None:
    assert _ask(lite_app, OWN, **{header: "127.0.0.1"}) == 404


def test_it_is_only_asked(lite_app: Flask) -> None:
    assert lite_app.test_client().post(ASK, headers={"Host": OWN}).status_code in (403, 405)
