"""What `stripe trigger` of Stripe's command-line tool sends, as it sends it, and the tool itself where there is one.

Each chain ends in the event that it is named after, which is listed, has the shape of the API, and can be sent to an endpoint.
"""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from tests import world
from tests.api.calls import Program
from tests.api.payments.merchants import get, new_program
from tests.api.payments.shapes import check
from tests.web.test_server import running

Step = tuple[str, str, dict[str, str]]
TOOL = os.environ.get("PORTAL_TEST_STRIPE_CLI") or shutil.which("stripe")
NO_TOOL = pytest.mark.skipif(
    TOOL is None, reason="Stripe's command-line tool is not here: PORTAL_TEST_STRIPE_CLI names it"
)
SAYS = {"description": "(created by Stripe CLI)"}
CARD = {**SAYS, "payment_method_types[]": "card"}
CUSTOMER: Step = ("POST", "/v1/customers", SAYS)
METHOD: Step = ("POST", "/v1/payment_methods/pm_card_visa/attach", {"customer": "{0}"})
PAYS = {**CARD, "amount": "2000", "currency": "usd", "confirm": "true", "payment_method": "pm_card_visa"}
SHIPPING = {
    "shipping[name]": "Jenny Rosen", "shipping[address][postal_code]": "94103",
    "shipping[address][city]": "San Francisco", "shipping[address][state]": "CA", "shipping[address][country]": "US",
    "shipping[address][line1]": "510 Townsend St",
}  # fmt: skip
INTENTS, SETUPS = "/v1/payment_intents", "/v1/setup_intents"
REQUESTED = {"cancellation_reason": "requested_by_customer"}
CHAINS: dict[str, list[Step]] = {
    "customer.created": [CUSTOMER],
    "customer.updated": [CUSTOMER, ("POST", "/v1/customers/{0}", {"metadata[foo]": "bar"})],
    "customer.deleted": [CUSTOMER, ("DELETE", "/v1/customers/{0}", {})],
    "payment_method.attached": [CUSTOMER, METHOD],
    "payment_method.detached": [CUSTOMER, METHOD, ("POST", "/v1/payment_methods/{1}/detach", {})],
    "payment_intent.created": [("POST", INTENTS, {**CARD, "amount": "2000", "currency": "usd"})],
    "payment_intent.canceled": [
        ("POST", INTENTS, {**SAYS, "amount": "2000", "currency": "usd"}), ("POST", INTENTS + "/{0}/cancel", REQUESTED),
    ],
    "payment_intent.succeeded": [("POST", INTENTS, {**PAYS, **SHIPPING})],
    "payment_intent.payment_failed": [("POST", INTENTS, {**PAYS, "payment_method": "pm_card_chargeDeclined"})],
    "charge.succeeded": [("POST", INTENTS, {**PAYS, **SHIPPING})],
    "charge.failed": [("POST", INTENTS, {**PAYS, "payment_method": "pm_card_visa_chargeDeclined"})],
    "charge.refunded": [("POST", INTENTS, {**PAYS, "amount": "100"}), ("POST", "/v1/refunds", {"payment_intent": "{0}"})],
    "setup_intent.created": [("POST", SETUPS, CARD)],
    "setup_intent.canceled": [("POST", SETUPS, CARD), ("POST", SETUPS + "/{0}/cancel", REQUESTED)],
    "setup_intent.succeeded": [("POST", SETUPS, {**CARD, "confirm": "true", "payment_method": "pm_card_visa"})],
    "setup_intent.setup_failed": [
        ("POST", SETUPS, {**CARD, "confirm": "true", "payment_method": "pm_card_chargeDeclined"})
    ],
}  # fmt: skip
DECLINED = {"payment_intent.payment_failed", "charge.failed", "setup_intent.setup_failed"}
each_chain = pytest.mark.parametrize("kind", CHAINS)


@each_chain
def test_what_the_tool_sends_ends_in_its_event(lite_app: Flask, kind: str) -> None:
    program, made = new_program(lite_app), []
    for method, path, data in CHAINS[kind]:
        sent = {name: value.format(*made) for name, value in data.items()}
        answer = program.call(method, path.format(*made), sent)
        assert answer.status_code == (402 if kind in DECLINED else 200), answer.text
        made.append((answer.json or {}).get("id"))
    _check(program, kind)


def _check(program: Program, kind: str) -> Any:
    [event] = get(program, "/v1/events", "event", type=kind)["data"]
    check(event, "event")
    assert event["request"]["id"].startswith("req_")
    return event


@NO_TOOL
def test_the_tool_itself(lite_app: Flask, sqlite_app: Flask, tmp_path: Path) -> None:
    with world.merchant() as made:
        account_id = made.account.id
    program = Program(lite_app, account_id)
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "STRIPE_CLI_TELEMETRY_OPTOUT": "1"}
    with running(sqlite_app) as (_host, port):
        there = ["--api-base", f"http://127.0.0.1:{port}", "--api-key", program.token]
        for kind in CHAINS:
            done = subprocess.run(
                [str(TOOL), "trigger", kind, *there],
                env=environment,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert done.returncode == 0 or kind in DECLINED, (kind, done.stdout, done.stderr)
            assert get(program, "/v1/events", "event", type=kind)["data"], (kind, done.stdout, done.stderr)
