"""Which host names can be a custom domain."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal_site.billing.errors import BillingError
from portal_site.domains import host_names

OWN = "billing.portal.example"


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("billing.acme.example", "billing.acme.example"),
        (" Billing.ACME.Example. ", "billing.acme.example"),
        ("acme.com", "acme.com"),
        ("rechnung.bücher.de", "rechnung.xn--bcher-kva.de"),
        ("公司。例子.cn", "xn--55qx5d.xn--fsqu00a.cn"),
        ("shop.acme.co.uk", "shop.acme.co.uk"),
        ("acme.github.io", "acme.github.io"),
        ("portal.example", "portal.example"),  # above the portal's own host, and not below it
        ("xbilling.portal.example", "xbilling.portal.example"),
        ("a.b.c.d.e.example", "a.b.c.d.e.example"),
    ],
)
def test_a_name_is_stored_as_browsers_send_it(typed: str, stored: str) -> None:
    assert host_names.checked(typed, OWN) == stored
    assert host_names.checked(stored, OWN) == stored


@pytest.mark.case("C12")
@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("", "no host name"),
        ("billing", "no host name"),
        ("https://billing.acme.example", "no host name"),
        ("billing.acme.example/portal", "no host name"),
        ("billing.acme.example:8443", "no host name"),
        ("user@acme.example", "no host name"),
        ("-a.acme.example", "no host name"),
        ("a..example", "no host name"),
        ("a b.example", "no host name"),
        ("_dmarc.acme.example", "no host name"),
        ("billing.acme.example\0", "no host name"),
        ("billing.acme.example\r\nX: y", "no host name"),
        (f"{'a' * 64}.example", "no host name"),
        ("*.acme.example", "wildcard"),
        ("192.0.2.7", "IP address"),
        ("127.1", "IP address"),
        ("0x7f.0.0.1", "IP address"),
        ("169.254.169.254", "IP address"),
        ("::1", "IP address"),
        ("[2001:db8::1]", "IP address"),
        ("::ffff:127.0.0.1", "IP address"),
        (f"{'a' * 60}.{'b' * 60}.{'c' * 60}.{'d' * 60}.example", "too long"),
        (OWN, "belongs to the portal itself"),
        (f"x.{OWN}", "belongs to the portal itself"),
        ("BILLING.Portal.example.", "belongs to the portal itself"),
        ("a.localhost", "only exists inside a network"),
        ("printer.local", "only exists inside a network"),
        ("metadata.google.internal", "only exists inside a network"),
        ("router.lan", "only exists inside a network"),
        ("1.0.0.127.in-addr.arpa", "only exists inside a network"),
        ("co.uk", "belong to different owners"),
        ("github.io", "belong to different owners"),
        ("foo.ck", "belong to different owners"),
    ],
)
def test_what_cannot_be_one_is_refused_with_a_sentence(typed: str, said: str) -> None:
    with pytest.raises(BillingError, match=said) as refused:
        host_names.checked(typed, OWN)
    assert refused.value.param == "host"


@given(st.text(max_size=300))
def test_whatever_is_typed_is_a_name_or_refused(typed: str) -> None:
    try:
        host = host_names.checked(typed, OWN)
    except BillingError:
        return
    assert host == host.lower()
    assert host.isascii()
    assert set(host) <= set("abcdefghijklmnopqrstuvwxyz0123456789-.")
    assert len(host) <= host_names.LONGEST


def test_what_was_registered_can_have_no_cname() -> None:
    assert host_names.is_apex("acme.co.uk")
    assert not host_names.is_apex("billing.acme.co.uk")
