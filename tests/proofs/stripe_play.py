"""A simulated customer whose card is at Stripe: at a second instance, behind a line that loses, repeats and refuses.

`audit` compares the books of both: that no charge is without its invoice, none is made twice, and nothing is given back twice.
"""

import json
import random
from dataclasses import dataclass
from typing import Any

import stripe
from flask import Flask
from sqlalchemy import delete, select

from portal_site import encryption
from portal_site.billing.billing_run import runner
from portal_site.billing.gateways.registry import Gateways
from portal_site.billing.gateways.stripe.connections import StripeConnector
from portal_site.billing.gateways.stripe.models import StripeConnection
from portal_site.billing.models import Customer, PaymentAttempt, PaymentMethod, ProviderCustomer, ProviderEvent
from portal_site.billing.payments import provider_events
from portal_site.db.transactions import transaction
from portal_site.ids import new_id
from tests.proofs import ledger
from tests.proofs.play import BACK, DAY, Play
from tests.stripe.second import NearConnector, Second, check_books
from tests.world import reading

SECRET = "whsec_of_tests"
EVENTS = {
    "succeeded": "succeeded",
    "processing": "processing",
    "canceled": "canceled",
    "requires_action": "requires_action",
}


def connect(second: Second, account_id: str, at: int, address: str | None = None) -> Gateways:
    """Connect an account to the second instance; the gateways with which that is called, in the process or over the network."""
    with transaction() as session:
        session.add(
            StripeConnection(
                account_id=account_id, livemode=False, created=at, secret_key=encryption.encrypt("stripe", second.token),
                redacted="sk", stripe_account=second.account_id, currency="eur", checked_at=at,
                webhook_secret=encryption.encrypt("stripe", SECRET),
            )
        )  # fmt: skip
    return Gateways(NearConnector(second) if address is None else StripeConnector(address))


def save_method(second: Second, customer_id: str, number: str, at: int) -> str:
    """A payment method there, behaving like a test number, as the default of a customer here. Returns the customer there."""
    with reading() as reader:
        known = reader.scalar(select(ProviderCustomer.reference).where(ProviderCustomer.customer_id == customer_id))
    theirs, reference = second.method(number, known)
    kind = "card" if number.isdigit() else "sepa_debit"
    with transaction() as session:
        customer = session.scalars(select(Customer).where(Customer.id == customer_id)).one()
        owner = {"account_id": customer.account_id, "customer_id": customer_id, "created": at, "gateway": "stripe"}
        if known is None:
            session.add(ProviderCustomer(id=new_id("pcus"), reference=theirs, **owner))
        method = PaymentMethod(id=new_id("pm"), type=kind, last4=number[-4:], gateway_reference=reference, **owner)
        session.add(method)
        customer.default_payment_method_id = method.id
    return theirs


def attempts_of(account_id: str) -> dict[str, Any]:
    """The payment attempts of an account, by id."""
    with reading() as reader:
        found = reader.execute(select(PaymentAttempt.__table__).where(PaymentAttempt.account_id == account_id))
        return {row.id: row for row in found}


@dataclass
class StripePlay(Play):
    """The same simulation, with the payments at a second instance."""

    second: Any = None
    there: str = ""  # the customer at the second instance

    @classmethod
    def begin_at(
        cls, second: Second, app: Flask, dice: random.Random, card: str, address: str | None = None, **options: Any
    ) -> "StripePlay":
        """A customer of a new shop that has connected Stripe. Over the network nobody dies in the midst of a call."""
        game = cls.begin(app, dice, card=None, **options)
        assert isinstance(game, cls)
        game.second = second
        game.gateway, game.line = second.line, second.line if address is None else None
        second.line.dice = dice
        game.gateways = connect(second, game.account_id, game.now, address)
        game.take_card(card)
        return game

    def audit(self) -> None:
        """Both ledgers are consistent, and they agree."""
        ledger.audit(
            self.account_id, self.first_balance,
            lambda attempts, refunds: self.second.books(attempts, refunds, self.there),
        )  # fmt: skip
        check_books(self.second, attempts_of(self.account_id), self.there)

    def run(self) -> None:
        """The worker's minute, which begins with what has come of events."""
        provider_events.work_off(self.gateways, self.now, lambda _id: BACK)
        runner.run(self.gateways, self.now, lambda _id: BACK, self.clock_id)

    def take_card(self, number: str) -> None:
        """A new card becomes the default one."""
        self.there = save_method(self.second, self.ids[0], number, self.now)

    def confirm_at_bank(self) -> None:
        """The customer completes the authentication (3-D Secure) of a payment."""
        self.second.bank_says("requires_action", "succeeded")

    def bank_answers(self, decline_code: str | None) -> None:
        """The bank says what became of the debits that it was carrying out."""
        self.second.bank_says("processing", "declined" if decline_code else "succeeded", decline_code)

    def hear(self, times: int) -> None:
        """Events of one of its payments come, so often, whatever had come before."""
        found = self.second.intents(self.there)
        if not found:
            return
        intent = self.dice.choice(sorted(found, key=lambda row: row.id))
        kind = f"payment_intent.{EVENTS.get(intent.status, 'payment_failed')}"
        for number in range(times):
            document = {"id": intent.id, "object": "payment_intent", "metadata": intent.metadata}
            event = {"id": f"evt_{self._key()}_{number % 2}", "object": "event", "type": kind, "livemode": False,
                     "created": self.now, "data": {"object": document}}  # fmt: skip
            body = json.dumps(event)
            signed = stripe.WebhookSignature.generate_signature_header(body, SECRET, self.now)
            headers = {"Stripe-Signature": signed}
            provider_events.receive(self.gateways, "stripe", self.account_id, headers, body.encode(), self.now)

    def end(self) -> None:
        """Everything that hangs is settled: the line is good again, what it stored is forgotten after a day, the bank answers."""
        self.second.line.losses = 0
        for pause in (6 * 3600, DAY):
            self.bank_answers(self.dice.choice((None, "insufficient_funds")))
            self.wait(pause)
            if pause == DAY:
                self.second.line.stored.clear()
            self.run()
        self.wait(60)  # the last answer of the bank may have let a step follow, which is the next minute's
        self.run()
        self.audit()
        ledger.settled(self.account_id, self.now)
        assert provider_events.parked() == []
        with transaction() as session:
            session.execute(delete(ProviderEvent).where(ProviderEvent.account_id == self.account_id))
