"""Stripe's own SDKs against a running server: only their base address is changed."""

import json
import shlex
import shutil
import subprocess
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest
import stripe
from flask import Flask

from tests import world
from tests.api.calls import Program
from tests.web.processes import README
from tests.web.test_server import running

NODE = """
const stripe = require('stripe')(process.argv[1], {host: '127.0.0.1', port: process.argv[2], protocol: 'http'});
(async () => {
  const session = await stripe.billingPortal.sessions.create({customer: process.argv[3], expand: ['configuration']});
  const customers = [];
  for await (const customer of stripe.customers.list({limit: 1})) customers.push(customer.id);
  let refusal;
  try { await stripe.customers.retrieve('cus_none'); } catch (error) { refusal = [error.type, error.code, error.param]; }
  console.log(JSON.stringify({session, customers, refusal}));
})();
"""


@pytest.fixture
def port(sqlite_app: Flask) -> Iterator[int]:
    """The port of a server for the app."""
    with running(sqlite_app) as (_host, port):
        yield port


def _opens(app: Flask, url: str) -> bool:
    assert url.startswith(f"{app.config['SETTINGS'].base_url}/p/session/")  # wherever the request came to
    client = app.test_client()
    return client.get("/p/session/" + url.rpartition("/")[2]).status_code == 303 and client.get("/").status_code == 200


@pytest.mark.case("E12")
def test_stripe_python_makes_a_link_that_opens_the_portal(lite_app: Flask, port: int) -> None:
    scene = world.scene()
    client: Any = stripe.StripeClient(
        Program(lite_app, scene.account_id).token, base_addresses={"api": f"http://127.0.0.1:{port}"}
    )
    session = client.v1.billing_portal.sessions.create({"customer": scene.customer.id, "expand": ["configuration"]})
    assert session.configuration.object == "billing_portal.configuration"
    assert _opens(lite_app, session.url)
    options = {"idempotency_key": "mine"}
    first, again = (
        client.v1.billing_portal.sessions.create({"customer": scene.customer.id}, options) for _ in range(2)
    )
    assert (first.id, first.url) == (again.id, again.url)
    assert again.last_response.headers["Idempotent-Replayed"] == "true"


@pytest.mark.case("E12")
def test_stripe_python_reads_what_there_is_and_understands_refusals(lite_app: Flask, port: int) -> None:
    with world.merchant() as made:
        ids = [made.customer(f"Customer {n}", "same@acme.example", "one of many").id for n in range(5)]
    base = {"api": f"http://127.0.0.1:{port}"}
    client: Any = stripe.StripeClient(Program(lite_app, made.account.id).token, base_addresses=base)
    listed = client.v1.customers.list({"email": "same@acme.example", "limit": 2})
    assert sorted(customer.id for customer in listed.auto_paging_iter()) == sorted(ids)
    assert client.v1.customers.retrieve(ids[0]).name == "Customer 0"
    assert [one.is_default for one in client.v1.billing_portal.configurations.list().auto_paging_iter()] == [True]
    with pytest.raises(stripe.InvalidRequestError) as missing:
        client.v1.customers.retrieve("cus_none")
    assert (missing.value.code, missing.value.param, missing.value.http_status) == ("resource_missing", "id", 404)
    assert missing.value.request_id
    with pytest.raises(stripe.IdempotencyError):
        for locale in ("fr", "en"):
            client.v1.billing_portal.sessions.create({"customer": ids[0], "locale": locale}, {"idempotency_key": "k"})
    stranger: Any = stripe.StripeClient("sk_test_" + "x" * 44, base_addresses=base)
    with pytest.raises(stripe.AuthenticationError):
        stranger.v1.customers.list()
    reader: Any = stripe.StripeClient(Program(lite_app, made.account.id, customers="read").token, base_addresses=base)
    with pytest.raises(stripe.PermissionError):
        reader.v1.billing_portal.sessions.create({"customer": ids[0]})


def test_stripe_python_acts_for_a_connected_account(lite_app: Flask, port: int) -> None:
    with world.merchant("Platform") as platform:
        platform.customer("Pia", "pia@acme.example", "of the platform")
    with world.merchant("Corner Shop", platform_id=platform.account.id) as shop:
        customer_id = shop.customer("Sam", "sam@acme.example", "of the connected account").id
    base, token = {"api": f"http://127.0.0.1:{port}"}, Program(lite_app, platform.account.id).token
    client: Any = stripe.StripeClient(token, base_addresses=base)
    options = {"stripe_account": shop.account.id}
    assert [one.id for one in client.v1.customers.list(None, options).auto_paging_iter()] == [customer_id]
    session = client.v1.billing_portal.sessions.create({"customer": customer_id}, options)
    assert session.last_response.headers["Stripe-Account"] == shop.account.id
    assert _opens(lite_app, session.url)
    of_shop: Any = stripe.StripeClient(token, base_addresses=base, stripe_account=shop.account.id)
    assert of_shop.v1.customers.search({"query": "email:'sam@acme.example'"}).data[0].id == customer_id
    with pytest.raises(stripe.PermissionError) as refused:
        client.v1.customers.list(None, {"stripe_account": "acct_none"})
    assert (refused.value.json_body["error"]["code"], refused.value.http_status) == ("account_invalid", 403)


@pytest.mark.case("E12")
def test_stripe_node_makes_a_link_that_opens_the_portal(lite_app: Flask, port: int) -> None:
    node = shutil.which("node")
    if node is None or subprocess.run([node, "-e", "require('stripe')"], capture_output=True, check=False).returncode:
        pytest.skip("node, or its module stripe, is not here: `npm install stripe`, and NODE_PATH says where")
    scene = world.scene()
    token = Program(lite_app, scene.account_id).token
    command = [node, "-e", NODE, token, str(port), scene.customer.id]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    found = json.loads(result.stdout)
    assert _opens(lite_app, found["session"]["url"])
    assert found["session"]["configuration"]["object"] == "billing_portal.configuration"
    assert found["customers"] == [scene.customer.id]
    assert found["refusal"] == ["StripeInvalidRequestError", "resource_missing", "id"]


def _lines_of_readme(language: str) -> str:
    """The lines for this language in the part of the README about links, as they stand there."""
    part = README.partition("## Links from your own program")[2].partition("\n## ")[0]
    blocks = [block for block in part.split("\n\n") if block.startswith("    ")]
    return textwrap.dedent(next(block for block in blocks if language in block))


def _here(lines: str, token: str, customer_id: str, port: int) -> str:
    """The lines with a key and a customer that exist, for the server that runs here."""
    return (
        lines.replace("sk_test_…", token).replace("cus_…", customer_id)
        .replace("https://billing.example.com", f"http://127.0.0.1:{port}")
    )  # fmt: skip


def test_the_readmes_lines_for_python_and_curl_work(lite_app: Flask, port: int) -> None:
    scene = world.scene()
    token = Program(lite_app, scene.account_id, customer_portal="write").token
    sent_to: list[str] = []
    exec(_here(_lines_of_readme("# Python"), token, scene.customer.id, port), {"redirect": sent_to.append})
    assert _opens(lite_app, sent_to[0])
    if shutil.which("curl") is None:
        pytest.skip("curl is not here")
    command = shlex.split(_here(_lines_of_readme("curl"), token, scene.customer.id, port), comments=True)
    result = subprocess.run([*command, "--silent"], capture_output=True, text=True, timeout=60, check=True)
    assert _opens(lite_app, json.loads(result.stdout)["url"])
