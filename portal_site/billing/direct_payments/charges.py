"""What a gateway says of a payment intent's charge, as rows and events: the intent, its charge, and the error of a decline."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal_site.billing.direct_payments.owned import Method, Owner, find
from portal_site.billing.events.emission import emit
from portal_site.billing.gateways import Charge
from portal_site.billing.models import IntentCharge, PaymentIntent, SetupIntent, UnattachedMethod
from portal_site.billing.models.columns import values
from portal_site.billing.resources import intents, payments
from portal_site.billing.rules.payments import declines
from portal_site.billing.rules.payments.payment_times import HOUR
from portal_site.db.json_columns import JsonObject
from portal_site.ids import ordered_id

REQUIRES_METHOD, REQUIRES_ACTION, PROCESSING, SUCCEEDED = (
    "requires_payment_method",
    "requires_action",
    "processing",
    "succeeded",
)
STATUS = {"succeeded": "succeeded", "processing": "pending", "declined": "failed"}
EVENTS = {"succeeded": "charge.succeeded", "pending": "charge.pending", "failed": "charge.failed"}
ASKED_AGAIN = HOUR  # seconds after which the provider is asked for the outcome again


def record(session: Session, row: PaymentIntent, method: Method, charge: Charge, at: int) -> JsonObject | None:
    """Store what became of a try of the locked intent. Returns the error of a decline, which is stored, too."""
    if charge.status == REQUIRES_ACTION:
        row.status, row.next_action_url, row.due_at = REQUIRES_ACTION, charge.next_action_url, at + ASKED_AGAIN
        session.flush()
        emit(session, "payment_intent.requires_action", row, at)
        return None
    decline = declines.read(charge.decline_code) if charge.status == "declined" else None
    made = _charged(session, row, method, charge, at) if decline is None or decline.has_charge else None
    row.next_action_url = None
    if decline is not None:
        error = intents.error(decline, method, made.id if made else None)
        row.status, row.last_payment_error, row.payment_method_id, row.due_at = REQUIRES_METHOD, error, None, None
        session.flush()
        emit(session, "payment_intent.payment_failed", row, at)
        return error
    if isinstance(method, UnattachedMethod):
        method.used_at = at
    is_paid = charge.status == SUCCEEDED
    row.status, row.last_payment_error, row.due_at = charge.status, None, None if is_paid else at + ASKED_AGAIN
    row.amount_received = row.amount if is_paid else 0
    session.flush()
    emit(session, f"payment_intent.{charge.status}", row, at)
    return None


def _charged(session: Session, row: PaymentIntent, method: Method, charge: Charge, at: int) -> IntentCharge:
    """The charge of the intent's current try, made or brought up to date, with its event."""
    owner = Owner(row.account_id, row.livemode)
    made = find(session, IntentCharge, owner, row.latest_charge_id) if row.latest_charge_id else None
    if made is None or made.gateway_reference != charge.reference:
        copied = values(
            row, "account_id", "livemode", "customer_id", "amount", "currency", "description", "receipt_email", "shipping",
            "statement_descriptor", "statement_descriptor_suffix",
        )  # fmt: skip
        made = IntentCharge(
            id=ordered_id("py" if method.type == payments.SEPA_DEBIT else "ch"), created=at, payment_intent_id=row.id,
            payment_method_id=method.id, gateway=method.gateway, gateway_reference=charge.reference, amount_refunded=0,
            payment_method_details=intents.payment_method_details(method, _mandate_of(session, method)),
            billing_details=payments.billing_details(method.billing_details), metadata_=dict(row.metadata_), **copied,
        )  # fmt: skip
        session.add(made)
    made.status, made.decline_code = STATUS[charge.status], charge.decline_code
    row.latest_charge_id = made.id
    session.flush()
    emit(session, EVENTS[made.status], made, at)
    return made


def _mandate_of(session: Session, method: Method) -> str | None:
    """The mandate for debits of a payment method, if a setup intent has brought one."""
    own = SetupIntent.account_id == method.account_id, SetupIntent.payment_method_id == method.id
    query = select(SetupIntent.id).where(*own, SetupIntent.acceptance.is_not(None)).order_by(SetupIntent.created.desc())
    found = session.scalar(query.limit(1)) if method.type == payments.SEPA_DEBIT else None
    return intents.mandate_id(found) if found is not None else None
