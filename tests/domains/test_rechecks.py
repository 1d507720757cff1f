"""The worker's daily look at domains: what is missing for three days is switched off, and nobody's silence is."""

import threading

import pytest
from flask import Flask

from portal_site import clock, worker
from portal_site.domains import custom_domains, rechecks
from portal_site.domains.custom_domains import AGAIN, DAY
from portal_site.domains.rechecks import CLAIM
from portal_site.web import hosts
from tests import world
from tests.domains.conftest import HOST, OWN, proven
from tests.domains.name_server import CHALLENGE, NameServer


def _state(account_id: str) -> tuple[int, bool, str | None]:
    found = custom_domains.find_domain(account_id)
    assert found is not None
    return found.failures, found.works, found.finding


@pytest.mark.case("C10")
@pytest.mark.parametrize("values", [(), ("another",)], ids=["missing", "different"])
def test_three_days_without_the_record_switch_a_domain_off(
    app: Flask, dns: NameServer, values: tuple[str, ...]
) -> None:
    account_id = world.scene().account_id
    domain = proven(dns, account_id)
    first = domain.check_due_at or 0
    assert rechecks.check_due(dns.client, first - 1) == 0
    assert rechecks.check_due(dns.client, first) == 1
    assert rechecks.check_due(dns.client, first) == 0
    dns.prove(HOST, *values)
    finding = "different" if values else "missing"
    for day in (1, 2):
        assert rechecks.check_due(dns.client, first + day * DAY - 1) == 0
        assert rechecks.check_due(dns.client, first + day * DAY) == 1
        assert _state(account_id) == (day, True, finding)
        assert hosts.lookups().owner_of(HOST) == account_id
    assert rechecks.check_due(dns.client, first + 3 * DAY) == 1
    assert _state(account_id) == (3, False, finding)
    assert hosts.lookups().owner_of(HOST) is None
    assert [each.host for each in rechecks.disabled()] == [HOST]
    assert rechecks.check_due(dns.client, first + 9 * DAY) == 0  # what is off is looked for when somebody says so
    dns.prove(HOST, domain.token)
    found = custom_domains.check_domain(account_id, dns.client, first + 10 * DAY)
    assert (found.works, found.failures, found.verified_at) == (True, 0, first + 10 * DAY)
    assert rechecks.disabled() == []


def test_a_record_that_is_back_is_forgiven(lite_app: Flask, dns: NameServer) -> None:
    account_id = world.scene().account_id
    domain = proven(dns, account_id)
    first = domain.check_due_at or 0
    for day, tokens in enumerate([(), (), (domain.token,), (), (), (domain.token,)]):
        dns.prove(HOST, *tokens)
        rechecks.check_due(dns.client, first + day * DAY)
    assert _state(account_id) == (0, True, "found")


@pytest.mark.parametrize("how", ["broken", "silent"])
def test_nobodys_silence_switches_a_domain_off(lite_app: Flask, dns: NameServer, how: str) -> None:
    account_id = world.scene().account_id
    at = proven(dns, account_id).check_due_at or 0
    getattr(dns, how).add(f"{CHALLENGE}.{HOST}")
    for _ in range(5):
        assert rechecks.check_due(dns.client, at) == 1
        at += AGAIN
    assert _state(account_id) == (0, True, "unanswered")


def test_a_resolver_that_denies_everything_is_not_believed(lite_app: Flask, dns: NameServer) -> None:
    """As one does behind a login page of a network: it does not know the portal's own host either."""
    account_id = world.scene().account_id
    at = proven(dns, account_id).check_due_at or 0
    dns.zone.clear()
    for _ in range(5):
        assert rechecks.check_due(dns.client, at) == 1
        at += DAY
    assert _state(account_id) == (0, True, "unanswered")
    dns.set(OWN, "A", "192.0.2.10")
    rechecks.check_due(dns.client, at)
    assert _state(account_id) == (1, True, "missing")


def test_a_check_by_hand_counts_no_day_and_puts_none_off(lite_app: Flask, dns: NameServer) -> None:
    account_id = world.scene().account_id
    domain = proven(dns, account_id)
    dns.prove(HOST)
    for second in range(5):
        found = custom_domains.check_domain(account_id, dns.client, clock.now() + second)
        assert (found.failures, found.works, found.check_due_at) == (0, True, domain.check_due_at)


def test_many_workers_check_a_domain_once(app: Flask, dns: NameServer) -> None:
    accounts = [world.scene(f"M{number}").account_id for number in range(4)]
    due = max(
        proven(dns, account_id, f"m{number}.acme.example").check_due_at or 0
        for number, account_id in enumerate(accounts)
    )
    dns.asked.clear()
    start, counts = threading.Barrier(3), []

    def work() -> None:
        with app.app_context():
            start.wait(20)
            counts.append(rechecks.check_due(dns.client, due))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sum(counts) == 4
    assert len(dns.asked) == 4


def test_what_a_worker_died_over_is_taken_again(
    lite_app: Flask, dns: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    account_id = world.scene().account_id
    at = proven(dns, account_id).check_due_at or 0

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(custom_domains, "look", die)
        with pytest.raises(KeyboardInterrupt):
            rechecks.check_due(dns.client, at)
    assert rechecks.check_due(dns.client, at + CLAIM - 1) == 0
    assert rechecks.check_due(dns.client, at + CLAIM) == 1


def test_the_worker_does_it_with_the_rest_of_what_is_due(
    lite_app: Flask, dns: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    account_id = world.scene().account_id
    monkeypatch.setitem(lite_app.extensions, "dns", dns.client)
    due = proven(dns, account_id).check_due_at or 0
    dns.asked.clear()
    worker.tick(lite_app, due - 60)
    assert dns.asked == []
    worker.tick(lite_app, due)
    assert dns.asked == [f"{CHALLENGE}.{HOST} TXT"]
