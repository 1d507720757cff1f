"""Logging in with a code, as the tests do it, with the worker's part in between."""

import json
import re
from dataclasses import replace
from typing import Any

import pytest
import time_machine
from flask import Flask
from sqlalchemy import select

from portal_site import encryption
from portal_site.billing.models import PortalConfiguration
from portal_site.mail import login_codes, outbox
from portal_site.mail.models import Email
from tests import world
from tests.client import PortalClient
from tests.operators import set_login_page
from tests.world import reading

AT = world.HALF
NOW = time_machine.travel(AT, tick=False)
EMAIL = "hedda@acme.example"


@pytest.fixture(autouse=True)
def mail_is_on(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    app = request.getfixturevalue("app" if "app" in request.fixturenames else "lite_app")
    settings = replace(app.config["SETTINGS"], smtp_url="smtp://127.0.0.1:1?tls=none")
    monkeypatch.setitem(app.config, "SETTINGS", settings)


def login_page(shop: world.Shop) -> str:
    """The URL of the shop's login page."""
    with reading() as reader:
        mine = PortalConfiguration.account_id == shop.customer.account_id
        configuration_id = reader.execute(select(PortalConfiguration.id).where(mine)).scalar_one()
    return f"/login/{set_login_page(configuration_id, enabled=True, new_url=False, at=AT)}"


def ask(app: Flask, page: str, email: str = EMAIL) -> tuple[PortalClient, Any]:
    client: PortalClient = app.test_client()  # type: ignore[assignment]
    client.get(page)
    return client, client.send(page, {"email": email})


def mails(app: Flask) -> list[tuple[str, str]]:
    """Let the worker answer: the codes and texts of the e-mails that wait."""
    with app.test_request_context(base_url="http://127.0.0.1:8000"):
        login_codes.answer_requests(AT)
    with reading() as reader:
        every = select(Email.content, Email.recipients).order_by(Email.created, Email.id)
        rows = reader.execute(every.execution_options(unscoped="a test")).all()
    texts = [json.loads(encryption.decrypt(outbox.PURPOSE, content) or "") for content, _to in rows]
    return [(re.search(r"\b\d{6}\b", subject)[0], body) for subject, body, *_rest in texts]  # type: ignore[index]


def enter_code(client: PortalClient, page: str, code: str) -> Any:
    client.get(f"{page}/code")
    return client.send(f"{page}/code", {"code": code})
