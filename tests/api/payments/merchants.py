"""A merchant's program that makes payments, and what it looks at afterwards."""

from typing import Any

from flask import Flask
from sqlalchemy import select
from werkzeug.test import TestResponse

from portal_site.billing.models import Event
from tests import world
from tests.api.calls import Program, path_of
from tests.api.payments.shapes import check
from tests.client import PortalClient
from tests.world import reading


def new_program(app: Flask, name: str = "Acme", **rights: str) -> Program:
    """The program of a new merchant's."""
    with world.merchant(name) as made:
        account_id = made.account.id
    return Program(app, account_id, **rights)


def post(program: Program, path: str, schema: str, **data: Any) -> Any:
    """What was made: an answer that is checked. Names of parameters are written with `__` in the place of brackets."""
    sent = {}
    for name, value in data.items():
        first, *inner = name.split("__")
        sent["".join([first, *(f"[{part}]" for part in inner)])] = value
    response = program.post(path, sent)
    assert response.status_code == 200, response.text
    return check(response.json, schema)


def get(program: Program, path: str, schema: str, **data: Any) -> Any:
    """An answer that is checked."""
    response = program.get(path, data or None)
    assert response.status_code == 200, response.text
    return check(response.json, schema)


def new_customer(program: Program, **members: Any) -> str:
    """The id of a new customer."""
    return str(post(program, "/v1/customers", "customer", **{"name": "Ada", **members})["id"])


def attached(program: Program, customer_id: str, name: str = "pm_card_visa") -> str:
    """The id of a payment method that is made of a test card's name."""
    made = post(program, f"/v1/payment_methods/{name}/attach", "payment_method", customer=customer_id)
    return str(made["id"])


def browser(app: Flask) -> PortalClient:
    """A browser of somebody who is at the sandbox's pages."""
    return PortalClient(app, use_cookies=True)


def answer(client: PortalClient, url: str, **data: str) -> TestResponse:
    """Send the form of a page of the sandbox's; the page to which that leads."""
    assert client.get(path_of(url)).status_code == 200
    sent = client.send(path_of(url), data)
    assert sent.status_code == 303, sent.text
    return client.get(path_of(sent.location))


def events(program: Program) -> list[tuple[str, Any]]:
    """The account's events of payments, oldest first, as type and object."""
    query = select(Event.type, Event.data).where(Event.account_id == program.key.account_id).order_by(Event.sequence)
    with reading() as connection:
        return [(kind, data["object"]) for kind, data in connection.execute(query) if not kind.startswith("api_key")]


def kinds(program: Program, since: int = 0) -> list[str]:
    """The types of the events after so many."""
    return [kind for kind, _object in events(program)][since:]
