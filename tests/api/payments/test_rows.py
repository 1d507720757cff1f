"""The rows of payments: found by an index, and charged once however many ask at once."""

import threading
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from portal_site.billing.models import CheckoutSession, IntentCharge, IntentRefund, PaymentIntent, SetupIntent
from tests.api.payments.merchants import get, kinds, new_program, post
from tests.plans import plan

URL = "/v1/payment_intents"


@pytest.mark.both_databases
@pytest.mark.parametrize("model", [CheckoutSession, IntentCharge, IntentRefund, PaymentIntent, SetupIntent])
def test_a_list_is_read_in_the_order_of_its_index(app: Flask, model: Any) -> None:
    own = model.account_id == "acct_x", model.livemode.is_(False)
    newest = select(model.id).where(*own).order_by(model.created.desc(), model.id.desc()).limit(11)
    found = plan(newest, model.__tablename__, unused=True)
    assert f"ix_{model.__tablename__}_list" in found
    assert "TEMP B-TREE" not in found
    assert "Sort" not in found


@pytest.mark.both_databases
def test_what_is_due_is_found_by_an_index(app: Flask) -> None:
    due = select(PaymentIntent.id).where(PaymentIntent.due_at <= 1).order_by(PaymentIntent.due_at)
    assert "ix_payment_intents_due" in plan(due, "payment_intents", unused=True)
    of_intent = select(IntentCharge.id).where(IntentCharge.account_id == "a", IntentCharge.payment_intent_id == "pi_x")
    assert "ix_charges_payment_intent_id" in plan(of_intent, "charges", unused=True)


@pytest.mark.case("E1")
@pytest.mark.both_databases
def test_of_many_confirmations_at_once_one_charges(app: Flask) -> None:
    program = new_program(app)
    made = post(program, URL, "payment_intent", amount="2000", currency="eur", payment_method="pm_card_visa")
    answers: list[Any] = []
    threads = [
        threading.Thread(target=lambda: answers.append(program.post(f"{URL}/{made['id']}/confirm"))) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(answer.status_code for answer in answers) == [200, 400, 400, 400, 400, 400]
    assert len(get(program, "/v1/charges", "charge", payment_intent=made["id"])["data"]) == 1
    assert kinds(program).count("payment_intent.succeeded") == 1


@pytest.mark.case("E1")
@pytest.mark.both_databases
def test_of_many_refunds_at_once_no_more_is_given_back_than_was_paid(app: Flask) -> None:
    program = new_program(app)
    paid = post(
        program, URL, "payment_intent", amount="2000", currency="eur", payment_method="pm_card_visa", confirm="true"
    )
    answers: list[Any] = []
    sent = {"payment_intent": paid["id"], "amount": "900"}
    threads = [threading.Thread(target=lambda: answers.append(program.post("/v1/refunds", sent))) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(answer.status_code for answer in answers) == [200, 200, 400, 400, 400]
    assert get(program, f"/v1/charges/{paid['latest_charge']}", "charge")["amount_refunded"] == 1800
