"""What the records of a sender's domain are worth: the rules alone."""

import base64
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal_site.mail.senders import records
from portal_site.mail.senders.records import Domains, Finding

KEY = base64.b64encode(bytes(range(200))).decode()
ACME, BOUNCES = ("mail.acme.example", "acme.example"), ("relay.example", "relay.example")
OWN = Domains(ACME, ACME, BOUNCES)


@pytest.mark.parametrize(
    ("texts", "wanted", "finding"),
    [
        ([], [], "not_needed"),
        (["google-site-verification=x"], [], "not_needed"),
        ([], ["include:spf.relay.example"], "missing"),
        (["v=spf10 a"], ["include:spf.relay.example"], "missing"),
        (["v=spf1 -all"], [], "ok"),
        (["v=spf1 include:spf.relay.example -all"], ["include:spf.relay.example"], "ok"),
        (["V=SPF1 +Include:SPF.Relay.example ~all", "other"], ["include:spf.relay.example"], "ok"),
        (["v=spf1 include:spf.other.example -all"], ["include:spf.relay.example"], "different"),
        (["v=spf1 -all include:spf.relay.example"], ["include:spf.relay.example"], "different"),
        (["v=spf1 -include:spf.relay.example ~all"], ["include:spf.relay.example"], "different"),
        (["v=spf1 ?include:spf.relay.example ~all"], ["include:spf.relay.example"], "different"),
        (["v=spf1 redirect=_spf.acme.example"], ["include:spf.relay.example"], "different"),
        (["v=spf1 a", "v=spf1 mx"], [], "several"),
        (["v=spf1 ip4:192.0.2.0/24 -all"], ["ip4:192.0.2.7"], "ok"),
        (["v=spf1 ip4:192.0.2.7/32 -all"], ["ip4:192.0.2.7"], "ok"),
        (["v=spf1 ip4:192.0.2.7 -all"], ["ip4:192.0.2.0/24"], "different"),
        (["v=spf1 ip6:2001:db8::/32 -all"], ["ip6:2001:db8::1", "ip4:192.0.2.7"], "different"),
        (["v=spf1 ip6:2001:DB8:0::/32 ip4:nonsense ip4:192.0.2.7"], ["ip6:2001:db8::1", "ip4:192.0.2.7"], "ok"),
        (["v=spf1"], ["a:mail.relay.example"], "different"),
    ],
)
def test_spf(texts: list[str], wanted: list[str], finding: str) -> None:
    assert records.judge_spf(texts, wanted) == finding


_mechanisms = st.sampled_from(
    ["a", "mx", "include:a.example", "include:b.example", "ip4:192.0.2.1", "ip4:192.0.2.0/28", "ip6:2001:db8::/48",
     "-all", "~all", "?a", "redirect=c.example", "exp=d.example"]
)  # fmt: skip
_wanted = st.lists(
    st.sampled_from(["include:a.example", "ip4:192.0.2.1", "ip6:2001:db8::5", "a:relay.example"]), unique=True
)


@given(st.lists(_mechanisms, max_size=6), _wanted)
def test_the_record_to_set_is_good_and_keeps_what_there_was(terms: list[str], wanted: list[str]) -> None:
    before = " ".join(["v=spf1", *terms])
    after = records.spf_to_set([before, "other"], wanted)
    assert records.judge_spf([after], wanted) == Finding.OK
    assert after.split()[-len(terms) :] == terms if terms else after.startswith("v=spf1")
    assert records.spf_to_set([after], wanted) == after
    assert records.judge_spf([records.spf_to_set([], wanted)], wanted) == Finding.OK


@given(st.lists(st.text(max_size=60), max_size=4), _wanted)
def test_whatever_is_found_there_is_a_finding(texts: list[str], wanted: list[str]) -> None:
    assert records.judge_spf(texts, wanted) in Finding
    assert records.judge_dkim(texts, KEY) != Finding.OK
    assert records.judge_dmarc(texts, texts, OWN) in Finding
    assert records.spf_to_set(texts, wanted).lower().startswith("v=spf1")


