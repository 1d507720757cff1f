"""`/v1/events`: what programs read of what happened, and who may."""

from typing import Any

import pytest
import time_machine
from flask import Flask
from sqlalchemy import select

from portal_site import clock
from portal_site.billing.events import types
from portal_site.billing.models import Event
from portal_site.billing.webhooks import endpoints, queue
from tests import world
from tests.api.calls import Program, error
from tests.api.payments.merchants import new_customer, new_program, post
from tests.api.payments.shapes import check
from tests.plans import plan
from tests.webhooks.many import many_events
from tests.world import reading

DAY = 24 * 60 * 60
HOOK = {"url": "https://shop.example/hook", "enabled_events": ["*"]}


def _list(program: Program, **data: Any) -> Any:
    response = program.get("/v1/events", data)
    assert response.status_code == 200, response.text
    return check(response.json, "event")


def _kinds(program: Program, **data: Any) -> list[str]:
    return [one["type"] for one in _list(program, **data)["data"]]


def _pay(program: Program) -> None:
    post(
        program, "/v1/payment_intents", "payment_intent", amount="700", currency="eur", payment_method="pm_card_visa",
        confirm="true",
    )  # fmt: skip


def test_an_event_names_the_request_that_caused_it(app: Flask) -> None:
    program = new_program(app)
    made = program.post("/v1/customers", {"name": "Ada"}, Idempotency_Key="mine")
    program.post("/v1/customers", {"name": "Ada"}, Idempotency_Key="mine")
    [event] = _list(program)["data"]
    assert event["request"] == {"id": made.headers["Request-Id"], "idempotency_key": "mine"}
    assert (event["type"], event["data"]["object"]["id"]) == ("customer.created", made.json["id"])  # type: ignore[index]
    assert (event["api_version"], event["livemode"], event["pending_webhooks"]) == ("2026-08-26.dahlia", False, 0)
    one = program.get(f"/v1/events/{event['id']}")
    assert check(one.json, "event") == event
    changed = program.post(f"/v1/customers/{made.json['id']}", {"name": "Bea"})  # type: ignore[index]
    newest = _list(program, limit=1)["data"][0]
    assert newest["data"]["previous_attributes"] == {"name": "Ada"}
    assert newest["request"] == {"id": changed.headers["Request-Id"], "idempotency_key": None}


def test_what_no_program_asked_for_names_no_request(lite_app: Flask) -> None:
    scene = world.scene()
    from portal_site.billing.customers import billing_information

    billing_information.update_billing_information(scene.customer.id, {"name": "New"}, clock.now())
    program = Program(lite_app, scene.account_id)
    assert _list(program)["data"][0]["request"] == {"id": None, "idempotency_key": None}


def test_the_filters_of_the_list(app: Flask) -> None:
    program = new_program(app)
    with time_machine.travel(clock.now() - 31 * DAY, tick=False):
        new_customer(program, name="Too old")
    _pay(program)
    customer = new_customer(program)
    assert "customer.created" in _kinds(program)
    assert len(_kinds(program, type="customer.created")) == 1
    assert _kinds(program, type="charge.*") == ["charge.succeeded"]
    assert set(_kinds(program, type="*.created")) == {"payment_intent.created", "customer.created"}
    assert _kinds(program, type="nothing.happened") == []
    both = {"types[]": "charge.succeeded", "types[1]": "customer.created"}
    assert _kinds(program, **both) == ["customer.created", "charge.succeeded"]
    assert len(_kinds(program, **{"created[gt]": clock.now() - 60})) > 3
    assert _kinds(program, **{"created[gt]": clock.now() + 60}) == []
    page, seen = _list(program, limit=2), []
    while True:
        seen += [one["id"] for one in page["data"]]
        if not page["has_more"]:
            break
        page = _list(program, limit=2, starting_after=seen[-1])
    assert seen == [one["id"] for one in _list(program, limit=100)["data"]]
    back = _list(program, limit=2, ending_before=seen[2])
    assert [one["id"] for one in back["data"]] == seen[:2]
    assert page["url"] == "/v1/events"
    assert customer


def test_what_the_list_refuses(lite_app: Flask) -> None:
    program = new_program(lite_app)
    assert error(program.get("/v1/events", {"type": "a", "types[]": "b"}))[0] == 400
    many = {f"types[{number}]": "charge.succeeded" for number in range(21)}
    assert error(program.get("/v1/events", many))[::3] == (400, "types")
    assert error(program.get("/v1/events", {"delivery_success": "maybe"}))[0] == 400
    assert error(program.get("/v1/events/evt_none"))[::2] == (404, "resource_missing")
    assert program.get("/v1/events", {"expand[]": "data.data.object"}).status_code == 400


