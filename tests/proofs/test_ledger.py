"""Property test: hypothesis searches for a sequence of operations after which the ledger is inconsistent."""

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
    """The operations of a Play as rules. The gateway is reliable and no process is killed; only the order varies."""

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
        """Create a customer, with one combination of the merchant's options."""
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
        """Time passes, then the billing run does all work that is due."""
        assert self.game
        self.game.wait(seconds)
        self.game.run()

    @rule(price=st.sampled_from(("team", "year", "solo")), quantity=st.sampled_from((1, 2, 40)), code=st.booleans())
    def change(self, price: str, quantity: int, code: bool) -> None:
        """The customer changes the plan. Either the quoted amount is charged, or nothing changes."""
        assert self.game
        self.game.change(price, quantity, code, 0, None)

    @rule(card=CARDS)
    def take_card(self, card: str) -> None:
        """The customer adds another card."""
        assert self.game
        self.game.take_card(card)

    @rule()
    def pay(self) -> None:
        """The customer pays the oldest open invoice."""
        assert self.game
        self.game.pay(None, None)

    @rule()
    def authenticate(self) -> None:
        """The customer completes 3-D Secure and returns."""
        assert self.game
        self.game.confirm_at_bank()
        self.game.come_back()

    @rule()
    def take_back(self) -> None:
        """The customer withdraws a pending update and undoes a scheduled change."""
        assert self.game
        self.game.withdraw(None)
        self.game.undo()

    @rule(mode=st.sampled_from(("at_period_end", "immediately")), proration=st.sampled_from(("none", "always_invoice")))
    def cancel(self, mode: str, proration: str) -> None:
        """The customer cancels, immediately or at the end of the period."""
        assert self.game
        self.game.cancel(mode, proration, None)

    @rule()
    def keep(self) -> None:
        """The customer undoes a scheduled cancellation."""
        assert self.game
        self.game.keep()

    @rule(interval=st.sampled_from((None, "week", "month")))
    def pause(self, interval: str | None) -> None:
        """The customer pauses for an interval, or indefinitely."""
        assert self.game
        self.game.pause(interval, None)

    @rule()
    def resume(self) -> None:
        """The customer resumes on the quoted terms."""
        assert self.game
        self.game.resume(None)

    @rule(seconds=st.sampled_from((None, DAY, 40 * DAY)))
    def is_given_notice(self, seconds: int | None) -> None:
        """The merchant sets the subscription's `cancel_at`, or removes it."""
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
        """The merchant schedules another plan."""
        assert self.game
        self.game.is_planned_for(seconds, price, quantity, proration, lasts, behavior)

    @precondition(lambda self: self.game is not None)
    @invariant()
    def the_ledger_is_consistent(self) -> None:
        """Checked after every rule."""
        assert self.game
        self.game.audit()

    def teardown(self) -> None:
        """Assert that all outstanding work can be completed."""
        if self.game is not None:
            self.game.end()
            self.context.__exit__(None, None, None)


@pytest.mark.case("D10", "D18")
@pytest.mark.long
def test_the_ledger_holds_for_any_order_of_operations(app: Flask) -> None:
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
