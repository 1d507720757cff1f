"""A platform's key acts for the accounts that are connected to it, and for no others."""

from dataclasses import dataclass
from typing import Any

import pytest
from flask import Flask

from portal_site.billing.events.actors import Actor, ActorType, current_actor
from portal_site.billing.models import PortalSession
from portal_site.billing.portal_access import portal_sessions
from tests import world
from tests.api.calls import SESSIONS, Program, error, path_of
from tests.client import text
from tests.world import reading

CONFIGURATIONS = "/v1/billing_portal/configurations"
each_header = pytest.mark.parametrize("header", ["Stripe_Account", "Stripe_Context"])


@dataclass
class Pair:
    """A platform's program, the account that is connected to the platform, and a customer of each."""

    platform: Program
    shop_id: str
    of_platform: str
    of_shop: str


def _pair(app: Flask) -> Pair:
    with world.merchant("Platform") as platform:
        first = platform.customer("Pia", "same@acme.example", "of the platform")
    with world.merchant("Corner Shop", platform_id=platform.account.id) as shop:
        second = shop.customer("Sam", "same@acme.example", "of the connected account")
    return Pair(Program(app, platform.account.id), shop.account.id, first.id, second.id)


@pytest.fixture
def pair(app: Flask) -> Pair:
    """Both."""
    return _pair(app)


@pytest.fixture
def lite_pair(lite_app: Flask) -> Pair:
    """Both, on SQLite."""
    return _pair(lite_app)


def _ids(answer: Any) -> list[str]:
    return [one["id"] for one in answer.json["data"]]


@pytest.mark.both_databases
@each_header
def test_everything_belongs_to_the_account_that_is_acted_for(pair: Pair, header: str) -> None:
    program, acting = pair.platform, {header: pair.shop_id}
    searches = ("/v1/customers", {}), ("/v1/customers/search", {"query": "email:'same@acme.example'"})
    for path, data in searches:
        assert _ids(program.get(path, data)) == [pair.of_platform]
        assert _ids(program.get(path, data, **acting)) == [pair.of_shop]
    assert program.get(f"/v1/customers/{pair.of_shop}", **acting).json["name"] == "Sam"  # type: ignore[index]
    assert error(program.get(f"/v1/customers/{pair.of_platform}", **acting))[2] == "resource_missing"
    assert error(program.get(f"/v1/customers/{pair.of_shop}"))[2] == "resource_missing"
    [theirs], [own] = _ids(program.get(CONFIGURATIONS, **acting)), _ids(program.get(CONFIGURATIONS))
    assert theirs != own
    made = program.post(SESSIONS, {"customer": pair.of_shop}, **acting)
    assert (made.json["configuration"], made.headers["Stripe-Account"]) == (theirs, pair.shop_id)  # type: ignore[index]
    assert "Stripe-Account" not in program.get("/v1/customers").headers
    refused = error(program.post(SESSIONS, {"customer": pair.of_shop, "configuration": own}, **acting))
    assert refused[2:] == ("resource_missing", "configuration")


def test_the_link_opens_the_portal_of_the_connected_account(lite_app: Flask, lite_pair: Pair) -> None:
    made = lite_pair.platform.post(SESSIONS, {"customer": lite_pair.of_shop}, Stripe_Account=lite_pair.shop_id)
    client = lite_app.test_client()
    client.get(path_of(made.json["url"]))  # type: ignore[index]
    assert "Corner Shop" in text(client.get("/").text)


@pytest.mark.case("B1")
@each_header
@pytest.mark.both_databases
def test_an_account_that_is_not_connected_is_refused(app: Flask, pair: Pair, header: str) -> None:
    stranger = world.scene("Stranger")
    below = world.merchant("Below", platform_id=pair.shop_id)
    with below as made:
        of_the_connected = made.account.id
    of_shop = Program(app, pair.shop_id)
    own = pair.platform.key.account_id
    asked = [(pair.platform, name) for name in (stranger.account_id, of_the_connected, "acct_none", "x" * 9000, "a\0")]
    for program, account in [*asked, (of_shop, own), (pair.platform, f"{own}/{pair.shop_id}")]:
        for answer in (
            program.get("/v1/customers", **{header: account}),
            program.post(SESSIONS, {"customer": pair.of_shop}, **{header: account}),
        ):
            status, words, code, _param = error(answer)
            assert (status, code) == (403, "account_invalid")
            shown = account[:9].replace("\0", "?")
            assert words.startswith(
                f"The provided key '{program.key.redacted}' does not have access to account '{shown}"
            )
            assert words.endswith("(or that account does not exist). Application access may have been revoked.")
            assert program.token not in words
            assert len(words) < 600
            assert "Stripe-Account" not in answer.headers


def test_a_key_acts_for_its_own_account_too_but_not_for_two(lite_pair: Pair) -> None:
    program = lite_pair.platform
    own = program.get("/v1/customers", Stripe_Account=program.key.account_id)
    assert (_ids(own), own.headers["Stripe-Account"]) == ([lite_pair.of_platform], program.key.account_id)
    twice = program.get("/v1/customers", Stripe_Account=lite_pair.shop_id, Stripe_Context=lite_pair.shop_id)
    assert _ids(twice) == [lite_pair.of_shop]
    two = program.get("/v1/customers", Stripe_Account=lite_pair.shop_id, Stripe_Context=program.key.account_id)
    assert (error(two)[0], "different accounts" in error(two)[1]) == (400, True)
    program.token = "sk_test_" + "x" * 44
    assert error(program.get("/v1/customers", Stripe_Account=lite_pair.shop_id))[0] == 401


def test_mode_and_rights_are_those_of_the_key(lite_app: Flask, lite_pair: Pair) -> None:
    platform, acting = lite_pair.platform.key.account_id, {"Stripe_Account": lite_pair.shop_id}
    assert _ids(Program(lite_app, platform, livemode=True).get("/v1/customers", **acting)) == []
    reader = Program(lite_app, platform, customers="read")
    assert _ids(reader.get("/v1/customers", **acting)) == [lite_pair.of_shop]
    assert error(reader.post(SESSIONS, {"customer": lite_pair.of_shop}, **acting))[0] == 403


@pytest.mark.case("E2")
def test_an_idempotency_key_is_of_the_account_that_is_acted_for(lite_pair: Pair) -> None:
    program, acting = lite_pair.platform, {"Stripe_Account": lite_pair.shop_id}
    own = program.post(SESSIONS, {"customer": lite_pair.of_platform}, Idempotency_Key="one")
    theirs = program.post(SESSIONS, {"customer": lite_pair.of_shop}, Idempotency_Key="one", **acting)
    assert (own.status_code, theirs.status_code) == (200, 200)
    again = program.post(SESSIONS, {"customer": lite_pair.of_shop}, Idempotency_Key="one", **acting)
    assert (again.data, again.headers["Stripe-Account"]) == (theirs.data, lite_pair.shop_id)
    with reading() as connection:
        rows = connection.execute(world.select(PortalSession.account_id)).scalars().all()
    assert sorted(rows) == sorted([program.key.account_id, lite_pair.shop_id])


def test_it_is_the_key_that_acts(lite_pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Actor] = []
    opened = portal_sessions.open_session

    def open_session(*args: Any, **options: Any) -> Any:
        seen.append(current_actor())
        return opened(*args, **options)

    monkeypatch.setattr(portal_sessions, "open_session", open_session)
    program = lite_pair.platform
    program.post(SESSIONS, {"customer": lite_pair.of_shop}, Stripe_Account=lite_pair.shop_id)
    assert seen == [Actor(ActorType.API_KEY, program.key.id)]
