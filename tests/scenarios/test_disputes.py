"""Disputes and refunds that were made at the provider: found there, stored here, once, and never credited again."""

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, update

from portal_site.billing.errors import GatewayUnavailable
from portal_site.billing.events.actors import ActorType, acting_as
from portal_site.billing.gateways import DisputeDetails, RefundDetails, RefundRequest
from portal_site.billing.gateways import Refund as Answer
from portal_site.billing.gateways.registry import Gateways
from portal_site.billing.models import (
    Account,
    CreditNote,
    Customer,
    Dispute,
    Event,
    Invoice,
    PaymentAttempt,
    ProviderEvent,
    Refund,
    Subscription,
)
from portal_site.billing.payments import disputes, provider_events, refunds
from portal_site.billing.payments.refunds import RefundTerms
from portal_site.db import db
from portal_site.db.transactions import transaction
from tests.scenarios.history import History
from tests.world import reading

DAY = 24 * 60 * 60


@pytest.fixture
def payer(app: Flask) -> Iterator[History]:
    """A customer who paid €10.00 for May."""
    with acting_as(ActorType.PROVIDER):
        yield History.start(app).advance_to("2026-05-02")


def _ids(history: History) -> tuple[str, str]:
    """The ids of the account and of the customer."""
    with reading() as reader:
        query = select(Customer.account_id, Customer.id).where(Customer.test_clock_id == history.clock_id)
        row = reader.execute(query).one()
    return row[0], row[1]


def _row(history: History, model: Any, *only: Any) -> Any:
    db.session.remove()
    with reading() as reader:
        mine = select(model.__table__).where(model.customer_id == _ids(history)[1], *only)
        return reader.execute(mine.order_by(model.created.desc(), model.id.desc())).first()


def _status(history: History) -> str:
    return str(_row(history, Subscription).status)


def _invoice(history: History) -> Any:
    db.session.remove()
    with reading() as reader:
        mine = select(Invoice.__table__).where(Invoice.customer_id == _ids(history)[1])
        return reader.execute(mine.order_by(Invoice.number.desc())).first()


def _attempt(history: History) -> str:
    return str(_row(history, PaymentAttempt, PaymentAttempt.status == "succeeded").id)


def _details(history: History, status: str = "needs_response", *, withdrawn: bool = True, amount: int = 1000) -> Any:
    return DisputeDetails(
        "du_1", status, "fraudulent", amount, "eur", _attempt(history), withdrawn, history.now + 7 * DAY
    )


def _follow(history: History, details: DisputeDetails) -> Dispute | None:
    return disputes.record(_ids(history)[0], details, history.now)


def _types(history: History) -> list[str]:
    with reading() as reader:
        mine = Event.account_id == _ids(history)[0], Event.type.like("charge.dispute.%")
        kinds = reader.scalars(select(Event.type).where(*mine).order_by(Event.sequence)).all()
    return [kind.removeprefix("charge.dispute.") for kind in kinds]


@pytest.mark.both_databases
def test_a_dispute_is_followed_from_its_opening_to_its_loss(app: Flask) -> None:
    with acting_as(ActorType.PROVIDER):
        history = History.start(app).advance_to("2026-05-02")
        for _ in range(2):  # each event asks again
            _follow(history, _details(history))
        row, invoice = _row(history, Dispute), _invoice(history)
        assert (row.status, row.amount, row.is_withdrawn, row.invoice_id) == ("needs_response", 1000, True, invoice.id)
        assert (invoice.status, invoice.amount_paid, invoice.amount_disputed) == ("paid", 1000, 1000)
        _follow(history, _details(history, "under_review"))
        _follow(history, _details(history, "lost"))
        assert _types(history) == ["created", "funds_withdrawn", "updated", "closed"]
        assert (_row(history, Dispute).status, _invoice(history).amount_disputed) == ("lost", 1000)


def test_what_is_won_comes_back(payer: History) -> None:
    _follow(payer, _details(payer))
    _follow(payer, _details(payer, "won", withdrawn=False))
    assert _types(payer) == ["created", "funds_withdrawn", "closed", "funds_reinstated"]
    assert _invoice(payer).amount_disputed == 0


