"""Setting, proving and removing a domain; two accounts that claim the same host."""

import threading

import pytest
from flask import Flask

from portal_site import clock
from portal_site.billing.errors import BillingError, NotFound
from portal_site.billing.events.actors import ActorType, acting_as
from portal_site.domains import custom_domains
from portal_site.domains.custom_domains import DAY, DnsRecord
from portal_site.web import hosts
from tests import world
from tests.domains.conftest import HOST, OWN, proven
from tests.domains.name_server import CHALLENGE, NameServer


def test_a_domain_works_once_its_record_is_there(app: Flask, dns: NameServer) -> None:
    account_id, at = world.scene().account_id, clock.now()
    domain = custom_domains.set_domain(account_id, f" {HOST.upper()}.", at)
    assert (domain.host, domain.works, domain.verified_at, domain.created) == (HOST, False, None, at)
    assert len(domain.token) == 32
    assert custom_domains.records(domain) == (
        DnsRecord("TXT", f"{CHALLENGE}.{HOST}", domain.token),
        DnsRecord("CNAME", HOST, OWN),
    )
    found = custom_domains.check_domain(account_id, dns.client, at)
    assert (found.finding, found.route, found.works) == ("missing", "nowhere", False)
    dns.prove(HOST, "somebody else's")
    dns.set(HOST, "A", "192.0.2.77")
    found = custom_domains.check_domain(account_id, dns.client, at + 1)
    assert (found.finding, found.route, found.works) == ("different", "elsewhere", False)
    dns.prove(HOST, "somebody else's", domain.token)
    dns.set(HOST, "A", "192.0.2.10")
    found = custom_domains.check_domain(account_id, dns.client, at + 2)
    assert (found.finding, found.route, found.works) == ("found", "here", True)
    assert (found.verified_at, found.checked_at, found.check_due_at) == (at + 2, at + 2, at + 2 + DAY)
    assert custom_domains.find_domain(account_id).verified_at == at + 2  # type: ignore[union-attr]


def test_an_apex_gets_other_advice(lite_app: Flask) -> None:
    domain = custom_domains.set_domain(world.scene().account_id, "acme.example", clock.now())
    assert [record.type for record in custom_domains.records(domain)] == ["TXT", "ALIAS"]


def test_the_same_host_again_keeps_the_proof_and_another_one_loses_it(lite_app: Flask, dns: NameServer) -> None:
    account_id = world.scene().account_id
    token = proven(dns, account_id).token
    again = custom_domains.set_domain(account_id, HOST, clock.now() + 5)
    assert (again.token, again.works) == (token, True)
    assert hosts.lookups().owner_of(HOST) == account_id
    other = custom_domains.set_domain(account_id, "pay.acme.example", clock.now() + 6)
    assert (other.works, other.finding, other.route, other.check_due_at) == (False, None, None, None)
    assert other.token != token
    assert hosts.lookups().owner_of(HOST) is None
    assert hosts.lookups().host_of(account_id) is None


def test_a_domain_that_is_removed_is_gone_at_once(lite_app: Flask, dns: NameServer) -> None:
    account_id = world.scene().account_id
    proven(dns, account_id)
    custom_domains.remove_domain(account_id, clock.now())
    assert custom_domains.find_domain(account_id) is None
    assert hosts.lookups().owner_of(HOST) is None
    for change in (
        lambda: custom_domains.remove_domain(account_id, clock.now()),
        lambda: custom_domains.check_domain(account_id, dns.client, 1),
    ):
        with pytest.raises(NotFound):
            change()


@pytest.mark.case("C10")
def test_a_host_that_another_account_has_proven_cannot_be_had(app: Flask, dns: NameServer) -> None:
    mine, theirs = world.scene("Mine").account_id, world.scene("Theirs").account_id
    claimed = custom_domains.set_domain(theirs, HOST, clock.now())  # anybody may claim it, before it is proven
    domain = proven(dns, mine)
    with pytest.raises(BillingError, match="Another account already uses this host"):
        custom_domains.set_domain(world.scene("Third").account_id, HOST, clock.now())
    with pytest.raises(BillingError, match="Another account already uses this host"):
        dns.prove(HOST, domain.token, claimed.token)
        custom_domains.check_domain(theirs, dns.client, clock.now())
    assert hosts.lookups().owner_of(HOST) == mine
    custom_domains.remove_domain(mine, clock.now())
    assert custom_domains.check_domain(theirs, dns.client, clock.now()).works
    assert hosts.lookups().owner_of(HOST) == theirs


@pytest.mark.case("C10")
def test_of_two_accounts_that_prove_a_host_at_the_same_time_one_has_it(app: Flask, dns: NameServer) -> None:
    accounts = [world.scene(name).account_id for name in ("One", "Two", "Three", "Four")]
    tokens = [custom_domains.set_domain(account_id, HOST, clock.now()).token for account_id in accounts]
    dns.prove(HOST, *tokens)
    start, outcomes = threading.Barrier(len(accounts)), []

    def check(account_id: str) -> None:
        with app.app_context(), acting_as(ActorType.OPERATOR):
            start.wait(20)
            try:
                outcomes.append(custom_domains.check_domain(account_id, dns.client, clock.now()).works)
            except BillingError:
                outcomes.append(False)

    threads = [threading.Thread(target=check, args=(account_id,)) for account_id in accounts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(outcomes) == [False, False, False, True]


@pytest.mark.case("C10")
def test_a_cname_that_was_left_behind_proves_nothing(lite_app: Flask, dns: NameServer) -> None:
    dns.set(HOST, "CNAME", OWN)
    account_id = world.scene().account_id
    custom_domains.set_domain(account_id, HOST, clock.now())
    found = custom_domains.check_domain(account_id, dns.client, clock.now())
    assert (found.finding, found.route, found.works) == ("missing", "here", False)
    assert hosts.lookups().owner_of(HOST) is None


def test_a_domain_that_was_replaced_during_its_check_stays_as_it_is(lite_app: Flask, dns: NameServer) -> None:
    account_id = world.scene().account_id
    domain = custom_domains.set_domain(account_id, HOST, clock.now())
    dns.prove(HOST, domain.token)

    class Slow:
        """While it is asked, somebody sets another domain."""

        def texts(self, name: str) -> list[str]:
            found = dns.client.texts(name)
            custom_domains.set_domain(account_id, "other.acme.example", clock.now())
            return found

        def leads_to(self, host: str, there: str) -> bool | None:
            return dns.client.leads_to(host, there)

    with pytest.raises(NotFound):
        custom_domains.check_domain(account_id, Slow(), clock.now())  # type: ignore[arg-type]
    left = custom_domains.find_domain(account_id)
    assert left is not None
    assert (left.host, left.works, left.finding) == ("other.acme.example", False, None)
