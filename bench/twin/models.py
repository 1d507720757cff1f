"""Unmanaged models of the portal's tables, with only the columns that the overview needs."""

import json
from typing import Any

from django.db import models

TEXT: dict[str, Any] = {"max_length": 255}
OPTIONAL: dict[str, Any] = {"max_length": 255, "null": True}


class Document(models.JSONField):
    """JSON in a column of type json, which the driver parses. Django expects jsonb, which the driver does not parse."""

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        """The parsed document, whether or not the driver has parsed it."""
        return json.loads(value) if isinstance(value, str) else value


class Row(models.Model):
    """The columns that every table has."""

    id = models.CharField(primary_key=True, **TEXT)

    class Meta:
        abstract = True


def _to(model: str, **options: Any) -> models.ForeignKey:
    return models.ForeignKey(model, on_delete=models.DO_NOTHING, **options)


class Account(Row):
    business_name = models.CharField(**TEXT)
    timezone = models.CharField(**TEXT)
    support_email = models.CharField(**OPTIONAL)
    support_url = models.CharField(**OPTIONAL)
    privacy_policy_url = models.CharField(**OPTIONAL)
    terms_of_service_url = models.CharField(**OPTIONAL)
    branding = Document()
    logo_id = models.CharField(**OPTIONAL)
    icon_id = models.CharField(**OPTIONAL)

    class Meta:
        managed = False
        db_table = "accounts"


class Customer(Row):
    name = models.TextField(null=True)
    email = models.CharField(**OPTIONAL)
    phone = models.CharField(**OPTIONAL)
    address = Document(null=True)
    shipping = Document(null=True)
    default_payment_method_id = models.CharField(**OPTIONAL)
    timezone = models.CharField(**OPTIONAL)
    balance = models.BigIntegerField()
    currency = models.CharField(**OPTIONAL)
    deleted_at = models.BigIntegerField(null=True)

    class Meta:
        managed = False
        db_table = "customers"


class Configuration(Row):
    active = models.BooleanField()
    headline = models.CharField(**OPTIONAL)
    privacy_policy_url = models.CharField(**OPTIONAL)
    terms_of_service_url = models.CharField(**OPTIONAL)
    default_return_url = models.TextField(null=True)
    features = Document()
    branding = Document(null=True)

    class Meta:
        managed = False
        db_table = "portal_configurations"


class PortalSession(Row):
    account = _to("Account")
    customer = _to("Customer")
    configuration = _to("Configuration")
    livemode = models.BooleanField()
    ended_at = models.BigIntegerField(null=True)
    return_url = models.TextField(null=True)

    class Meta:
        managed = False
        db_table = "portal_sessions"


class Visit(Row):
    session = _to("PortalSession")
    token_hash = models.CharField(**TEXT)
    opened_at = models.BigIntegerField()
    last_seen_at = models.BigIntegerField()
    ended_at = models.BigIntegerField(null=True)

    class Meta:
        managed = False
        db_table = "portal_visits"


class Product(Row):
    name = models.CharField(**TEXT)
    unit_label = models.CharField(**OPTIONAL)

    class Meta:
        managed = False
        db_table = "products"


class Price(Row):
    product = _to("Product")
    currency = models.CharField(**TEXT)
    unit_amount = models.BigIntegerField(null=True)
    interval = models.CharField(**OPTIONAL)
    interval_count = models.BigIntegerField(null=True)

    class Meta:
        managed = False
        db_table = "prices"


class Coupon(Row):
    account = _to("Account")
    name = models.CharField(**OPTIONAL)
    percent_off = models.CharField(**OPTIONAL)
    duration = models.CharField(**TEXT)

    class Meta:
        managed = False
        db_table = "coupons"


class Subscription(Row):
    account = _to("Account")
    customer = _to("Customer")
    created = models.BigIntegerField()
    status = models.CharField(**TEXT)
    currency = models.CharField(**TEXT)
    collection_method = models.CharField(**TEXT)
    trial_end = models.BigIntegerField(null=True)
    cancel_at = models.BigIntegerField(null=True)
    cancel_at_period_end = models.BooleanField()
    canceled_at = models.BigIntegerField(null=True)
    cancellation_details = Document()
    ended_at = models.BigIntegerField(null=True)
    pause_collection = Document(null=True)
    pending_update = Document(null=True)
    automatic_tax = models.BooleanField()
    default_payment_method_id = models.CharField(**OPTIONAL)

    class Meta:
        managed = False
        db_table = "subscriptions"


class SubscriptionItem(Row):
    subscription = _to("Subscription", related_name="items")
    price = _to("Price")
    quantity = models.BigIntegerField(null=True)
    created = models.BigIntegerField()
    current_period_start = models.BigIntegerField()
    current_period_end = models.BigIntegerField()

    class Meta:
        managed = False
        db_table = "subscription_items"


class Discount(Row):
    account = _to("Account")
    customer = _to("Customer")
    subscription_id = models.CharField(**OPTIONAL)
    coupon_id = models.CharField(**TEXT)
    promotion_code = models.CharField(**OPTIONAL)
    start = models.BigIntegerField()
    end = models.BigIntegerField(null=True)

    class Meta:
        managed = False
        db_table = "discounts"


class Schedule(Row):
    subscription = _to("Subscription")
    status = models.CharField(**TEXT)
    origin = models.CharField(**TEXT)

    class Meta:
        managed = False
        db_table = "subscription_schedules"


class Phase(Row):
    schedule = _to("Schedule")
    start_date = models.BigIntegerField()

    class Meta:
        managed = False
        db_table = "schedule_phases"


class PhaseItem(Row):
    phase = _to("Phase")
    price = _to("Price")
    quantity = models.BigIntegerField(null=True)

    class Meta:
        managed = False
        db_table = "schedule_phase_items"


class PaymentMethod(Row):
    account = _to("Account")
    customer = _to("Customer")
    created = models.BigIntegerField()
    type = models.CharField(**TEXT)
    brand = models.CharField(**OPTIONAL)
    last4 = models.CharField(**TEXT)
    label = models.CharField(**OPTIONAL)
    exp_month = models.BigIntegerField(null=True)
    exp_year = models.BigIntegerField(null=True)
    detached_at = models.BigIntegerField(null=True)

    class Meta:
        managed = False
        db_table = "payment_methods"


class TaxId(Row):
    account = _to("Account")
    customer = _to("Customer")
    created = models.BigIntegerField()
    type = models.CharField(**TEXT)
    value = models.CharField(**TEXT)
    verification_status = models.CharField(**TEXT)

    class Meta:
        managed = False
        db_table = "tax_ids"


class Invoice(Row):
    account = _to("Account")
    customer = _to("Customer")
    created = models.BigIntegerField()
    number = models.CharField(**OPTIONAL)
    status = models.CharField(**TEXT)
    currency = models.CharField(**TEXT)
    total = models.BigIntegerField()
    subscription_id = models.CharField(**OPTIONAL)
    amount_due = models.BigIntegerField()
    ending_balance = models.BigIntegerField(null=True)
    amount_remaining = models.BigIntegerField()
    due_date = models.BigIntegerField(null=True)

    class Meta:
        managed = False
        db_table = "invoices"
