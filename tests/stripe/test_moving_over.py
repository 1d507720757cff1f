"""Moving over from Stripe Billing: an account is read, compared, taken over, and charged where its cards are."""

from pathlib import Path

from flask import Flask
from sqlalchemy import select

from portal_site.billing.customers import payment_methods
from portal_site.billing.errors import BillingError
from portal_site.billing.gateways.registry import Gateways
from portal_site.billing.loading import ownership, snapshots
from portal_site.billing.migration import checks, comparing, stripe_previews
from portal_site.billing.migration.checks import Method
from portal_site.billing.models import Invoice, PaymentMethod, ProviderCustomer, Subscription
from portal_site.billing.rules.subscriptions import cancellation, pauses, plan_change
from portal_site.billing.rules.subscriptions.snapshot import BILLED_ELSEWHERE
from portal_site.billing.subscriptions import due_dates, subscription_items
from portal_site.db.transactions import transaction
from tests.stripe.billing_double import MONTH, NOW
from tests.stripe.migrating import moving
from tests.world import reading


def test_an_account_is_read_compared_taken_over_and_charged_there(app: Flask, tmp_path: Path) -> None:
    with moving(12) as move:
        report = move.bring(tmp_path / "read")
        assert list(report.findings()) == []
        with reading() as connection:
            assert len(set(connection.scalars(select(Subscription.id)))) == 12
            methods = set(connection.execute(select(PaymentMethod.gateway, PaymentMethod.gateway_reference)))
            assert ("stripe", "pm_cus_0000") in {tuple(row) for row in methods}
            known = {
                tuple(row)
                for row in connection.execute(select(ProviderCustomer.customer_id, ProviderCustomer.reference))
            }
            assert known == {(name, name) for name in move.double.objects if name.startswith("cus_")}
        compared = list(comparing.compare_all(move.api, move.account_id, False, frozenset(), "", NOW))
        assert [(one.subscription, one.differences) for one in compared if not one.is_equal] == []
        assert len(compared) == 12
        would = move.take(dry_run=True)
        assert {one.result for one in would.values()} == {"would take"}
        taken = move.take(Method.CANCEL)
        assert {one.result for one in taken.values()} == {"taken"}
        move.go_to(NOW + MONTH)
        assert move.double.bills == []
        with reading() as connection:
            query = select(Invoice.subscription_id, Invoice.status).where(Invoice.created == NOW + MONTH)
            assert {tuple(row) for row in connection.execute(query)} == {(name, "paid") for name in taken}
        intents = [one for name, one in move.double.objects.items() if name.startswith("pi_")]
        assert len(intents) == 12
        assert {(one["customer"], one["payment_method"]) for one in intents} == {
            (name, f"pm_{name}") for name in move.double.objects if name.startswith("cus_")
        }
        assert {one["amount"] for one in intents} == {one.amount_due for one in would.values()}


def test_a_customer_who_adds_a_card_is_the_one_that_stripe_knows(lite_app: Flask, tmp_path: Path) -> None:
    with moving(2) as move:
        move.bring(tmp_path / "read")
        before = len(move.double.calls)
        payment_methods.begin_adding(
            Gateways(move.connector), "cus_0000", NOW, lambda name: f"https://portal.example/{name}"
        )
        assert move.double.calls[before:] == ["POST /v1/checkout/sessions"]


def test_what_stripe_cannot_preview_and_who_is_gone_there_stop_nothing(lite_app: Flask, tmp_path: Path) -> None:
    with moving(5) as move:
        move.bring(tmp_path / "read")
        move.double.planted["sub_0002"] = {"refuses": "No address."}
        for name in ("cus_0003", "sub_0003"):
            del move.double.objects[name]
        move.double.listed["subscription", "cus_0003"].clear()
        compared = comparing.compare_all(move.api, move.account_id, False, frozenset(), "", NOW)
        found = {one.subscription: [difference.reason for difference in one.differences] for one in compared}
        assert {name: reasons for name, reasons in found.items() if reasons} == {
            "sub_0002": ["Stripe gives no preview: No address."], "sub_0003": [stripe_previews.GONE],
        }  # fmt: skip
        why = {name: one.why for name, one in move.take().items() if one.result != "taken"}
        assert why == {"sub_0002": ("Stripe gives no preview: No address.",), "sub_0003": (checks.GONE,)}


def test_what_stripe_still_bills_is_changed_by_nobody_here_until_it_is_taken_over(
    lite_app: Flask, tmp_path: Path
) -> None:
    with moving(1) as move:
        move.bring(tmp_path / "read")
        for refusal in _refusals():
            assert str(refusal) == BILLED_ELSEWHERE
        _touch()
        assert _due() is None  # whatever happens to it: a dispute, a new payment method, an end of its trial
        assert {one.result for one in move.take(Method.CANCEL).values()} == {"taken"}
        assert BILLED_ELSEWHERE not in {str(refusal) for refusal in _refusals()}
        assert NOW < (_due() or 0) <= NOW + MONTH
        move.undo()
        _touch()
        assert _due() is None


def _refusals() -> list[BillingError | None]:
    """Why the subscription cannot be changed, paused or cancelled here."""
    with reading() as reader:
        snapshot = snapshots.load_for_quote(reader, *snapshots.load_owned_rows(reader, "cus_0000", "sub_0000"), NOW)
    return [
        plan_change.why_not_changeable(snapshot, NOW),
        pauses.why_not_pausable(snapshot, False, NOW),
        cancellation.why_not_cancelable(snapshot),
    ]


def _touch() -> None:
    """Something that makes each other subscription due again."""
    with transaction() as session:
        row = ownership.get_owned(session, Subscription, "cus_0000", "sub_0000")
        due_dates.recompute_due_at(session, row, subscription_items.load_items(session, row), NOW)


def _due() -> int | None:
    with reading() as reader:
        return reader.scalar(select(Subscription.due_at).where(Subscription.id == "sub_0000"))