def test_a_question_of_the_bank_takes_no_money(payer: History) -> None:
    _set_policy(payer, "cancel")
    _follow(payer, _details(payer, "warning_needs_response", withdrawn=False))
    assert (_invoice(payer).amount_disputed, _status(payer)) == (0, "active")
    _follow(payer, _details(payer, "needs_response"))  # it has become a dispute
    assert (_invoice(payer).amount_disputed, _status(payer)) == (1000, "canceled")


def test_a_dispute_of_somebody_elses_payment_is_none(payer: History) -> None:
    other = DisputeDetails("du_2", "needs_response", "fraudulent", 5, "eur", "payatt_unknown", True)
    assert _follow(payer, other) is None
    assert _follow(payer, DisputeDetails("du_3", "lost", "general", 5, "eur", None, True)) is None
    mine = _details(payer)
    assert disputes.record("acct_another", mine, payer.now) is None
    assert _row(payer, Dispute) is None


@pytest.mark.case("D20")
def test_what_a_bank_took_back_is_neither_refunded_nor_credited(payer: History) -> None:
    _follow(payer, _details(payer, amount=600))
    gateways = payer.app.extensions["gateways"]
    customer_id, attempt_id, at = refunds.payment_of(_invoice(payer).id, payer.now)
    assert refunds.refund(gateways, customer_id, attempt_id, at, "all", RefundTerms()).amount == 400
    payer.advance_to("2026-05-16 12:00:00")
    payer.cancel(mode="immediately", proration_behavior="always_invoice")
    assert payer.balance == 0


@pytest.mark.case("D20")
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("refund"), st.integers(1, 700)),
            st.tuples(st.just("credit"), st.integers(1, 700)),
            st.tuples(st.just("dispute"), st.booleans()),
        ),
        max_size=7,
    )
)
def test_no_order_of_refunds_credit_and_disputes_gives_back_more_than_was_paid(
    app: Flask, moves: list[tuple[str, Any]]
) -> None:
    with acting_as(ActorType.PROVIDER):
        history = History.start(app).advance_to("2026-05-02")
        gateways = app.extensions["gateways"]
        given = disputed = 0
        for number, (kind, value) in enumerate(moves):
            left = max(0, 1000 - given - disputed)
            if kind == "dispute":
                _follow(history, _details(history, "needs_response" if value else "won", withdrawn=value, amount=500))
                disputed = 500 if value else 0
                continue
            name, terms = f"key{number}", RefundTerms(value)
            try:
                if kind == "credit":
                    refunds.credit_balance(_ids(history)[1], _invoice(history).id, history.now, name, terms)
                else:
                    customer_id, attempt_id, at = refunds.payment_of(_invoice(history).id, history.now)
                    refunds.refund(gateways, customer_id, attempt_id, at, name, terms)
            except refunds.BillingError:
                assert value > left
            else:
                assert value <= left
                given += value
        invoice = _invoice(history)
        assert invoice.post_payment_credit_notes_amount == given <= 1000
        assert invoice.amount_disputed == disputed


def _set_policy(history: History, disputed: str) -> None:
    with transaction() as session:
        mine = Account.id == _ids(history)[0]
        session.execute(update(Account).where(mine).values(dunning={"disputed": disputed}))


@pytest.mark.parametrize("policy", ["keep", "cancel_at_period_end", "cancel"])
def test_the_subscription_does_as_configured(payer: History, policy: str) -> None:
    _set_policy(payer, policy)
    for status in ("needs_response", "under_review"):  # only once
        _follow(payer, _details(payer, status))
    row = _row(payer, Subscription)
    assert (row.status, row.cancel_at is not None) == {
        "keep": ("active", False), "cancel_at_period_end": ("active", True), "cancel": ("canceled", False)
    }[policy]  # fmt: skip
    if policy != "keep":
        assert row.cancellation_details["reason"] == "payment_disputed"
    payer.advance_to("2026-06-03")
    assert _status(payer) == ("active" if policy == "keep" else "canceled")
    assert _invoice(payer).created <= payer.now
    billed_june = _invoice(payer).period_end > payer.now
    assert billed_june is (policy == "keep")


# --- refunds that were made at the provider ---------------------------------------------------------------------------


class _Provider:
    """A provider that knows these refunds and disputes."""

    name = "sandbox"

    def __init__(self, *known: RefundDetails | DisputeDetails, answer: str = "succeeded") -> None:
        self.known = {one.reference: one for one in known}
        self.answer, self.made = answer, 0

    def find_refund(self, reference: str) -> Any:
        """See Gateway."""
        return self.known.get(reference)

    find_dispute = find_refund

    def refund(self, request: RefundRequest, _at: int) -> Answer:
        """See Gateway."""
        self.made += request.reference is None
        return Answer(self.answer, request.reference or "re_theirs")


