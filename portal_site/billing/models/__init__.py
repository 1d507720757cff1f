"""The database models, one file per aggregate. They are named and structured like Stripe's objects."""

from portal_site.billing.models.account import (
    Account,
    ApiKey,
    BrandAsset,
    CustomDomain,
    IdempotentRequest,
    SettingsVersion,
)
from portal_site.billing.models.cancellation import CancellationAttempt, CancellationRequest, FeedbackOption
from portal_site.billing.models.catalog import (
    CatalogTaxRate,
    Coupon,
    Price,
    Product,
    PromotionCode,
    PromotionCodeTry,
)
from portal_site.billing.models.customer import Customer, CustomerBalanceTransaction, CustomerTerm, TaxId
from portal_site.billing.models.direct_payments.checkout import CheckoutSession, UnattachedMethod
from portal_site.billing.models.direct_payments.intents import IntentCharge, IntentRefund, PaymentIntent
from portal_site.billing.models.event import Event, EventCounter, WebhookDelivery, WebhookEndpoint
from portal_site.billing.models.imported import ImportedObject, TakeOver
from portal_site.billing.models.invoice import (
    CreditNote,
    CreditNoteLineItem,
    Invoice,
    InvoiceLineItem,
    PrintedDocument,
)
from portal_site.billing.models.payment import (
    Dispute,
    PaymentAttempt,
    PaymentMethod,
    ProviderCustomer,
    ProviderEvent,
    Refund,
    SetupIntent,
)
from portal_site.billing.models.portal import (
    LoginRequest,
    PortalConfiguration,
    PortalSession,
    PortalVisit,
    RememberedDevice,
)
from portal_site.billing.models.subscription import (
    Discount,
    PlanChange,
    SchedulePhase,
    SchedulePhaseItem,
    Subscription,
    SubscriptionItem,
    SubscriptionSchedule,
)
from portal_site.billing.models.test_clock import TestClock, Worker

__all__ = [
    "Account",
    "ApiKey",
    "BrandAsset",
    "CancellationAttempt",
    "CancellationRequest",
    "CatalogTaxRate",
    "CheckoutSession",
    "Coupon",
    "CreditNote",
    "CreditNoteLineItem",
    "CustomDomain",
    "Customer",
    "CustomerBalanceTransaction",
    "CustomerTerm",
    "Discount",
    "Dispute",
    "Event",
    "EventCounter",
    "FeedbackOption",
    "IdempotentRequest",
    "ImportedObject",
    "IntentCharge",
    "IntentRefund",
    "Invoice",
    "InvoiceLineItem",
    "LoginRequest",
    "PaymentAttempt",
    "PaymentIntent",
    "PaymentMethod",
    "PlanChange",
    "PortalConfiguration",
    "PortalSession",
    "PortalVisit",
    "Price",
    "PrintedDocument",
    "Product",
    "PromotionCode",
    "PromotionCodeTry",
    "ProviderCustomer",
    "ProviderEvent",
    "Refund",
    "RememberedDevice",
    "SchedulePhase",
    "SchedulePhaseItem",
    "SettingsVersion",
    "SetupIntent",
    "Subscription",
    "SubscriptionItem",
    "SubscriptionSchedule",
    "TakeOver",
    "TaxId",
    "TestClock",
    "UnattachedMethod",
    "WebhookDelivery",
    "WebhookEndpoint",
    "Worker",
]
