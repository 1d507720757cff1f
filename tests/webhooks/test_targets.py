"""Where events are sent to: never into a private network, whatever a name leads to."""

import ipaddress
import socket
from pathlib import Path
from typing import Any

import pytest

from portal_site.billing.webhooks import endpoints
from portal_site.cli import demo_server
from portal_site.config import LOOPBACK_NETWORKS, Settings, SettingsError
from portal_site.deliveries import targets
from portal_site.deliveries.connections import Sender
from tests.conftest import SECRET
from tests.webhooks.conftest import AT, Hook

INTERNAL = (
    "127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1", "::1", "::",
    "fe80::1", "fc00::1", "fd00:ec2::254", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1",
    "2002:7f00:1::", "2002:a00:1::1", "::127.0.0.1", "255.255.255.255", "ff02::1", "192.0.2.1", "198.18.0.1",
)  # fmt: skip


@pytest.mark.case("C12")
@pytest.mark.parametrize("address", INTERNAL)
def test_private_addresses_are_refused(address: str) -> None:
    assert not targets.is_allowed(ipaddress.ip_address(address), ())


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.215.14", "2606:4700:4700::1111", "::ffff:1.1.1.1"])
def test_those_of_the_internet_are_not(address: str) -> None:
    assert targets.is_allowed(ipaddress.ip_address(address), ())


@pytest.mark.case("C12")
def test_a_setting_allows_networks_but_no_metadata() -> None:
    everything = [ipaddress.ip_network(text) for text in ("0.0.0.0/0", "::/0")]
    assert targets.is_allowed(ipaddress.ip_address("10.1.2.3"), everything)
    assert targets.is_allowed(ipaddress.ip_address("::ffff:127.0.0.1"), LOOPBACK_NETWORKS)
    for text in ("169.254.169.254", "::ffff:169.254.169.254", "fe80::1", "fd00:ec2::254"):
        assert not targets.is_allowed(ipaddress.ip_address(text), everything)


@pytest.mark.parametrize("host", ["0x7f.1", "2130706433", "127.1", "localhost"])
@pytest.mark.case("C12")
def test_other_spellings_of_loopback_are_refused_with_the_try(lite_shop: Hook, host: str) -> None:
    port = lite_shop.receiver.address.rpartition(":")[2]
    outcome = Sender(()).post(f"http://{host}:{port}/hook", b"{}", "t=1,v1=a")
    assert (outcome.status, outcome.fault) == (None, targets.PRIVATE)
    assert lite_shop.receiver.deliveries == []


@pytest.mark.case("C12")
def test_the_name_is_resolved_once_and_that_address_is_used(lite_shop: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server that gives another answer the second time has nobody who asks it."""
    asked: list[str] = []

    def answer(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        there = "127.0.0.1" if len(asked) == 1 else "10.9.9.9"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (there, port))]

    real = socket.getaddrinfo

    def spy(host: str, port: int, *args: Any, **options: Any) -> list[Any]:
        return answer(host, port) if host == "shop.example" else real(host, port, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", spy)
    port = lite_shop.receiver.address.rpartition(":")[2]
    endpoints.change(lite_shop.account_id, False, lite_shop.row.id, {"url": f"http://shop.example:{port}/hook"}, AT)
    lite_shop.happen("Ada")
    lite_shop.send()
    assert asked == ["shop.example"]
    assert lite_shop.receiver.deliveries[0].headers["Host"] == f"shop.example:{port}"
    lite_shop.happen("Bea")
    lite_shop.send()
    assert [row.fault for row in lite_shop.rows()] == [None, targets.PRIVATE]
    assert len(lite_shop.receiver.deliveries) == 1


@pytest.mark.case("C12")
def test_one_private_address_among_others_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in ("1.1.1.1", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_options: found)
    assert Sender(()).post("https://shop.example/", b"{}", "").fault == targets.PRIVATE


def test_an_unknown_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise socket.gaierror("unknown")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    assert Sender(()).post("https://shop.example/", b"{}", "").fault == "the host name was not found"


def test_the_setting(tmp_path: Path) -> None:
    needed = {"PORTAL_SECRET_KEY": SECRET, "PORTAL_BASE_URL": "http://127.0.0.1:8000"}
    read = Settings.from_environment
    assert read(needed).webhook_networks == ()
    allowed = read({**needed, "PORTAL_WEBHOOK_NETWORKS": "127.0.0.0/8 ::1 10.1.0.0/16"}).webhook_networks
    assert [str(each) for each in allowed] == ["127.0.0.0/8", "::1/128", "10.1.0.0/16"]
    with pytest.raises(SettingsError, match="PORTAL_WEBHOOK_NETWORKS"):
        read({**needed, "PORTAL_WEBHOOK_NETWORKS": "10.1.2.3/8"})
    assert read({**needed, "PORTAL_DEMO": "1"}).webhook_networks == LOOPBACK_NETWORKS
    assert demo_server._settings(8000, tmp_path).webhook_networks == LOOPBACK_NETWORKS
