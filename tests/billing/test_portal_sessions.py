"""Portal links and sessions: their durations, what is stored of them, and what ends them."""

import pytest
from flask import Flask
from sqlalchemy import select

from portal_site.billing.errors import BillingError, NotFound
from portal_site.billing.models import PortalSession
from portal_site.billing.portal_access import portal_sessions
from portal_site.db import Base
from tests import world
from tests.world import reading

AT = 1_790_000_000


def test_the_token_is_long_random_and_stored_only_as_its_hash(app: Flask) -> None:
    customer = world.scene().customer
    tokens = {portal_sessions.open_session(customer.id, AT).token for _ in range(50)}
    assert len(tokens) == 50
    assert all(len(token) >= 43 for token in tokens)  # 256 bits in base64


@pytest.mark.case("A6")
def test_no_row_holds_a_token(app: Flask) -> None:
    scene = world.scene()
    opened = portal_sessions.open_session(scene.customer.id, AT, return_url="https://acme.example", locale="fr")
    cookie = portal_sessions.follow_link(opened.token, AT)
    portal_sessions.note_activity(scene.account_id, opened.id, AT)
    portal_sessions.end_session(scene.account_id, opened.id, AT)
    with reading() as connection:
        everything = " ".join(
            str(row) for table in Base.metadata.sorted_tables for row in connection.execute(select(table))
        )
    assert opened.id in everything
    assert portal_sessions.hash_token(opened.token) in everything
    assert opened.token not in everything
    assert cookie not in everything


@pytest.mark.case("A1")
def test_a_link_works_for_five_minutes_however_often(app: Flask) -> None:
    opened = portal_sessions.open_session(world.scene().customer.id, AT)
    first, second = (portal_sessions.follow_link(opened.token, AT + after) for after in (0, 299))
    assert first != second
    with pytest.raises(NotFound):
        portal_sessions.follow_link(opened.token, AT + 300)


def test_logging_out_ends_the_link_too(app: Flask) -> None:
    scene = world.scene()
    opened = portal_sessions.open_session(scene.customer.id, AT)
    portal_sessions.end_session(scene.account_id, opened.id, AT)
    with pytest.raises(NotFound):
        portal_sessions.follow_link(opened.token, AT)


def test_a_customer_is_found_by_its_email(app: Flask) -> None:
    scene = world.scene()
    assert portal_sessions.open_session("hedda@acme.example", AT).id.startswith("bps_")
    with reading() as connection:
        assert connection.scalar(select(PortalSession.customer_id)) == scene.customer.id


@pytest.mark.parametrize(
    ("customer", "options", "param"),
    [
        ("cus_none", {}, "customer"),
        ("nobody@acme.example", {}, "customer"),
        ("hedda@acme.example", {"configuration_id": "bpc_none"}, "configuration"),
        ("hedda@acme.example", {"on_behalf_of": "acct_none"}, "on_behalf_of"),
        ("hedda@acme.example", {"return_url": "javascript:alert(1)"}, "return_url"),
        ("hedda@acme.example", {"locale": "zz"}, "locale"),
        ("hedda@acme.example", {"locale": ""}, "locale"),
        ("hedda@acme.example", {"locale": "x" * 3000}, "locale"),
        ("hedda@acme.example", {"account_id": "acct_none"}, "customer"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_parameter(
    app: Flask, customer: str, options: dict[str, str], param: str
) -> None:
    world.scene()
    with pytest.raises(BillingError) as error:
        portal_sessions.open_session(customer, AT, **options)  # type: ignore[arg-type]
    assert error.value.param == param


@pytest.mark.case("C8")
@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("https://evil.example/account", "evil.example is not registered as a host for return URLs."),
        ("http://acme.example/account", "In live mode a return URL must begin with https://."),
        ("https://acme.example/account", None),
        ("https://shop.example/elsewhere", None),
    ],
)
def test_a_link_leads_back_to_a_registered_host_only(app: Flask, address: str, said: str | None) -> None:
    with world.merchant(
        return_hosts=["acme.example"], configuration={"livemode": True, "default_return_url": "https://shop.example"}
    ) as made:
        customer = made.customer("Hedda Berg", "hedda@acme.example", "live", livemode=True)
    if said is None:
        assert portal_sessions.open_session(customer.id, AT, return_url=address).id
        return
    with pytest.raises(BillingError, match=said) as error:
        portal_sessions.open_session(customer.id, AT, return_url=address)
    assert error.value.param == "return_url"


def test_two_customers_with_one_email_are_told_apart_by_id(app: Flask) -> None:
    with world.merchant() as made:
        for _ in range(2):
            made.customer("Twin", "twin@acme.example", "one of two")
    with pytest.raises(BillingError, match="name one by its id"):
        portal_sessions.open_session("twin@acme.example", AT)


def test_another_accounts_configuration_is_refused(app: Flask) -> None:
    scene = world.scene()
    with world.merchant("Other") as other:
        theirs = other.configuration(world.EVERYTHING, is_default=False)
    with pytest.raises(NotFound):
        portal_sessions.open_session(scene.customer.id, AT, configuration_id=theirs.id)
