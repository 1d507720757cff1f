"""What is stored, one file per aggregate, shaped and named as the field's objects are."""

from portal_site.billing.models.account import Account, BrandAsset
from portal_site.billing.models.catalog import Coupon, Price, Product
from portal_site.billing.models.customer import Customer, CustomerBalanceTransaction, TaxId
from portal_site.billing.models.event import Event
from portal_site.billing.models.invoice import Invoice, InvoiceLineItem
from portal_site.billing.models.payment import PaymentAttempt, PaymentMethod, SetupIntent
from portal_site.billing.models.portal import PortalConfiguration, PortalSession, PortalVisit
from portal_site.billing.models.subscription import (
    Discount,
    SchedulePhase,
    SchedulePhaseItem,
    Subscription,
    SubscriptionItem,
    SubscriptionSchedule,
)

__all__ = [
    "Account",
    "BrandAsset",
    "Coupon",
    "Customer",
    "CustomerBalanceTransaction",
    "Discount",
    "Event",
    "Invoice",
    "InvoiceLineItem",
    "PaymentAttempt",
    "PaymentMethod",
    "PortalConfiguration",
    "PortalSession",
    "PortalVisit",
    "Price",
    "Product",
    "SchedulePhase",
    "SchedulePhaseItem",
    "SetupIntent",
    "Subscription",
    "SubscriptionItem",
    "SubscriptionSchedule",
    "TaxId",
]
