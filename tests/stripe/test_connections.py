"""Connecting an account to Stripe: keys are checked before they are stored, encrypted, and never shown; a whole payment."""

from collections.abc import Iterator
from typing import Any

import pytest
import time_machine
from flask import Flask
from sqlalchemy import select

from portal_site import encryption
from portal_site.billing.billing_run import runner
from portal_site.billing.customers import payment_methods
from portal_site.billing.errors import BillingError, GatewayUnavailable, NotFound
from portal_site.billing.events.actors import ActorType, acting_as
from portal_site.billing.gateways.registry import Gateways
from portal_site.billing.gateways.stripe import client, connections
from portal_site.billing.gateways.stripe.connections import StripeConnector
from portal_site.billing.gateways.stripe.models import StripeConnection
from portal_site.billing.models import Customer, Event, Invoice, PaymentAttempt, PaymentMethod, ProviderEvent
from portal_site.billing.payments import provider_events
from portal_site.db.transactions import transaction
from tests import world
from tests.stripe.double import KEY, Double, Refused
from tests.world import reading

AT = world.HALF
BACK = "http://127.0.0.1:8000/back"


@pytest.fixture
def account_id(app: Flask) -> Iterator[str]:
    with time_machine.travel(AT, tick=False), acting_as(ActorType.OPERATOR):
        yield str(world.scene().account_id)


def _row(account_id: str) -> StripeConnection:
    row = connections.find(account_id, False)
    assert row is not None
    return row


def test_a_key_is_checked_and_stored_encrypted(
    app: Flask, account_id: str, connector: StripeConnector, caplog: pytest.LogCaptureFixture
) -> None:
    report = connections.connect(connector, account_id, False, f" {KEY} ", AT)
    assert (report.stripe_account, report.country, report.currency, report.missing) == ("acct_double", "FR", "eur", ())
    row = _row(account_id)
    assert (row.redacted, row.fault, row.checked_at) == ("sk_test_…uble", None, AT)
    assert KEY not in row.secret_key
    assert encryption.decrypt("stripe", row.secret_key) == KEY
    with reading() as reader:
        stored = reader.execute(select(Event.type, Event.data).where(Event.account_id == account_id)).all()
    assert "gateway.connected" in [one.type for one in stored]
    assert KEY not in repr(stored) + caplog.text


@pytest.mark.case("F15")
def test_a_key_survives_another_secret_key(app: Flask, account_id: str, connector: StripeConnector) -> None:
    connections.connect(connector, account_id, False, KEY, AT)
    before = app.config["SECRET_KEY"]
    try:
        app.config.update(SECRET_KEY="x" * 48, SECRET_KEY_FALLBACKS=[before])
        assert connections.check(connector, account_id, False, AT).stripe_account == "acct_double"
        app.config.update(SECRET_KEY_FALLBACKS=[])
        with pytest.raises(GatewayUnavailable, match="another secret key"):
            connections.check(connector, account_id, False, AT)
    finally:
        app.config.update(SECRET_KEY=before, SECRET_KEY_FALLBACKS=[])


@pytest.mark.parametrize(
    ("key", "livemode", "said"),
    [
        ("", False, "This is no key of Stripe’s."),
        ("sk_nonsense", False, "This is no key of Stripe’s."),
        ("whsec_test_x", False, "This is no key of Stripe’s."),
        ("pk_test_123", False, "This is a publishable key."),
        ("sk_live_123", False, "This key is for live mode."),
        ("rk_live_123", False, "This key is for live mode."),
        (KEY, True, "This key is for test mode."),
        ("sk_test_ünïcode", False, "This is no key of Stripe’s."),
        ("sk_test_" + "x" * 400, False, "This is no key of Stripe’s."),
        ("sk_test_revoked", False, "Stripe does not know this key."),
    ],
)
def test_what_is_no_key_of_this_mode_is_refused_with_a_sentence(
    account_id: str, connector: StripeConnector, key: str, livemode: bool, said: str
) -> None:
    with pytest.raises(BillingError, match=said):
        connections.connect(connector, account_id, livemode, key, AT)
    assert connections.find(account_id, livemode) is None


