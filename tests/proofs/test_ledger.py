"""Any sequence of moves and any passing of time: hypothesis looks for one that brings the ledger out of true."""

import random
from contextlib import AbstractContextManager

import pytest
from flask import Flask
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests import world
from tests.proofs.play import DAY, Play

CARDS = st.sampled_from((world.VISA, world.FAILS, world.ASKS))


class Ledger(RuleBasedStateMachine):
    """The moves of a play as rules. The line is good and nobody is killed: here only the order of things is wild."""

    app: Flask
    game: Play | None = None
    context: AbstractContextManager[object]

    @initialize(
        quantity=st.sampled_from((1, 5)),
        proration=st.sampled_from(("none", "create_prorations", "always_invoice")),
        anchor=st.sampled_from(("unchanged", "now")),
        downgrade=st.sampled_from(((), ("decreasing_item_amount",), ("shortening_interval",))),
        inclusive=st.sampled_from((None, True, False)),
        trial=st.booleans(),
        also=st.sampled_from((None, "solo")),
    )
    def begin(
        self,
        quantity: int,
        proration: str,
        anchor: str,
        downgrade: tuple[str, ...],
        inclusive: bool | None,
        trial: bool,
        also: str | None,
    ) -> None:
        """A customer under one of the merchant's policies."""
        self.context = self.app.test_request_context(base_url="http://127.0.0.1:8000")
        self.context.__enter__()
        rate = {"id": "txr_a", "display_name": "VAT", "percentage": "19", "inclusive": inclusive}
        policy = {
            "proration_behavior": proration, "billing_cycle_anchor": anchor, "schedule_at_period_end": downgrade
        }  # fmt: skip
        tax = () if inclusive is None else (rate,)
        begins = {"status": "trialing", "trial_end": world.START + 10 * DAY} if trial else {}
        self.game = Play.begin(
            self.app, random.Random(0), quantity=quantity, tax=tax, policy=policy, also=also, **begins
        )

    @rule(seconds=st.sampled_from((1, 3600, DAY, 13 * DAY, 31 * DAY)))
    def time_passes(self, seconds: int) -> None:
        """And the worker does what is due."""
        assert self.game
        self.game.wait(seconds)
        self.game.run()

    @rule(price=st.sampled_from(("team", "year", "solo")), quantity=st.sampled_from((1, 2, 40)), code=st.booleans())
    def change(self, price: str, quantity: int, code: bool) -> None:
        """The charge is the quote, or nothing happens."""
        assert self.game
        self.game.change(price, quantity, code, 0, None)

    @rule(card=CARDS)
    def take_card(self, card: str) -> None:
        """Another card."""
        assert self.game
        self.game.take_card(card)

    @rule()
    def pay(self) -> None:
        """The oldest open invoice."""
        assert self.game
        self.game.pay(None, None)

    @rule()
    def authenticate(self) -> None:
        """At the bank, and back."""
        assert self.game
        self.game.confirm_at_bank()
        self.game.come_back()

    @rule()
    def take_back(self) -> None:
        """Whatever waits or is planned."""
        assert self.game
        self.game.withdraw(None)
        self.game.undo()

    @rule(mode=st.sampled_from(("at_period_end", "immediately")), proration=st.sampled_from(("none", "always_invoice")))
    def cancel(self, mode: str, proration: str) -> None:
        """For good, or until the customer wants to stay."""
        assert self.game
        self.game.cancel(mode, proration, None)

    @rule()
    def keep(self) -> None:
        """After all."""
        assert self.game
        self.game.keep()

    @rule(interval=st.sampled_from((None, "week", "month")))
    def pause(self, interval: str | None) -> None:
        """For so long, or until further notice."""
        assert self.game
        self.game.pause(interval, None)

    @rule()
    def resume(self) -> None:
        """At the price shown."""
        assert self.game
        self.game.resume(None)

    @rule(seconds=st.sampled_from((None, DAY, 40 * DAY)))
    def is_given_notice(self, seconds: int | None) -> None:
        """The merchant sets an end, or takes it back."""
        assert self.game
        self.game.is_given_notice(seconds)

    @rule(
        seconds=st.sampled_from((DAY, 13 * DAY, 31 * DAY)),
        price=st.sampled_from(("team", "year", "solo")),
        quantity=st.sampled_from((1, 5)),
        proration=st.sampled_from(("none", "create_prorations", "always_invoice")),
        lasts=st.sampled_from((None, DAY, 40 * DAY)),
        behavior=st.sampled_from(("release", "cancel")),
    )
    def is_planned_for(
        self, seconds: int, price: str, quantity: int, proration: str, lasts: int | None, behavior: str
    ) -> None:
        """The merchant arranges another plan."""
        assert self.game
        self.game.is_planned_for(seconds, price, quantity, proration, lasts, behavior)

    @precondition(lambda self: self.game is not None)
    @invariant()
    def the_books_are_true(self) -> None:
        """After every move."""
        assert self.game
        self.game.audit()

    def teardown(self) -> None:
        """Whatever hangs can be settled."""
        if self.game is not None:
            self.game.end()
            self.context.__exit__(None, None, None)


@pytest.mark.case("D10", "D18")
@pytest.mark.long
def test_no_order_of_things_brings_the_books_out_of_true(app: Flask) -> None:
    machine = type("Ledger", (Ledger,), {"app": app})
    on_postgresql = app.config["SQLALCHEMY_DATABASE_URI"].startswith("postgresql")
    run_state_machine_as_test(
        machine,  # type: ignore[arg-type]
        settings=settings(
            max_examples=20 if on_postgresql else 60,
            stateful_step_count=15,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