def _arrives(history: History, name: str, subject: str, reference: str) -> None:
    with transaction() as session:
        session.add(
            ProviderEvent(
                account_id=_ids(history)[0], id=name, gateway="sandbox", type=f"{subject}.created",
                livemode=False, created=history.now, received_at=history.now, subject=subject, reference=reference,
                attempt_id=None, due_at=history.now, tries=0,
            )
        )  # fmt: skip


def _works_off(history: History, provider: Any) -> int:
    return provider_events.work_off(Gateways(provider), history.now, lambda _invoice: "")


def test_a_refund_made_at_the_provider_is_found_and_has_its_credit_note(payer: History) -> None:
    outside = RefundDetails("re_theirs", "succeeded", 300, _attempt(payer), reason="requested_by_customer")
    provider = _Provider(outside)
    for number in range(2):
        _arrives(payer, f"evt_{number}", "refund", "re_theirs")
    assert _works_off(payer, provider) == 2
    row, note = _row(payer, Refund), _row(payer, CreditNote)
    assert (row.status, row.amount, row.reason, row.gateway_reference) == (
        "succeeded", 300, "requested_by_customer", "re_theirs"
    )  # fmt: skip
    assert (note.amount, note.refund_id, _invoice(payer).amount_refunded, provider.made) == (300, row.id, 300, 0)
    assert provider_events.parked() == []


def test_a_refund_of_ours_whose_answer_was_lost_is_not_taken_for_another_one(payer: History) -> None:
    class Silent(_Provider):
        def refund(self, request: RefundRequest, _at: int) -> Answer:
            raise GatewayUnavailable("lost")

    customer_id, attempt_id, at = refunds.payment_of(_invoice(payer).id, payer.now)
    mine = refunds.refund(Gateways(Silent()), customer_id, attempt_id, at, "one", RefundTerms(300))  # type: ignore[arg-type]
    assert mine.status == "pending"
    provider = _Provider(RefundDetails("re_theirs", "succeeded", 300, attempt_id, mine.id))
    _arrives(payer, "evt_1", "refund", "re_theirs")
    assert _works_off(payer, provider) == 1
    row = _row(payer, Refund)
    assert (row.id, row.status, row.gateway_reference, _invoice(payer).amount_refunded) == (
        mine.id, "succeeded", "re_theirs", 300
    )  # fmt: skip


def test_an_outside_refund_of_more_than_is_left_to_credit_is_known_all_the_same(payer: History) -> None:
    refunds.credit_balance(_ids(payer)[1], _invoice(payer).id, payer.now, "credit", RefundTerms(900))
    provider = _Provider(RefundDetails("re_theirs", "succeeded", 1000, _attempt(payer)))
    _arrives(payer, "evt_1", "refund", "re_theirs")
    _works_off(payer, provider)
    invoice = _invoice(payer)
    assert (invoice.amount_refunded, invoice.refunds_credited) == (1000, 100)
    assert invoice.post_payment_credit_notes_amount == invoice.total == 1000


def test_what_is_of_no_payment_here_is_left_alone_and_what_is_not_known_yet_is_asked_for_again(payer: History) -> None:
    provider = _Provider(
        RefundDetails("re_other", "succeeded", 5, None), DisputeDetails("du_9", "lost", "general", 5, "eur", None, True)
    )
    for name, subject, reference in (("evt_1", "refund", "re_other"), ("evt_2", "dispute", "du_9")):
        _arrives(payer, name, subject, reference)
    _arrives(payer, "evt_3", "dispute", "du_unknown")
    assert _works_off(payer, provider) == 3
    assert (_row(payer, Refund), _row(payer, Dispute), provider_events.parked()) == (None, None, [])
    with reading() as reader:
        due = reader.execute(select(ProviderEvent.id).where(ProviderEvent.due_at.is_not(None))).scalars().all()
    assert due == ["evt_3"]


def test_a_dispute_comes_by_its_event(payer: History) -> None:
    _arrives(payer, "evt_1", "dispute", "du_1")
    assert _works_off(payer, _Provider(_details(payer))) == 1
    assert _row(payer, Dispute).status == "needs_response"
