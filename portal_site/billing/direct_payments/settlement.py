"""What the worker does for payments of programs: it asks for outcomes that are not known yet, and ends what is over."""

import logging
from collections.abc import Callable
from typing import Any

from sqlalchemy import select

from portal_site.billing.direct_payments import checkout, payment_intents
from portal_site.billing.direct_payments.owned import Owner
from portal_site.billing.errors import BillingError
from portal_site.billing.gateways.registry import Gateways
from portal_site.billing.models import CheckoutSession, Customer, PaymentIntent
from portal_site.db.faults import is_of_surroundings
from portal_site.db.transactions import reading, retry_on_conflict

log = logging.getLogger("portal.billing")
UNSCOPED = {"unscoped": "the worker asks for the payments of all merchants"}
AT_ONCE = 200


def settle_due(gateways: Gateways, at: int, clock_id: str | None) -> None:
    """Ask about the payment intents that are due and, in real time, end the Checkout sessions that are over.

    The failure of one does not affect the others.
    """
    due = (
        select(PaymentIntent.account_id, PaymentIntent.livemode, PaymentIntent.id)
        .outerjoin(Customer, Customer.id == PaymentIntent.customer_id)
        .where(PaymentIntent.due_at <= at)
        .order_by(PaymentIntent.due_at)
    )
    on_clock = Customer.test_clock_id.is_(None) if clock_id is None else Customer.test_clock_id == clock_id
    _each(payment_intents.settle, gateways, due.where(on_clock), at)
    if clock_id is None:
        over = select(CheckoutSession.account_id, CheckoutSession.livemode, CheckoutSession.id)
        over = over.where(CheckoutSession.status == checkout.OPEN, CheckoutSession.expires_at <= at)
        _each(checkout.settle, gateways, over.order_by(CheckoutSession.expires_at), at)


def _each(act: Callable[..., object], gateways: Gateways, query: Any, at: int) -> None:
    with reading() as reader:
        found = reader.execute(query.limit(AT_ONCE).execution_options(**UNSCOPED)).all()
    for account_id, livemode, row_id in found:
        try:
            retry_on_conflict(act, gateways, Owner(account_id, livemode), row_id, at)
        except BillingError as refusal:
            log.warning("%s could not be settled: %s", row_id, refusal)
        except Exception as error:
            if is_of_surroundings(error):
                raise
            log.exception("%s could not be settled", row_id)
