"""Other rules: return URLs, options of a configuration, removal of payment methods, unguessable ids."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal_site.billing.errors import BillingError
from portal_site.billing.rules.customers.payment_methods import expiry_state, why_not_removable
from portal_site.billing.rules.portal import portal_features, safe_urls
from portal_site.billing.rules.portal.portal_features import Features
from portal_site.billing.rules.portal.safe_urls import Returns
from portal_site.ids import ID_ALPHABET, ID_LENGTH, ID_STAMP, new_id


@pytest.mark.case("C8")
@pytest.mark.parametrize(
    "address",
    ["javascript:alert(1)", "data:text/html,x", "//evil.example", "\\\\evil.example", "https:\\evil.example", "/path", "",
     "https://", "https://user@evil.example", "https://user:pw@evil.example", " https://evil.example", "https://evil.example\n",
     "https://ev il.example", "ftp://evil.example", "mailto:x@evil.example", "http:evil.example", "https:///evil.example"],
)  # fmt: skip
def test_an_address_that_is_no_plain_web_address_is_refused(address: str) -> None:
    assert not safe_urls.is_safe(address)
    with pytest.raises(BillingError) as error:
        safe_urls.check(address, "return_url")
    assert error.value.param == "return_url"


@pytest.mark.parametrize(
    "address", ["https://acme.example", "http://127.0.0.1:8000/a?b=c#d", "https://bücher.example/é"]
)
def test_web_addresses_are_taken(address: str) -> None:
    safe_urls.check(address, "return_url")


@pytest.mark.case("C8")
@given(st.text(max_size=40))
def test_nothing_but_http_gets_through(rest: str) -> None:
    for start in ("", "javascript:", "//", "\\", "data:"):
        if safe_urls.is_safe(start + rest):
            assert (start + rest).lower().startswith(("http://", "https://"))


HOST = "acme.example"
ODD = [
    "//evil.example", "\\\\evil.example", "javascript:alert(1)//acme.example", "https://acme.example@evil.example",
    "https://acme.example:pw@evil.example", "https://evil.example/acme.example", "https://evil.example#acme.example",
    "https://evil.example?acme.example", "https://acme.example.evil.example", "https://evilacme.example", "https://xacme.example",
    "https://аcme.example", "https://acme。example.evil", "https://acme.example。evil.example", "https://acme.example%2eevil.example",
    "https://ａcme.example", "https://acme.example／.evil.example", "https://acmé.example", "https://acme.example\t.evil.example",
    "https://acme.example\\.evil.example", "https://acme.example.", "https:acme.example", "https:///acme.example",
    "https://[::1]/acme.example", "https://acme.example:99999", "https://acme.example:x", "https://acme.example:80@evil.example",
    "http://acme.example", "ftp://acme.example", "data:text/html,acme.example", "https://", "",
]  # fmt: skip


@pytest.mark.case("C8")
@pytest.mark.parametrize("address", ODD)
def test_customers_go_back_to_no_host_but_a_registered_one(address: str) -> None:
    returns = Returns.of(livemode=True, registered=[HOST], default=None)
    assert not returns.allow(address)
    with pytest.raises(BillingError) as error:
        returns.check(address, "return_url")
    assert error.value.param == "return_url"


@pytest.mark.case("C8")
@given(
    st.sampled_from(["https", "http", "HTTPS", "javascript", ""]),
    st.sampled_from(["://", ":", "//", ":/\\", ":\\\\", ":///"]),
    st.lists(st.one_of(st.sampled_from([HOST, "evil.example", "@", ".", ":", ":8443", "/", "?", "#", "\\", "%2e", "。", "а"]),
                       st.text(max_size=3)), max_size=6),
)  # fmt: skip
def test_an_allowed_url_has_a_registered_host_for_every_parser(scheme: str, colon: str, rest: list[str]) -> None:
    address = f"{scheme}{colon}{''.join(rest)}"
    if Returns.of(livemode=True, registered=[HOST], default=None).allow(address):
        # Read as simply as can be: what stands between the slashes and whatever may end it.
        assert re.match(r"https://acme\.example(:\d*)?([/?#]|$)", address, re.IGNORECASE)


@pytest.mark.case("C8")
@pytest.mark.parametrize(
    ("livemode", "registered", "default", "address", "allowed"),
    [
        (False, [], None, "http://stays_local.example", True),
        (False, [], "https://acme.example", "http://stays_local.example", True),
        (False, ["acme.example"], None, "http://acme.example:8443/x", True),
        (False, ["acme.example"], None, "https://stays_local.example", False),
        (True, [], None, "https://stays_local.example", True),
        (True, [], None, "http://stays_local.example", False),
        (True, ["Acme.Example"], None, "https://ACME.example/account?a=b#c", True),
        (True, ["acme.example"], "https://other.example/home", "https://other.example/account", True),
        (True, ["acme.example"], "javascript:x", "https://other.example", False),
        (True, ["xn--bcher-kva.example"], None, "https://xn--bcher-kva.example", True),
        (True, ["bücher.example"], None, "https://bücher.example", False),
    ],
)
def test_where_customers_may_be_sent_back_to(
    livemode: bool, registered: list[str], default: str | None, address: str, allowed: bool
) -> None:
    assert Returns.of(livemode, registered, default).allow(address) is allowed


def test_the_options_begin_as_documented() -> None:
    features = Features()
    assert features.customer_update.allowed_updates == ("name", "email", "address", "phone")
    assert features.subscription_cancel.enabled
    assert features.subscription_cancel.mode == "at_period_end"
    assert len(features.subscription_cancel.cancellation_reason.options) == 8
    assert not features.subscription_update.enabled
    assert not features.subscription_pause.enabled
    assert features.invoice_history.enabled
    assert features.payment_method_update.enabled


def test_options_survive_being_stored() -> None:
    assert portal_features.read(Features().as_document()) == Features()
    assert portal_features.read({}) == Features()
    assert not portal_features.read({"invoice_history": {"enabled": False}}).invoice_history.enabled


@pytest.mark.parametrize("document", [{"nonsense": {}}, {"subscription_cancel": {"nonsense": 1}}])
def test_an_option_that_does_not_exist_is_refused(document: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="unknown portal option: nonsense"):
        portal_features.read(document)


@pytest.mark.parametrize(
    ("is_default", "others", "needed", "code"),
    [
        (False, 1, True, None),
        (True, 1, True, "payment_method_default"),
        (True, 1, False, "payment_method_default"),
        (True, 0, True, "payment_method_required"),
        (False, 0, True, "payment_method_required"),
        (True, 0, False, None),
    ],
)
def test_when_a_payment_method_can_be_removed(is_default: bool, others: int, needed: bool, code: str | None) -> None:
    refusal = why_not_removable(is_default=is_default, others=others, needed=needed)
    assert (refusal.code if refusal else None) == code


DECEMBER_1, DECEMBER_31, JANUARY_1 = 1796083200, 1798675200, 1798761600  # 2026–2027, midnight UTC


@pytest.mark.parametrize(
    ("at", "state"), [(DECEMBER_1 - 1, ""), (DECEMBER_1, "expiring"), (DECEMBER_31, "expiring"), (JANUARY_1, "expired")]
)
def test_a_card_is_good_until_the_end_of_its_month(at: int, state: str) -> None:
    assert expiry_state(12, 2026, at) == state


def test_a_bank_account_does_not_expire() -> None:
    assert expiry_state(None, None, JANUARY_1) == ""


@pytest.mark.case("B8")
def test_ids_cannot_be_guessed() -> None:
    assert (ID_LENGTH - ID_STAMP) * math.log2(len(ID_ALPHABET)) >= 96
    made = {new_id("in") for _ in range(10_000)}
    assert len(made) == 10_000
    counts = [sum(sign in name[3 + ID_STAMP :] for name in made) for sign in ID_ALPHABET]
    assert min(counts) > 0.8 * max(counts)