@pytest.mark.parametrize("acts_for", ["acct_…", "acct", "acct_1 2", "nonsense", "acct_ü"])
def test_an_account_to_act_for_that_is_none_is_refused_at_its_field(
    account_id: str, connector: StripeConnector, acts_for: str
) -> None:
    with pytest.raises(BillingError, match="is written like acct_") as refused:
        connections.connect(connector, account_id, False, KEY, AT, acts_for)
    assert refused.value.param == "acts_for"


def test_an_account_that_the_key_may_not_act_for_is_said_at_its_field(
    account_id: str, connector: StripeConnector, double: Double, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_given: object) -> Any:
        raise Refused(403, code="account_invalid")

    monkeypatch.setattr(double, "_do", refuse)
    with pytest.raises(BillingError, match="has no access to this account") as refused:
        connections.connect(connector, account_id, False, KEY, AT, "acct_another")
    assert refused.value.param == "acts_for"


def test_a_restricted_key_names_the_rights_that_it_lacks(
    account_id: str, connector: StripeConnector, double: Double
) -> None:
    double.lacks |= {"refunds", "payment_intents"}
    with pytest.raises(BillingError, match="PaymentIntents: write, Charges and Refunds: write"):
        connections.connect(connector, account_id, False, KEY, AT)
    double.lacks = {"account"}
    with pytest.raises(BillingError, match="Account: read"):
        connections.connect(connector, account_id, False, KEY, AT)
    double.lacks = set()
    connections.connect(connector, account_id, False, KEY, AT)
    double.lacks = {"refunds"}
    assert connections.check(connector, account_id, False, AT + 60).missing == ("Charges and Refunds: write",)
    assert connections.faults() == [(account_id, False, "It is missing: Charges and Refunds: write.")]
    double.lacks = set()
    connections.check(connector, account_id, False, AT + 120)
    assert connections.faults() == []


