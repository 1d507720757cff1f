"""Accounts as API versions of 2018 and 2022 gave them."""

from typing import Any

from tests.billing.accounts_of_2013 import COUPON, END, INVOICE, LINE, PLAN, START

_ITEM_2018 = {
    "id": "si_1",
    "object": "subscription_item",
    "created": START,
    "metadata": {},
    "quantity": 1,
    "subscription": "sub_1",
    "plan": {
        **PLAN,
        "product": "prod_1",
        "nickname": "Gold monthly",
        "usage_type": "licensed",
        "tiers": None,
        "tiers_mode": None,
        "billing_scheme": "per_unit",
        "transform_usage": None,
        "aggregate_usage": None,
    },
}
V2018: dict[str, Any] = {  # items with plans of products, billing, status, a schedule with plans
    "product": [
        {
            "id": "prod_1",
            "object": "product",
            "name": "Gold",
            "type": "service",
            "active": True,
            "livemode": False,
            "created": START,
            "attributes": [],
            "metadata": {},
        }
    ],
    "plan": [_ITEM_2018["plan"]],
    "customer": [
        {
            "id": "cus_1",
            "object": "customer",
            "created": START,
            "livemode": False,
            "email": "eva@example.se",
            "account_balance": 0,
            "default_source": None,
            "invoice_prefix": "EVA",
            "tax_info": None,
            "sources": {"object": "list", "data": [], "has_more": False},
        }
    ],
    "subscription": [
        {
            "id": "sub_1",
            "object": "subscription",
            "customer": "cus_1",
            "status": "active",
            "billing": "send_invoice",
            "days_until_due": 14,
            "billing_cycle_anchor": START,
            "created": START,
            "start": START,
            "current_period_start": START,
            "current_period_end": END,
            "cancel_at_period_end": False,
            "plan": _ITEM_2018["plan"],
            "quantity": 1,
            "livemode": False,
            "items": {"object": "list", "data": [_ITEM_2018], "has_more": False},
            "discount": None,
            "tax_percent": None,
        }
    ],
    "subscription_schedule": [
        {
            "id": "sub_sched_1",
            "object": "subscription_schedule",
            "customer": "cus_1",
            "subscription": "sub_1",
            "status": "active",
            "created": START,
            "livemode": False,
            "renewal_behavior": "release",
            "current_phase": {"start_date": START, "end_date": END},
            "phases": [
                {"start_date": START, "end_date": END, "plans": [{"plan": "gold", "quantity": 1}], "coupon": None},
                {
                    "start_date": END,
                    "end_date": END + 2_592_000,
                    "plans": [{"plan": "gold", "quantity": 3}],
                    "coupon": None,
                    "tax_percent": None,
                },
            ],
        }
    ],
    "invoice": [
        {
            **INVOICE,
            "date": START,
            "finalized_at": START + 60,
            "status": "open",
            "billing": "send_invoice",
            "paid": False,
            "amount_paid": 0,
            "amount_remaining": 900,
            "number": "EVA-0001",
            "subscription": "sub_1",
            "due_date": START + 86400,
            "lines": {
                "object": "list",
                "data": [
                    {
                        **LINE,
                        "id": "sli_1",
                        "type": "subscription",
                        "subscription": "sub_1",
                        "subscription_item": "si_1",
                        "plan": _ITEM_2018["plan"],
                    }
                ],
            },
        }
    ],
}
PRICE_OF_2022 = {
    "id": "price_1",
    "object": "price",
    "active": False,
    "billing_scheme": "per_unit",
    "currency": "sek",
    "product": "prod_1",
    "recurring": {"interval": "month", "interval_count": 1, "usage_type": "licensed"},
    "type": "recurring",
    "unit_amount": 900,
    "unit_amount_decimal": "900",
    "livemode": False,
    "created": START,
    "metadata": {},
}
V2022: dict[str, Any] = {  # prices beside plans, tax rates, tax_amounts, one discount beside ids
    "product": [
        {"id": "prod_1", "object": "product", "name": "Gold", "active": True, "livemode": False, "created": START}
    ],
    "coupon": [],  # deleted, so that only the discount has it
    "customer": [
        {
            "id": "cus_1",
            "object": "customer",
            "created": START,
            "livemode": False,
            "email": "eva@example.se",
            "balance": 0,
            "currency": "sek",
            "invoice_settings": {
                "default_payment_method": {
                    "id": "pm_1",
                    "object": "payment_method",
                    "type": "paypal",
                    "customer": "cus_1",
                    "created": START,
                    "livemode": False,
                    "paypal": {"payer_email": "eva@pay.example", "payer_id": "P"},
                }
            },
        }
    ],
    "subscription": [
        {
            "id": "sub_1",
            "object": "subscription",
            "customer": "cus_1",
            "status": "active",
            "collection_method": "charge_automatically",
            "billing_cycle_anchor": START,
            "created": START,
            "start_date": START,
            "current_period_start": START,
            "currency": "sek",
            "current_period_end": END,
            "cancel_at_period_end": False,
            "livemode": False,
            "discounts": ["di_1"],
            "discount": {
                "id": "di_1",
                "object": "discount",
                "coupon": COUPON,
                "customer": "cus_1",
                "subscription": "sub_1",
                "start": START,
            },
            "default_tax_rates": [
                {"id": "txr_1", "object": "tax_rate", "display_name": "Moms", "percentage": 25.0, "inclusive": True}
            ],
            "items": {
                "object": "list",
                "data": [
                    {
                        "id": "si_1",
                        "object": "subscription_item",
                        "created": START,
                        "price": PRICE_OF_2022,
                        "plan": {**PLAN, "id": "price_1", "product": "prod_1"},
                        "quantity": 1,
                    }
                ],
            },
        }
    ],
    "invoice": [
        {
            **INVOICE,
            "created": START,
            "status": "paid",
            "amount_paid": 450,
            "amount_remaining": 0,
            "total": 450,
            "amount_due": 450,
            "number": "EVA-0001",
            "subscription": "sub_1",
            "status_transitions": {"paid_at": START, "finalized_at": START},
            "total_discount_amounts": [{"amount": 450, "discount": "di_1"}],
            "tax": 90,
            "total_tax_amounts": [{"amount": 90, "inclusive": True, "tax_rate": "txr_1", "taxable_amount": 360}],
            "lines": {
                "object": "list",
                "data": [
                    {
                        **LINE,
                        "id": "il_1",
                        "type": "subscription",
                        "subscription": "sub_1",
                        "subscription_item": "si_1",
                        "price": PRICE_OF_2022,
                        "plan": {**PLAN, "id": "price_1"},
                        "discount_amounts": [{"amount": 450, "discount": "di_1"}],
                        "tax_amounts": [{"amount": 90, "inclusive": True, "tax_rate": "txr_1"}],
                    }
                ],
            },
        }
    ],
}
