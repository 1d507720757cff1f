"""The JSON shapes of API objects, Stripe's. Events and exports consist of them.

A function takes an entity, or any row that has the columns of that entity: renewals are decided on rows. It is pure: members
that are stored in other tables, such as a subscription's items, are added by the caller.
"""

from collections.abc import Callable
from typing import Any

from portal_site.billing.models import (
    CatalogTaxRate,
    CheckoutSession,
    Coupon,
    CreditNote,
    Customer,
    Dispute,
    IntentCharge,
    IntentRefund,
    Invoice,
    PaymentIntent,
    PaymentMethod,
    Price,
    Product,
    PromotionCode,
    Refund,
    SetupIntent,
    Subscription,
    SubscriptionItem,
    SubscriptionSchedule,
    TaxId,
    TestClock,
    UnattachedMethod,
)
from portal_site.billing.resources import catalog, customers, intents, invoices, payments, subscriptions, test_clocks
from portal_site.db.json_columns import JsonObject

# Any: each function takes entities of its own key, which a dict's type cannot say.
_SHAPES: dict[type, Callable[[Any], JsonObject]] = {
    CatalogTaxRate: catalog.tax_rate,
    CheckoutSession: intents.checkout_session,
    Coupon: catalog.coupon,
    CreditNote: invoices.credit_note,
    Customer: customers.customer,
    Dispute: payments.dispute,
    IntentCharge: intents.charge,
    IntentRefund: intents.refund,
    Invoice: invoices.invoice,
    PaymentIntent: intents.payment_intent,
    PaymentMethod: payments.payment_method,
    Price: catalog.price,
    Product: catalog.product,
    PromotionCode: catalog.promotion_code,
    Refund: payments.refund,
    SetupIntent: intents.setup_intent,
    Subscription: subscriptions.subscription,
    SubscriptionItem: subscriptions.subscription_item,
    SubscriptionSchedule: subscriptions.subscription_schedule,
    TaxId: customers.tax_id,
    TestClock: test_clocks.test_clock,
    UnattachedMethod: payments.payment_method,
}


def to_object(entity: object) -> JsonObject:
    """The API object of an entity that is one by itself. Raises KeyError for an entity of another kind."""
    return _SHAPES[type(entity)](entity)
