"""Accounts as API versions of 2013 and 2015 gave them, and what those of later years have in common with them."""

from typing import Any

START, END = 1_788_220_800, 1_790_812_800  # 1 September to 1 October 2026, UTC
NOW = START + 3600
CARD = {
    "id": "card_1",
    "exp_month": 5,
    "exp_year": 2030,
    "last4": "0077",
    "country": "SE",
    "fingerprint": "f",
    "customer": "cus_1",
}
PLAN = {
    "id": "gold",
    "object": "plan",
    "amount": 900,
    "currency": "sek",
    "interval": "month",
    "interval_count": 1,
    "livemode": False,
    "trial_period_days": None,
}
COUPON = {
    "id": "HALF",
    "object": "coupon",
    "percent_off": 50,
    "duration": "forever",
    "amount_off": None,
    "currency": None,
    "livemode": False,
    "valid": True,
    "times_redeemed": 1,
}
LINE = {
    "amount": 900,
    "currency": "sek",
    "object": "line_item",
    "livemode": False,
    "quantity": 1,
    "period": {"start": START, "end": END},
    "proration": False,
    "description": None,
}
INVOICE = {
    "id": "in_1",
    "object": "invoice",
    "customer": "cus_1",
    "livemode": False,
    "currency": "sek",
    "subtotal": 900,
    "total": 900,
    "amount_due": 900,
    "attempt_count": 1,
    "attempted": True,
    "period_start": START,
    "period_end": START,
    "starting_balance": 0,
    "ending_balance": 0,
    "next_payment_attempt": None,
}

V2013: dict[str, Any] = {  # one subscription without an id of its own, an active card, a plan with a name
    "plan": [{**PLAN, "name": "Gold"}],
    "customer": [
        {
            "id": "cus_1",
            "object": "customer",
            "created": START,
            "livemode": False,
            "email": "eva@example.se",
            "delinquent": False,
            "account_balance": 0,
            "description": None,
            "discount": None,
            "active_card": {
                "object": "card",
                "type": "Visa",
                **{k: v for k, v in CARD.items() if k not in ("id", "customer")},
            },
            "subscription": {
                "object": "subscription",
                "plan": {**PLAN, "name": "Gold"},
                "quantity": 1,
                "status": "active",
                "start": START,
                "current_period_start": START,
                "current_period_end": END,
                "cancel_at_period_end": False,
                "canceled_at": None,
                "ended_at": None,
                "trial_start": None,
                "trial_end": None,
                "customer": "cus_1",
            },
        }
    ],
    "invoice": [
        {
            **INVOICE,
            "date": START,
            "paid": True,
            "closed": True,
            "charge": "ch_1",
            "discount": None,
            "lines": {
                "invoiceitems": [],
                "prorations": [],
                "subscriptions": [{**LINE, "plan": {**PLAN, "name": "Gold"}}],
            },
        }
    ],
}
V2015: dict[str, Any] = {  # sources, several subscriptions inside the customer, lines named like their subscription
    "plan": [{**PLAN, "name": "Gold", "created": START, "statement_descriptor": None, "metadata": {}}],
    "coupon": [COUPON],
    "customer": [
        {
            "id": "cus_1",
            "object": "customer",
            "created": START,
            "livemode": False,
            "email": "eva@example.se",
            "delinquent": False,
            "account_balance": -200,
            "default_source": "card_1",
            "currency": "sek",
            "discount": None,
            "metadata": {},
            "shipping": None,
            "sources": {
                "object": "list",
                "has_more": False,
                "total_count": 1,
                "data": [{**CARD, "object": "card", "brand": "American Express", "funding": "credit"}],
            },
            "subscriptions": {
                "object": "list",
                "has_more": False,
                "total_count": 1,
                "data": [
                    {
                        "id": "sub_1",
                        "object": "subscription",
                        "plan": {**PLAN, "name": "Gold"},
                        "quantity": 1,
                        "status": "active",
                        "start": START,
                        "current_period_start": START,
                        "current_period_end": END,
                        "cancel_at_period_end": False,
                        "discount": {
                            "object": "discount",
                            "coupon": COUPON,
                            "customer": "cus_1",
                            "subscription": "sub_1",
                            "start": START,
                            "end": None,
                        },
                        "tax_percent": 25.0,
                        "application_fee_percent": None,
                        "metadata": {},
                        "customer": "cus_1",
                    }
                ],
            },
        }
    ],
    "invoice": [
        {
            **INVOICE,
            "date": START,
            "paid": False,
            "closed": False,
            "forgiven": False,
            "tax": 113,
            "tax_percent": 25.0,
            "total": 563,
            "amount_due": 563,
            "subscription": "sub_1",
            "charge": None,
            "discount": {
                "object": "discount",
                "coupon": COUPON,
                "customer": "cus_1",
                "subscription": "sub_1",
                "start": START,
            },
            "lines": {
                "object": "list",
                "total_count": 1,
                "has_more": False,
                "data": [
                    {
                        **LINE,
                        "id": "sub_1",
                        "type": "subscription",
                        "plan": {**PLAN, "name": "Gold"},
                        "metadata": {},
                        "subscription": None,
                        "discountable": True,
                    }
                ],
            },
        }
    ],
}