@given(st.lists(st.integers(1, len(KEY) - 1), max_size=5), st.sampled_from([" ", "\t", "  "]))
def test_blanks_in_a_key_mean_nothing(places: list[int], blank: str) -> None:
    cuts = sorted({0, *places, len(KEY)})
    spaced = blank.join(KEY[begin:end] for begin, end in pairwise(cuts))
    assert records.judge_dkim([f"v=DKIM1;k=rsa;  p={spaced}"], KEY) == Finding.OK


@pytest.mark.parametrize(
    ("texts", "finding"),
    [
        ([], "missing"),
        ([" "], "missing"),
        ([records.dkim_to_set(KEY)], "ok"),
        ([f"p={KEY}"], "ok"),
        ([f"v=DKIM1; t=y; s=email; h=sha1:sha256; p={KEY};"], "ok"),
        ([f"v=DKIM1; p={KEY[:-4]}"], "different"),
        (["v=DKIM1; p="], "different"),  # revoked
        ([f"v=DKIM1; k=ed25519; p={KEY}"], "different"),
        ([f"v=DKIM1; h=sha1; p={KEY}"], "different"),
        ([f"v=DKIM1; s=other; p={KEY}"], "different"),
        ([f"v=DKIM2; p={KEY}"], "invalid"),
        (["v=DKIM1; k=rsa"], "invalid"),
        (["v=DKIM1; nonsense"], "invalid"),
        ([f"p={KEY}; p={KEY}"], "invalid"),
        ([records.dkim_to_set(KEY), records.dkim_to_set(KEY)], "several"),
    ],
)
def test_dkim(texts: list[str], finding: str) -> None:
    assert records.judge_dkim(texts, KEY) == finding


NOT_SIGNED = Domains(ACME, ("", ""), BOUNCES)
BY_THE_MAIN_DOMAIN = Domains(ACME, ("acme.example", "acme.example"), BOUNCES)


@pytest.mark.parametrize(
    ("own", "registered", "domains", "finding"),
    [
        ([], [], OWN, "missing"),
        (["v=spf1 -all"], [], OWN, "missing"),
        (["v=DMARC1; p=none"], [], OWN, "ok"),
        (["v = DMARC1 ;p=Reject; rua=mailto:x@acme.example"], [], OWN, "ok"),
        ([], ["v=DMARC1; p=quarantine"], OWN, "ok"),
        (["v=DMARC1; p=nothing"], ["v=DMARC1; p=none"], OWN, "invalid"),
        (["v=DMARC1"], [], OWN, "invalid"),
        (["v=DMARC1; p=none; nonsense"], [], OWN, "invalid"),
        (["v=DMARC1; p=none", "v=DMARC1; p=reject"], [], OWN, "several"),
        (["v=DMARC1; p=none"], [], NOT_SIGNED, "unaligned"),
        (["v=DMARC1; p=none"], [], Domains(ACME, ("", ""), ("x.acme.example", "acme.example")), "ok"),
        (["v=DMARC1; p=none; aspf=s"], [], Domains(ACME, ("", ""), ("x.acme.example", "acme.example")), "unaligned"),
        (["v=DMARC1; p=none"], [], BY_THE_MAIN_DOMAIN, "ok"),
        (["v=DMARC1; p=none; adkim=s"], [], BY_THE_MAIN_DOMAIN, "unaligned"),
        (["v=DMARC1; p=none; adkim=s"], [], OWN, "ok"),
        (["v=DMARC1; p=none"], [], Domains(ACME, ("evil.example", "evil.example"), BOUNCES), "unaligned"),
    ],
)
def test_dmarc(own: list[str], registered: list[str], domains: Domains, finding: str) -> None:
    assert records.judge_dmarc(own, registered, domains) == finding
