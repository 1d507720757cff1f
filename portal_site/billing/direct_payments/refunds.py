"""Refunds of charges that programs made, and the balance that such charges leave."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from portal_site.billing.direct_payments import owned
from portal_site.billing.direct_payments.owned import Owner
from portal_site.billing.errors import BillingError
from portal_site.billing.events.emission import emit
from portal_site.billing.gateways import RefundRequest
from portal_site.billing.gateways.registry import Gateways
from portal_site.billing.loading import ownership
from portal_site.billing.models import IntentCharge, IntentRefund, PaymentIntent
from portal_site.billing.resources import intents
from portal_site.billing.rules.amounts import money
from portal_site.billing.rules.catalog import members
from portal_site.db.json_columns import JsonObject
from portal_site.db.transactions import transaction
from portal_site.ids import ordered_id

REASONS = ("duplicate", "fraudulent", "requested_by_customer")


def create(gateways: Gateways, owner: Owner, wanted: Mapping[str, Any], at: int) -> IntentRefund:
    """Give back a charge, which `charge` or `payment_intent` names, or `amount` minor units of it.

    Raises NotFound, and BillingError for more than is left of it.
    """
    with transaction() as session:
        charge = _charge(session, owner, wanted)
        at = owned.time_of(session, owner, charge.customer_id, at)
        amount = _checked(charge, wanted.get("amount"))
        if wanted.get("reason") is not None:
            members.choice(wanted["reason"], "reason", REASONS)
        row = IntentRefund(
            id=ordered_id("re"), account_id=owner.account_id, livemode=owner.livemode, created=at, customer_id=charge.customer_id,
            payment_intent_id=charge.payment_intent_id, charge_id=charge.id, amount=amount, currency=charge.currency,
            reason=wanted.get("reason"), status="succeeded", metadata_=members.metadata(wanted.get("metadata") or {}, {}),
        )  # fmt: skip
    gateway = gateways.named(charge.gateway, charge)
    if gateway is None:
        raise BillingError("The payment provider of this charge is not installed any more.", "", "charge")
    answer = gateway.refund(RefundRequest(charge.gateway_reference, amount, row.id, at), at)
    with transaction() as session:
        charge = owned.get(session, IntentCharge, owner, charge.id)
        row.status, row.gateway_reference = answer.status, answer.reference
        session.add(row)
        if answer.status != "failed":
            charge.amount_refunded += amount
        session.flush()
        emit(session, "refund.created", row, at)
        if answer.status == "failed":
            emit(session, "refund.failed", row, at)
        else:
            emit(session, "charge.refunded", charge, at, previous={"amount_refunded": charge.amount_refunded - amount})
    return row


def _charge(session: Session, owner: Owner, wanted: Mapping[str, Any]) -> IntentCharge:
    charge_id, intent_id = wanted.get("charge"), wanted.get("payment_intent")
    if charge_id is None and intent_id is None:
        raise BillingError(
            "One of the following params should be provided for this request: payment_intent or charge.",
            "parameter_missing",
        )
    if intent_id is not None:
        intent = owned.get(session, PaymentIntent, owner, intent_id, "payment_intent")
        if charge_id is not None and charge_id != intent.latest_charge_id:
            raise BillingError("The charge is not the PaymentIntent's.", "", "charge")
        charge_id = intent.latest_charge_id
        if charge_id is None or intent.amount_received == 0:
            raise BillingError(
                "This PaymentIntent (%(id)s) does not have a successful charge to refund.", "", id=intent.id
            )
    charge = owned.get(session, IntentCharge, owner, charge_id or "", "charge")
    if charge.status != "succeeded":
        raise BillingError(
            "This charge (%(id)s) has not succeeded, so it cannot be refunded.", "", "charge", id=charge.id
        )
    return charge


def _checked(charge: IntentCharge, amount: int | None) -> int:
    left = charge.amount - charge.amount_refunded
    if left == 0:
        raise BillingError("Charge %(id)s has already been refunded.", "charge_already_refunded", id=charge.id)
    wanted = left if amount is None else amount
    if wanted < 1:
        raise BillingError("This value must be greater than or equal to 1.", "parameter_invalid_integer", "amount")
    if wanted > left:
        kind = "unrefunded amount on charge" if charge.amount_refunded else "charge amount"
        raise BillingError(
            "Refund amount (%(wanted)s %(currency)s) is greater than %(kind)s (%(left)s %(currency)s)",
            "", "amount", wanted=money.major(wanted, charge.currency), left=money.major(left, charge.currency),
            currency=charge.currency, kind=kind,
        )  # fmt: skip
    return wanted


def change(owner: Owner, refund_id: str, metadata: dict[str, str] | None, at: int) -> IntentRefund:
    """Change the metadata of a refund. Raises NotFound and BillingError."""
    with transaction() as session:
        row = owned.get(session, IntentRefund, owner, refund_id)
        before, row.metadata_ = row.metadata_, members.metadata(metadata, row.metadata_)
        session.flush()
        previous = {
            key: before.get(key) for key in {*before, *row.metadata_} if before.get(key) != row.metadata_.get(key)
        }
        if previous:
            at = owned.time_of(session, owner, row.customer_id, at)
            emit(session, "refund.updated", row, at, previous={"metadata": previous})
    return row


def balance(owner: Owner) -> JsonObject:
    """What charges of programs brought, less what was given back; what banks still carry out is pending."""
    own = IntentCharge.account_id == owner.account_id, IntentCharge.livemode == owner.livemode
    left = func.sum(IntentCharge.amount - IntentCharge.amount_refunded)
    query = select(IntentCharge.status, IntentCharge.currency, left).where(*own, IntentCharge.status != "failed")
    found: dict[str, dict[str, int]] = {"succeeded": {}, "pending": {}}
    with transaction() as session:
        account = ownership.get_account(session, owner.account_id)
        for status, currency, amount in session.execute(query.group_by(IntentCharge.status, IntentCharge.currency)):
            found[status][currency] = int(amount)
    return intents.balance(found["succeeded"], found["pending"], account.default_currency or "usd", owner.livemode)
