"""What a name server says, and that a missing answer is no answer."""

import pytest

from portal_site.domains.dns import Dns, Unanswered
from tests.domains.conftest import OWN
from tests.domains.name_server import NameServer
from tests.web.processes import free_port


def test_the_texts_of_a_name_in_all_their_parts(dns: NameServer) -> None:
    dns.set("t.acme.example", "TXT", '"one"', '"two" "halves"', '"\\195\\188 \\255"')
    assert sorted(dns.client.texts("t.acme.example")) == ["one", "twohalves", "ü \ufffd"]
    dns.set("only.acme.example", "A", "192.0.2.1")
    assert dns.client.texts("only.acme.example") == []
    assert dns.client.texts("nothing.acme.example") == []


def test_a_text_is_found_by_a_cname(dns: NameServer) -> None:
    dns.set("t.acme.example", "CNAME", "elsewhere.example")
    dns.set("elsewhere.example", "TXT", '"there"')
    assert dns.client.texts("t.acme.example") == ["there"]


def test_where_a_host_leads(dns: NameServer) -> None:
    dns.set("cname.acme.example", "CNAME", OWN)
    dns.set("far.acme.example", "CNAME", "between.acme.example")
    dns.set("between.acme.example", "CNAME", OWN)
    dns.set("same.acme.example", "A", "192.0.2.9", "192.0.2.10")
    dns.set("other.acme.example", "A", "192.0.2.99")
    dns.set("other.acme.example", "AAAA", "2001:db8::99")
    dns.set("dangling.acme.example", "CNAME", "gone.example")
    found = {
        name: dns.client.leads_to(f"{name}.acme.example", OWN)
        for name in ("cname", "far", "same", "other", "dangling", "nothing")
    }
    assert found == {"cname": True, "far": True, "same": True, "other": False, "dangling": None, "nothing": None}


@pytest.mark.parametrize("how", ["broken", "silent"])
def test_who_does_not_answer_has_said_nothing(dns: NameServer, how: str) -> None:
    getattr(dns, how).add("t.acme.example")
    with pytest.raises(Unanswered):
        dns.client.texts("t.acme.example")
    with pytest.raises(Unanswered):
        dns.client.leads_to("t.acme.example", OWN)


def test_a_resolver_that_is_away_has_said_nothing() -> None:
    with pytest.raises(Unanswered):
        Dns(["127.0.0.1"], free_port(), patience=0.3).texts("t.acme.example")
    with pytest.raises(Unanswered):
        Dns([], 53, patience=0.3).texts("t.acme.example")
