"""Payment methods for pages, and the subscriptions that are charged to each."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, select

from portal_site.billing.errors import BillingError
from portal_site.billing.models import PaymentMethod
from portal_site.billing.rules.customers.payment_methods import expiry_state, why_not_removable
from portal_site.db.page_query import literal_limit
from portal_site.portal.reads.subscriptions import SubscriptionView

METHODS = (
    select(
        PaymentMethod.id,
        PaymentMethod.type,
        PaymentMethod.brand,
        PaymentMethod.last4,
        PaymentMethod.label,
        PaymentMethod.wallet,
        PaymentMethod.mandate_reference,
        PaymentMethod.mandate_url,
        PaymentMethod.exp_month,
        PaymentMethod.exp_year,
    )
    .where(
        PaymentMethod.account_id == bindparam("account_id"),
        PaymentMethod.customer_id == bindparam("customer_id"),
        PaymentMethod.detached_at.is_(None),
    )
    .order_by(PaymentMethod.created.desc(), PaymentMethod.id)
    .limit(literal_limit(100))
)


@dataclass(frozen=True, slots=True)
class PaymentMethodView:
    """A card, bank debit or wallet; `expiry` is empty, `expiring` or `expired`; `used_by` names products.

    `last4` is empty for a payment method without digits; `label` then identifies it, if anything does. The mandate is that of
    a debit.
    """

    id: str
    type: str
    brand: str | None
    last4: str
    label: str | None
    wallet: str | None
    mandate_reference: str | None
    mandate_url: str | None
    exp_month: int | None
    exp_year: int | None
    is_default: bool
    expiry: str
    used_by: tuple[str, ...]
    removal_refusal: BillingError | None


def build(
    rows: Iterable[Mapping[str, Any]], default_id: str | None, subscriptions: Sequence[SubscriptionView], at: int
) -> list[PaymentMethodView]:
    """The views of these rows, the default first."""
    methods = sorted(rows, key=lambda row: row["id"] != default_id)
    charged = [s for s in subscriptions if not s.status.ended and s.collection_method == "charge_automatically"]
    used: dict[str | None, list[str]] = {}
    for subscription in charged:
        used.setdefault(subscription.payment_method_id or default_id, []).extend(subscription.products)
    return [
        PaymentMethodView(
            id=row["id"],
            type=row["type"],
            brand=row["brand"],
            last4=row["last4"],
            label=row["label"],
            wallet=row["wallet"],
            mandate_reference=row["mandate_reference"],
            mandate_url=row["mandate_url"],
            exp_month=row["exp_month"],
            exp_year=row["exp_year"],
            is_default=row["id"] == default_id,
            expiry=expiry_state(row["exp_month"], row["exp_year"], at),
            used_by=tuple(dict.fromkeys(used.get(row["id"], ()))),
            removal_refusal=why_not_removable(
                is_default=row["id"] == default_id, others=len(methods) - 1, needed=bool(charged)
            ),
        )
        for row in methods
    ]