def test_the_log_of_what_people_did_is_no_event(lite_app: Flask) -> None:
    program = new_program(lite_app)
    assert _kinds(program) == []  # the key's creation is in the log
    with reading() as reader:
        stored = reader.execute(select(Event.id).where(Event.type == "api_key.created")).scalars().first()
    assert error(program.get(f"/v1/events/{stored}"))[0] == 404


def test_pending_webhooks_and_delivery_success(app: Flask) -> None:
    program = new_program(app)
    account_id, at = program.key.account_id, clock.now()
    made = endpoints.create(account_id, False, HOOK, at).row
    for name in ("Ada", "Bea", "Cleo"):
        new_customer(program, name=name)
    assert [one["pending_webhooks"] for one in _list(program)["data"]] == [1, 1, 1]
    assert len(_kinds(program, delivery_success="false")) == 3
    row = queue.claim(made.id, at)
    assert row is not None
    jobs = queue.next_batch(row, at).jobs
    for job, outcome in zip(jobs, (queue.Outcome(200), queue.Outcome(500, "it answered 500")), strict=False):
        queue.record(row, job, outcome, at, lambda *_: None)
    assert [one["pending_webhooks"] for one in _list(program)["data"]] == [1, 1, 0]
    names = [one["data"]["object"]["name"] for one in _list(program, delivery_success="false")["data"]]
    assert names == ["Cleo", "Bea"]
    names = [one["data"]["object"]["name"] for one in _list(program, delivery_success="true")["data"]]
    assert names == ["Ada"]


def test_sending_again(app: Flask) -> None:
    program = new_program(app)
    event_id = [new_customer(program), _list(program)["data"][0]["id"]][1]
    made = endpoints.create(program.key.account_id, False, HOOK, clock.now()).row
    again = program.post(f"/v1/events/{event_id}/retry", {"webhook_endpoint": made.id})
    assert check(again.json, "event")["pending_webhooks"] == 1
    assert [row.event_id for row in queue.deliveries_of(made, 10)] == [event_id]
    new_customer(program)
    newest = _list(program)["data"][0]["id"]
    twice = program.post(f"/v1/events/{newest}/retry", {"webhook_endpoint": made.id})
    assert check(twice.json, "event")["pending_webhooks"] == 1  # it waits for the same endpoint
    assert error(program.post(f"/v1/events/{event_id}/retry"))[::2] == (400, "parameter_missing")
    unknown = program.post(f"/v1/events/{event_id}/retry", {"webhook_endpoint": "we_none"})
    assert error(unknown)[::2] == (400, "resource_missing")


@pytest.mark.case("B1")
def test_another_account_sees_nothing(app: Flask) -> None:
    program, other = new_program(app), new_program(app, "Other")
    new_customer(program)
    event_id = _list(program)["data"][0]["id"]
    hook = endpoints.create(other.key.account_id, False, HOOK, clock.now()).row
    assert _list(other)["data"] == []
    assert error(other.get(f"/v1/events/{event_id}"))[0] == 404
    assert error(other.post(f"/v1/events/{event_id}/retry", {"webhook_endpoint": hook.id}))[0] == 404
    assert error(program.post(f"/v1/events/{event_id}/retry", {"webhook_endpoint": hook.id}))[0] == 400
    live = Program(app, program.key.account_id, livemode=True)
    assert _list(live)["data"] == []
    assert error(other.get("/v1/events", {"starting_after": event_id}))[::2] == (400, "resource_missing")


def test_the_list_has_its_index(app: Flask) -> None:
    program = new_program(app)
    for owner in (program, new_program(app, "Other"), new_program(app, "Third")):
        many_events(owner.key.account_id, 2000, clock.now())
    own = Event.account_id == program.key.account_id, Event.livemode.is_(False), Event.created > 0
    for names in (types.TYPES, types.matching("charge.*")):
        query = (
            select(Event).where(*own, Event.type.in_(names)).order_by(Event.created.desc(), Event.id.desc()).limit(11)
        )
        found = plan(query, "events", unused=True)
        assert "ix_events_list" in found
        assert "TEMP B-TREE" not in found


@pytest.mark.parametrize(
    ("pattern", "count"),
    [
        ("*", len(types.TYPES)),
        ("charge.*", 13),
        ("*.deleted", 15),
        ("customer.*.created", 4),
        ("charge.succeeded", 1),
        ("x", 0),
    ],
)
def test_patterns_of_types(pattern: str, count: int) -> None:
    found = types.matching(pattern)
    assert set(found) <= types.KNOWN
    assert len(found) == count, found
