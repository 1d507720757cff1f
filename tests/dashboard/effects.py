"""What each setting of a configuration does in the portal, for tests over HTTP and in a browser."""

from typing import Any

SECTIONS = ("subscriptions", "cancellation", "offers", "information", "words", "appearance")
CHANGE, CANCEL = "/subscriptions/{subscription}/plan-change", "/subscriptions/{subscription}/cancellation"
EFFECTS: list[tuple[str, dict[str, Any], str, str, bool]] = [
    # section, fields that are changed (None: not ticked), a page of the portal, words, whether they are there then
    ("subscriptions", {"update": None}, "/", "Change plan", False),
    ("subscriptions", {"allowed": ["quantity"]}, CHANGE, "Solo", False),
    ("subscriptions", {"allowed": ["price"]}, CHANGE, "Promotion code", False),
    ("subscriptions", {"products-1-use": ""}, CHANGE, "Solo", False),
    ("subscriptions", {"products-2-use": ""}, CHANGE, "Storage", False),
    ("subscriptions", {"proration": "none"}, CHANGE + "?quantity-{item}=3", "Unused time", False),
    ("subscriptions", {"proration": "create_prorations"}, CHANGE + "?quantity-{item}=3", "Added to your next invoice", True),
    ("subscriptions", {"products-0-minimum": "5", "products-0-adjustable": "y"},
     CHANGE + "?quantity-{item}=3", "Choose a quantity from 5", True),
    ("subscriptions", {"later": ["decreasing_item_amount"]}, CHANGE + "?price-{item}={solo}", "May 1, 2026", True),
    ("cancellation", {"cancel": None}, "/", "Cancel subscription", False),
    ("cancellation", {"mode": "immediately"}, CANCEL, "ends now", True),
    ("cancellation", {"mode": "at_period_end"}, CANCEL, "continues until", True),
    ("cancellation", {"ask": None}, CANCEL, "Why do you want to cancel?", False),
    ("cancellation", {"ask": "y", "reasons": ["unused"]}, CANCEL, "It is too expensive", False),
    ("cancellation", {"link_label": "End the contract"}, "/", "End the contract", True),
    ("cancellation", {"confirm_label": "End it for good"}, CANCEL, "End it for good", True),
    ("cancellation", {"pause": None}, "/", "Pause", False),
    ("cancellation", {"pause": "y", "duration": "indefinite"}, "/subscriptions/{subscription}/pause", "Until I resume it", True),
    ("cancellation", {"pause": "y", "duration": "interval_options", "spans": ["2 week"]},
     "/subscriptions/{subscription}/pause", "2 weeks", True),
    ("information", {"update": None}, "/", "Billing information", False),
    ("information", {"allowed": ["name"]}, "/billing-information/edit", "Phone", False),
    ("information", {"allowed": ["name", "tax_id"]}, "/billing-information", "Add a tax ID", True),
    ("information", {"methods": None, }, "/", "Payment methods", False),
    ("information", {"invoices": None}, "/", "Invoices", False),
    ("words", {"headline": "Your plan with us"}, "/", "Your plan with us", True),
    ("words", {"default_return_url": "https://acme.example/app"}, "/", "Return to Acme", True),
    ("words", {"terms_of_service_url": "https://acme.example/terms"}, "/", "Terms", True),
    ("words", {"privacy_policy_url": "https://acme.example/privacy"}, "/", "Privacy", True),
]  # fmt: skip