def test_a_key_of_another_account_at_stripe_is_refused(
    account_id: str, connector: StripeConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    connections.connect(connector, account_id, False, KEY, AT)
    with pytest.raises(BillingError, match="another account at Stripe"):
        connections.connect(connector, account_id, False, KEY, AT, acts_for="acct_connected")
    assert _row(account_id).acts_for is None
    connections.disconnect(account_id, False, AT)
    assert connections.find(account_id, False) is None
    with pytest.raises(NotFound):
        connections.disconnect(account_id, False, AT)


@pytest.mark.case("F15")
def test_the_secret_for_events_is_rolled(account_id: str, connector: StripeConnector) -> None:
    with pytest.raises(NotFound):
        connections.set_endpoint_secret(account_id, False, "whsec_one", AT)
    connections.connect(connector, account_id, False, KEY, AT)
    for wrong in ("", "sk_test_x", "whsec_é", "whsec_" + "x" * 300):
        with pytest.raises(BillingError, match="no secret of an endpoint"):
            connections.set_endpoint_secret(account_id, False, wrong, AT)
    connections.set_endpoint_secret(account_id, False, " whsec_one ", AT)
    connections.set_endpoint_secret(account_id, False, "whsec_two", AT + 60)
    row = _row(account_id)
    stored = [encryption.decrypt("stripe", secret or "") for secret in (row.webhook_secret, row.former_secret)]
    assert stored == ["whsec_two", "whsec_one"]
    assert row.former_secret_until == AT + 60 + 24 * 3600
    connections.connect(connector, account_id, False, KEY, AT + 120)  # the same key again keeps it
    assert _row(account_id).webhook_secret == row.webhook_secret


def test_while_stripe_is_silent_nothing_is_stored(account_id: str, connector: StripeConnector, double: Double) -> None:
    double.faults[:] = ["drop"]
    with pytest.raises(GatewayUnavailable):
        connections.connect(connector, account_id, False, KEY, AT)
    assert connections.find(account_id, False) is None


def _gateways(app: Flask, connector: StripeConnector) -> Gateways:
    return Gateways(connector, app.extensions["gateways"].shared("sandbox"))


def _with_card(app: Flask, gateways: Gateways, double: Double, number: str) -> Customer:
    """A customer whose default card was entered at Stripe, and whose subscription renews."""
    shop = world.shop()
    connector = gateways.connector("stripe")
    assert isinstance(connector, StripeConnector)
    connections.connect(connector, shop.customer.account_id, False, KEY, AT)
    setups: list[str] = []
    payment_methods.begin_adding(gateways, shop.customer.id, AT, lambda name: setups.append(name) or BACK)  # type: ignore[func-returns-value]
    session = next(name for name in double.objects if name.startswith("cs_"))
    card = {"last4": "4242", "brand": "visa", "exp_month": 12, "exp_year": 2040, "funding": "credit", "country": "US"}
    customer = next(name for name in double.objects if name.startswith("cus_"))
    double.objects[number] = {"id": number, "type": "card", "card": card, "customer": customer}
    done = {"status": "succeeded", "payment_method": double.objects[number]}
    double.objects[session] |= {"status": "complete", "setup_intent": done}
    method = payment_methods.finish_adding(gateways, shop.customer.id, setups[0], AT)
    assert method is not None
    assert (method.gateway, method.gateway_reference) == ("stripe", number)
    return shop.customer


def _attempts(customer: Customer) -> list[Any]:
    with reading() as reader:
        mine = PaymentAttempt.customer_id == customer.id
        return list(reader.execute(select(PaymentAttempt).where(mine).order_by(PaymentAttempt.created)).all())


def _run(app: Flask, gateways: Gateways, at: int) -> None:
    with app.test_request_context(base_url="http://127.0.0.1:8000"):
        runner.run(gateways, at, lambda _invoice: BACK)


def test_a_renewal_is_charged_to_the_card_at_stripe(
    app: Flask, account_id: str, connector: StripeConnector, double: Double
) -> None:
    gateways = _gateways(app, connector)
    customer = _with_card(app, gateways, double, "pm_ok")
    _run(app, gateways, world.END)
    (attempt,) = _attempts(customer)
    assert attempt.status == "succeeded"
    assert double.charged == attempt.amount == 1000
    with reading() as reader:
        invoice = reader.execute(select(Invoice.status).where(Invoice.id == attempt.invoice_id)).one()
    assert invoice.status == "paid"


@pytest.mark.case("F2")
@pytest.mark.parametrize("faults", [["lose"], ["", "lose"], ["drop"], ["", "500"]])
def test_a_renewal_whose_answer_is_lost_is_settled_by_the_next_run(
    app: Flask, account_id: str, connector: StripeConnector, double: Double, faults: list[str]
) -> None:
    gateways = _gateways(app, connector)
    customer = _with_card(app, gateways, double, "pm_ok")
    double.faults[:] = faults
    _run(app, gateways, world.END)
    assert [one.status for one in _attempts(customer)] == ["unknown"]
    _run(app, gateways, world.END + 3600)
    assert [one.status for one in _attempts(customer)] == ["succeeded"]
    assert double.charged == 1000


@pytest.mark.case("E6")
def test_an_event_before_the_answer_settles_the_payment_once(
    app: Flask, account_id: str, connector: StripeConnector, double: Double
) -> None:
    gateways = _gateways(app, connector)
    customer = _with_card(app, gateways, double, "pm_ok")
    double.faults[:] = ["", "lose"]
    _run(app, gateways, world.END)
    (attempt,) = _attempts(customer)
    intent = next(name for name in double.objects if name.startswith("pi_"))
    for number in range(2):  # two events describe one change
        _store(customer, f"evt_{number}", "payment_intent.succeeded", "charge", intent, attempt.id)
    assert provider_events.work_off(gateways, world.END + 5, lambda _invoice: BACK) == 2
    assert [one.status for one in _attempts(customer)] == ["succeeded"]
    assert provider_events.work_off(gateways, world.END + 6, lambda _invoice: BACK) == 0
    assert (double.charged, provider_events.parked()) == (1000, [])


def _store(customer: Customer, name: str, kind: str, subject: str, reference: str, attempt: str | None = None) -> None:
    with transaction() as session:
        session.add(
            ProviderEvent(
                account_id=customer.account_id,
                id=name,
                gateway="stripe",
                type=kind,
                livemode=False,
                created=world.END,
                received_at=world.END,
                subject=subject,
                reference=reference,
                attempt_id=attempt,
                due_at=world.END,
                tries=0,
            )
        )


def test_what_changes_at_stripe_changes_here(
    app: Flask, account_id: str, connector: StripeConnector, double: Double
) -> None:
    gateways = _gateways(app, connector)
    customer = _with_card(app, gateways, double, "pm_ok")
    double.objects["pm_ok"]["card"] |= {"last4": "1881", "exp_year": 2044}
    _store(customer, "evt_1", "payment_method.automatically_updated", "payment_method", "pm_ok")
    provider_events.work_off(gateways, world.END, lambda _invoice: BACK)
    assert _method(customer)[:2] == ("1881", 2044)
    double.objects["pm_ok"]["customer"] = None
    _store(customer, "evt_2", "payment_method.detached", "payment_method", "pm_ok")
    provider_events.work_off(gateways, world.END, lambda _invoice: BACK)
    assert _method(customer)[2] == world.END


def test_a_deleted_customer_has_no_payment_methods_any_more(
    app: Flask, account_id: str, connector: StripeConnector, double: Double
) -> None:
    gateways = _gateways(app, connector)
    customer = _with_card(app, gateways, double, "pm_ok")
    theirs = next(name for name in double.objects if name.startswith("cus_"))
    _store(customer, "evt_1", "customer.deleted", "customer", theirs)
    provider_events.work_off(gateways, world.END, lambda _invoice: BACK)
    assert _method(customer)[2] == world.END


def _method(customer: Customer) -> tuple[str, int | None, int | None]:
    with reading() as reader:
        mine = PaymentMethod.customer_id == customer.id, PaymentMethod.gateway == "stripe"
        row = reader.execute(select(PaymentMethod).where(*mine)).one()
    return row.last4, row.exp_year, row.detached_at


def test_an_event_that_comes_too_early_is_tried_again_and_given_up(
    app: Flask, account_id: str, connector: StripeConnector
) -> None:
    gateways, at = _gateways(app, connector), world.END
    customer = world.shop().customer
    _store(customer, "evt_1", "checkout.session.completed", "setup", "cs_unknown")
    tries = 0
    for _ in range(20):
        tries += provider_events.work_off(gateways, at, lambda _invoice: BACK)
        with reading() as reader:
            due = reader.scalar(select(ProviderEvent.due_at).where(ProviderEvent.account_id == customer.account_id))
        if due is None:
            break
        at = due
    assert tries == len(provider_events.PAUSES) + 1
    assert provider_events.parked() == []  # it was about nothing of ours


def test_without_a_connection_the_sandbox_takes_methods_in_test_mode_alone(
    app: Flask, connector: StripeConnector
) -> None:
    gateways = _gateways(app, connector)
    customer = world.shop().customer
    assert gateways.preferred(customer).name == "sandbox"
    only = Gateways(connector)
    with pytest.raises(BillingError, match="cannot be added here"):
        only.preferred(customer)


def test_the_librarys_version_is_the_one_that_is_read(app: Flask) -> None:
    import stripe

    assert stripe.api_version == client.API_VERSION
