"""Who is told that an endpoint was disabled, and Stripe's library for Node as a receiver."""

import json
import shutil
import subprocess
from dataclasses import replace

import pytest
from flask import Flask
from sqlalchemy import select

from portal_site.billing.webhooks import endpoints
from portal_site.billing.webhooks.queue import PATIENCE
from portal_site.mail import outbox
from portal_site.mail.models import Email
from portal_site.staff.roles import Role
from tests.dashboard.staff import employ
from tests.webhooks.conftest import AT, Hook
from tests.world import reading

NODE = """
const stripe = require('stripe')('sk_test_x');
const read = secret => {
  try { return stripe.webhooks.constructEvent(process.argv[1], process.argv[2], secret, 10 ** 12).type; }
  catch (error) { return error.type; }
};
console.log(JSON.stringify([read(process.argv[3]), read('whsec_other')]));
"""


def _emails() -> list[Email]:
    with reading() as reader:
        rows = reader.execute(select(Email.__table__).where(Email.kind == "webhook_endpoint_disabled")).all()
    return [Email(**row._mapping) for row in rows]


@pytest.mark.case("E7")
@pytest.mark.parametrize("is_mailed", [True, False])
def test_those_who_may_manage_keys_are_told_once(
    lite_app: Flask, lite_shop: Hook, monkeypatch: pytest.MonkeyPatch, is_mailed: bool
) -> None:
    url = "smtp://127.0.0.1:25?tls=none" if is_mailed else ""
    monkeypatch.setitem(lite_app.config, "SETTINGS", replace(lite_app.config["SETTINGS"], smtp_url=url))
    for role in Role:
        employ(lite_shop.account_id, role, f"{role}@lumen.example", role.capitalize())
    lite_shop.receiver.usual = 500
    lite_shop.happen("Ada")
    lite_shop.send()
    assert _emails() == []
    with lite_app.test_request_context(base_url="http://127.0.0.1:8000"):
        lite_shop.send(AT + PATIENCE)
    assert endpoints.get(lite_shop.account_id, False, lite_shop.row.id).status == "disabled"
    told = {email.recipients["to"][0]: email for email in _emails()}
    assert set(told) == ({"owner@lumen.example", "admin@lumen.example"} if is_mailed else set())
    for email in told.values():
        content = outbox.content_of(email)
        assert content is not None
        assert lite_shop.row.url in content.text
        assert f"/dashboard/{lite_shop.account_id}/test/webhooks/{lite_shop.row.id}" in content.text
    assert endpoints.given_up() == [(lite_shop.row.id, lite_shop.account_id)]
    lite_shop.send(AT + 2 * PATIENCE)
    assert len(_emails()) == len(told)


def test_stripe_node_accepts_a_delivery(lite_shop: Hook) -> None:
    node = shutil.which("node")
    if node is None or subprocess.run([node, "-e", "require('stripe')"], capture_output=True, check=False).returncode:
        pytest.skip("node, or its module stripe, is not here: `npm install stripe`, and NODE_PATH says where")
    lite_shop.happen("Ada")
    lite_shop.send()
    [delivery] = lite_shop.receiver.deliveries
    words = [delivery.body.decode(), delivery.headers["Stripe-Signature"], lite_shop.secret]
    done = subprocess.run([node, "-e", NODE, *words], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == ["customer.created", "StripeSignatureVerificationError"]
