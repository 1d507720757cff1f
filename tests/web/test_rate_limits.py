"""Rate limits of pages: every route has a decision, and who asks too often is told when to try again."""

from pathlib import Path

import pytest
import time_machine
from flask import Flask

from portal_site.rate_limits import rules
from portal_site.rate_limits.rules import BLUEPRINTS, ROUTES, RULES, UNLIMITED
from tests import world
from tests.client import PortalClient, text
from tests.conftest import enter, make_app
from tests.portal.logging_in import AT, NOW, ask, enter_code, login_page, mail_is_on, mails  # noqa: F401


def _few(app: Flask, name: str, rate: str = "3 per minute") -> None:
    app.extensions["rate_limits"].set_rate(name, rate)


def _statuses(client: PortalClient, path: str, count: int, network: str = "203.0.113.1", **headers: str) -> list[int]:
    there = {"environ_base": {"REMOTE_ADDR": network}, "headers": {k.replace("_", "-"): v for k, v in headers.items()}}
    return [client.get(path, **there).status_code for _ in range(count)]


def _client(app: Flask) -> PortalClient:
    return app.test_client()  # type: ignore[return-value]


@pytest.mark.parametrize("demo", [False, True], ids=["production", "demo"])
def test_every_route_has_a_decision(tmp_path: Path, demo: bool) -> None:
    app = make_app(f"sqlite:///{tmp_path / 'portal.db'}", tmp_path, demo=demo)
    endpoints = {rule.endpoint for rule in app.url_map.iter_rules()}
    decided = {name for name in endpoints if name in ROUTES or name in UNLIMITED}
    decided |= {name for name in endpoints if name.rpartition(".")[0] in BLUEPRINTS.keys() | UNLIMITED.keys()}
    assert endpoints - decided == set()
    assert set(ROUTES) <= endpoints
    blueprints = {name.rpartition(".")[0] for name in endpoints}
    assert set(BLUEPRINTS) <= blueprints
    if demo:
        assert set(UNLIMITED) <= endpoints | blueprints


def test_each_name_in_the_table_is_a_rule_and_each_rule_is_used() -> None:
    named = {*ROUTES.values(), *BLUEPRINTS.values(), rules.PUBLIC, rules.WRONG_KEYS} - {rules.API}
    assert named | {name for name in RULES if name.startswith("api ")} == set(RULES)


@NOW
def test_a_network_that_follows_too_many_links_is_told_when_to_try_again(real_rates: Flask) -> None:
    client = _client(real_rates)
    assert _statuses(client, "/p/session/none", 121) == [403] * 120 + [429]
    with time_machine.travel(AT + 20, tick=False):
        refused = client.get("/p/session/none", environ_base={"REMOTE_ADDR": "203.0.113.1"})
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "40")
        assert "Too many requests Nothing has been changed. Try again in 40 seconds." in text(refused.text)
        assert _statuses(client, "/p/session/none", 1, "203.0.113.2") == [403]
        assert enter(real_rates, world.scene().customer).get("/").status_code == 200
    with time_machine.travel(AT + 60, tick=False):
        assert _statuses(client, "/p/session/none", 1) == [403]


@NOW
def test_a_network_is_what_somebody_can_get_for_themselves(real_rates: Flask) -> None:
    _few(real_rates, "links")
    client = _client(real_rates)
    near = ("2001:db8::5", "2001:db8:0:7::6", "2001:db8:0:ffff::1", "2001:db8::5")
    assert [_statuses(client, "/p/session/none", 1, each) for each in near] == [[403], [403], [403], [429]]
    assert _statuses(client, "/p/session/none", 1, "2001:db8:1::1") == [403]
    assert _statuses(client, "/p/session/none", 2, "::ffff:192.0.2.1") == [403, 403]
    assert _statuses(client, "/p/session/none", 2, "192.0.2.1") == [403, 429]


@NOW
def test_a_client_without_an_address_is_not_counted_with_all_others(real_rates: Flask) -> None:
    _few(real_rates, "links")
    assert _statuses(_client(real_rates), "/p/session/none", 5, "") == [403] * 5


@NOW
def test_a_link_is_counted_by_all_processes_together(real_rates: Flask, tmp_path: Path) -> None:
    address = real_rates.config["SQLALCHEMY_DATABASE_URI"]
    other = make_app(address, tmp_path)
    for app in (real_rates, other):
        _few(app, "links")
        _few(app, rules.PUBLIC)
    here, there = _client(real_rates), _client(other)
    assert _statuses(here, "/p/session/none", 2) == [403, 403]
    assert _statuses(there, "/p/session/none", 2) == [403, 429]
    assert _statuses(here, "/p/session/none", 1) == [429]
    assert _statuses(here, "/logged-out", 3) == [200] * 3
    assert _statuses(there, "/logged-out", 4) == [200] * 3 + [429]


