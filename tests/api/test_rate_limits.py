"""Rate limits of the API: per key, reading and writing apart, and per network for keys that do not work."""

from typing import Any

import pytest
import stripe
import time_machine
from flask import Flask

from portal_site.rate_limits.rules import WRONG_KEYS
from tests import world
from tests.api.calls import SESSIONS, Program, error
from tests.web.test_server import running

NOW = time_machine.travel(1_790_000_000, tick=False)
TOO_MANY = "Too many requests hit the API too quickly. We recommend an exponential backoff of your requests."


@NOW
@pytest.mark.parametrize(("livemode", "most"), [(False, 25), (True, 100)], ids=["test", "live"])
def test_a_key_may_read_so_often_in_a_second_and_write_besides(real_rates: Flask, livemode: bool, most: int) -> None:
    account_id = world.scene().account_id
    program, other = (Program(real_rates, account_id, livemode=livemode) for _ in range(2))
    answers = [program.get("/v1/customers") for _ in range(most + 1)]
    assert [answer.status_code for answer in answers] == [200] * most + [429]
    assert error(answers[-1]) == (429, TOO_MANY, "rate_limit", None)
    assert answers[-1].json["error"]["type"] == "invalid_request_error"  # type: ignore[index]
    assert answers[-1].headers["Retry-After"] == "1"
    assert answers[-1].headers["Stripe-Should-Retry"] == "true"
    assert answers[-1].headers["Request-Id"]
    assert program.get("/v1/nothing").status_code == 429
    assert other.get("/v1/customers").status_code == 200
    writes = [program.post(SESSIONS, {"customer": "cus_none"}).status_code for _ in range(most + 1)]
    assert writes == [400] * most + [429]
    with time_machine.travel(1_790_000_001, tick=False):
        assert program.get("/v1/customers").status_code == 200


@NOW
def test_a_network_that_tries_keys_is_refused_but_a_key_that_has_worked_is_not(real_rates: Flask) -> None:
    program = Program(real_rates, world.scene().account_id)
    limits = real_rates.extensions["rate_limits"]
    limits.set_rate(WRONG_KEYS, "3 per minute")
    assert program.get("/v1/customers").status_code == 200

    def guess(number: int) -> Any:
        sent = {"Authorization": f"Bearer sk_live_{number:044}"}
        return real_rates.test_client().get("/v1/customers", headers=sent)

    answers = [guess(number) for number in range(4)]
    assert [answer.status_code for answer in answers] == [401] * 3 + [429]
    assert (answers[-1].headers["Retry-After"], answers[-1].headers["Stripe-Should-Retry"]) == ("60", "false")
    assert real_rates.test_client().get("/v1/customers").status_code == 429
    assert program.get("/v1/customers").status_code == 200
    elsewhere = {"environ_base": {"REMOTE_ADDR": "203.0.113.1"}}
    assert real_rates.test_client().get("/v1/customers", **elsewhere).status_code == 401
    with time_machine.travel(1_790_000_060, tick=False):
        assert guess(9).status_code == 401


def test_stripe_python_raises_its_own_error_and_waits_if_it_may_retry(real_rates: Flask) -> None:
    program = Program(real_rates, world.scene().account_id)
    limits = real_rates.extensions["rate_limits"]
    with running(real_rates) as (_host, port):
        address = {"api": f"http://127.0.0.1:{port}"}

        def client(retries: int) -> Any:
            return stripe.StripeClient(program.token, base_addresses=address, max_network_retries=retries)  # type: ignore[arg-type]

        limits.set_rate("api reading, test", "1 per hour")
        assert client(0).v1.customers.list()
        with pytest.raises(stripe.RateLimitError) as refused:
            client(2).v1.customers.list()
        limits.set_rate("api reading, test", "1 per second")
        assert [client(2).v1.customers.list().object for _ in range(2)] == ["list", "list"]
    assert (refused.value.http_status, refused.value.error.code) == (429, "rate_limit")  # type: ignore[union-attr]
    assert refused.value.headers["Stripe-Should-Retry"] == "false"  # type: ignore[index]