@NOW
def test_an_address_that_does_not_exist_counts_as_a_public_page(real_rates: Flask) -> None:
    _few(real_rates, rules.PUBLIC)
    client = _client(real_rates)
    assert _statuses(client, "/nowhere", 2) == [404, 404]
    assert _statuses(client, "/logged-out", 2) == [200, 429]
    assert _statuses(client, "/", 1) == [403]  # a page of the portal, which has a limit of its own


@NOW
def test_one_session_cannot_occupy_the_server_and_others_go_on(real_rates: Flask) -> None:
    _few(real_rates, "portal", "5 per minute")
    scene = world.scene()
    client, other = enter(real_rates, scene.customer), enter(real_rates, scene.customer)
    assert [client.get(path).status_code for path in ("/", "/invoices", "/subscriptions") * 2] == [200] * 5 + [429]
    assert other.get("/").status_code == 200


@NOW
def test_exports_have_a_smaller_limit(real_rates: Flask) -> None:
    client = enter(real_rates, world.scene().customer)
    answers = [client.get("/invoices/export.csv").status_code for _ in range(21)]
    assert answers == [200] * 20 + [429]
    assert client.get("/").status_code == 200


@NOW
def test_an_ordinary_visit_is_far_from_every_limit(real_rates: Flask) -> None:
    """A customer who clicks twice a second for two minutes."""
    client = enter(real_rates, world.scene().customer)
    with time_machine.travel(AT, tick=False) as traveller:
        for number in range(240):
            assert client.get("/" if number % 2 else "/invoices").status_code == 200
            traveller.shift(0.5)


@NOW
def test_the_page_speaks_the_visitors_language_in_the_merchants_frame(real_rates: Flask) -> None:
    _few(real_rates, "portal", "1 per hour")
    client = enter(real_rates, world.scene("Nordlicht").customer, locale="fr")
    client.get("/")
    refused = client.get("/")
    assert refused.status_code == 429
    assert "Trop de requêtes" in refused.text
    assert "Réessayez dans 1 heure." in text(refused.text)
    assert "Nordlicht" in refused.text
    assert '<html lang="fr"' in refused.text


@NOW
def test_a_fragment_is_refused_with_the_sentence_alone(real_rates: Flask) -> None:
    _few(real_rates, "portal", "1 per 2 minute")
    client = enter(real_rates, world.scene().customer)
    client.get("/")
    refused = client.get("/subscriptions/list", headers={"HX-Request": "true"})
    assert (refused.status_code, refused.mimetype, refused.headers["Retry-After"]) == (429, "text/plain", "120")
    assert refused.text == "Too many requests. Nothing has been changed. Try again in 2 minutes."


@NOW
@pytest.mark.case("A9")
def test_login_forms_are_limited_by_network_and_a_code_that_came_still_works(
    real_rates: Flask,
    mail_is_on: None,  # noqa: F811
) -> None:
    _few(real_rates, "login forms")
    page = login_page(world.shop())
    client, asked = ask(real_rates, page)
    ((code, _body),) = mails(real_rates)
    refused = [ask(real_rates, page, "nobody@acme.example")[1] for _ in range(3)]
    assert [asked.status_code, *(each.status_code for each in refused)] == [303, 303, 303, 429]
    assert "Try again in 1 minute." in text(refused[-1].text)
    assert enter_code(client, page, code).status_code == 429
    with time_machine.travel(AT + 60, tick=False):
        assert enter_code(client, page, code).status_code == 303


@NOW
def test_files_and_events_of_providers_are_not_limited(real_rates: Flask) -> None:
    _few(real_rates, rules.PUBLIC)
    client = _client(real_rates)
    assert _statuses(client, "/static/none.js", 10) == [404] * 10
    answers = [client.post("/gateways/none/events", data="{}").status_code for _ in range(10)]
    assert answers == [404] * 10


@NOW
def test_an_unknown_host_is_answered_in_plain_text_however_often(real_rates: Flask) -> None:
    _few(real_rates, rules.PUBLIC, "1 per hour")
    answers = [_client(real_rates).get("/", base_url="http://elsewhere.example") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [400] * 3
