"""Demo merchant with a dark brand: software for teams, in dollars. It is a platform with a connected account."""

from typing import Any

from sqlalchemy.orm import Session

from portal_site.billing.models import Account, Coupon, Price, Product
from portal_site.billing.rules.portal.portal_features import (
    UPDATES,
    CustomerUpdate,
    Features,
    Retention,
    RetentionCondition,
    RetentionOffer,
    RetentionRule,
    SubscriptionCancel,
    SubscriptionPause,
    SubscriptionRestart,
    SubscriptionUpdate,
)
from portal_site.demo.builder import DAY, Discounted, Merchant
from portal_site.ids import new_id

OF_FLOWS = "Active, yearly, 25 seats"  # the customer of the demo's links to one thing
LOGO = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 184 40">
<path d="M20 2 24 16 38 20 24 24 20 38 16 24 2 20 16 16Z" fill="#a48bff"/>
<text x="48" y="28" font-family="Avenir,Arial,sans-serif" font-size="22" font-weight="600" fill="#fff">Northlight</text>
</svg>"""
PAUSES = ({"interval": "month", "interval_count": 1}, {"interval": "month", "interval_count": 3})
ADDRESS = {
    "line1": "218 Congress Street", "line2": "Floor 4", "city": "Boston", "state": "MA", "postal_code": "02110", "country": "US",
}  # fmt: skip
BRANDING = {"background": "#12131f", "button": "#7c5cff", "font": "geometric", "shape": "rounded"}
LONDON = {
    "line1": "8 Baker Row",
    "line2": None,
    "city": "London",
    "state": None,
    "postal_code": "EC1R 3DG",
    "country": "GB",
}
AUSTIN = {
    "line1": "500 Congress Ave", "line2": "Suite 12", "city": "Austin", "state": "TX", "postal_code": "78701", "country": "US",
}  # fmt: skip


PAGE_ID = "northlight"  # of the login page, and of the one for cancelling without logging in


def build(session: Session, at: int) -> None:
    """Create the merchant, its catalogue, and its customers in many states."""
    merchant = Merchant.open(
        session, at, "Northlight", LOGO, branding=BRANDING, country="US", default_currency="usd",
        timezone="America/New_York", support_email="help@northlight.example", support_url="https://northlight.example/help",
        privacy_policy_url="https://northlight.example/privacy", terms_of_service_url="https://northlight.example/terms",
        address=ADDRESS, tax_ids=[{"type": "us_ein", "value": "04-2103594"}, {"type": "eu_oss_vat", "value": "EU372045678"}],
    )  # fmt: skip
    team, storage, calls = (
        merchant.product(
            "Team",
            "seats",
            "For teams that plan together.",
            ("Unlimited projects", "Single sign-on", "Priority support", "90 days of history"),
        ),
        merchant.product("Storage", "GB"),
        merchant.product("API calls"),
    )
    starter = merchant.product("Starter", "seats", "To begin with.", ("3 projects", "E-mail support"))
    monthly, yearly = merchant.price(team, 1200, "usd"), merchant.price(team, 12000, "usd", "year")
    small, small_yearly = merchant.price(starter, 900, "usd"), merchant.price(starter, 9000, "usd", "year")
    support, backups = merchant.product("Priority support"), merchant.product("Backups", "sites")
    add_ons = (
        _offered(support, merchant.price(support, 4900, "usd"), merchant.price(support, 49000, "usd", "year")),
        _offered(backups, merchant.price(backups, 300, "usd"), most=20),
    )
    thanks = merchant.coupon("A thank-you", "repeating", percent_off="25", duration_in_months=3)
    merchant.configuration(
        _features(team, starter, _offers(small, thanks), add_ons, monthly, yearly, small, small_yearly),
        default_return_url="https://northlight.example/app",
        login_page_enabled=True,
        login_page_id=PAGE_ID,
        remembers_devices=True,
    )

    merchant.account.cancellation_page_id = PAGE_ID
    merchant.promotion_code("NORTH20", merchant.coupon("20 % for you", percent_off="20"))
    merchant.promotion_code(
        "ONCE5", merchant.coupon("5 off", "once", amount_off=500, currency="usd"), max_redemptions=3
    )

    _on_trial(merchant, small)
    _yearly_seats(merchant, team, yearly)
    _several_items(merchant, team, monthly, storage, calls)
    _overdue(merchant, team, monthly)
    _leaving(merchant, team, monthly)
    _stepping_down(merchant, team, monthly, starter, small)
    _paused(merchant, starter, small)
    _much_billed(merchant)
    _connected(merchant)


def _offers(small: Price, thanks: Coupon) -> Retention:
    """A retention offer for each reason: a cheaper plan, a pause or a contact; for the others a longer trial or a coupon."""
    return Retention(
        enabled=True,
        rules=(
            RetentionRule(RetentionOffer("trial", days=14)),
            RetentionRule(RetentionOffer("price", price=small.id), RetentionCondition(reasons=("too_expensive",))),
            RetentionRule(RetentionOffer("pause"), RetentionCondition(reasons=("unused",))),
            RetentionRule(
                RetentionOffer("contact", message="Our support team has helped many others over this."),
                RetentionCondition(reasons=("too_complex", "missing_features", "customer_service")),
            ),
        ),
        coupon=thanks.id,
    )


def _offered(product: Product, *prices: Price, most: int = 1) -> dict[str, Any]:
    """A product as an add-on with these prices, of which a customer may have so many."""
    quantity = {"enabled": most > 1, "minimum": 1, "maximum": most}
    return {"product": product.id, "prices": [price.id for price in prices], "adjustable_quantity": quantity}


def _features(
    team: Product, starter: Product, offers: Retention, add_ons: tuple[dict[str, Any], ...], *prices: Price
) -> Features:
    offered = tuple(
        {"product": product.id, "prices": [price.id for price in prices if price.product_id == product.id]}
        for product in (team, starter)
    )
    return Features(
        customer_update=CustomerUpdate(allowed_updates=UPDATES),
        subscription_cancel=SubscriptionCancel(retention=offers),
        subscription_pause=SubscriptionPause(enabled=True, interval_options=PAUSES),
        subscription_restart=SubscriptionRestart(enabled=True),
        subscription_update=SubscriptionUpdate(
            enabled=True, default_allowed_updates=("price", "quantity", "promotion_code"), products=offered,
            add_ons=add_ons,
            proration_behavior="always_invoice",
            schedule_at_period_end=("decreasing_item_amount", "shortening_interval"),
        ),
    )  # fmt: skip


def _on_trial(merchant: Merchant, price: Price) -> None:
    customer = merchant.customer(
        "Ada Osei", "ada@osei.example", "Free trial, ends in five days, no card yet", phone="+442079460958"
    )
    merchant.subscription(
        customer, [(price, 1)], started=9, status="trialing",
        trial_start=merchant.at - 9 * DAY, trial_end=merchant.at + 5 * DAY,
    )  # fmt: skip


def _yearly_seats(merchant: Merchant, team: Product, yearly: Price) -> None:
    customer = merchant.customer(
        "Harbour & Sons Ltd",
        "accounts@harbour.example",
        OF_FLOWS,
        address=LONDON,
        phone="+442079460123",
    )
    merchant.method(customer, "4242424242424242")
    merchant.method(customer, "5555555555554444", (4, 2030))
    merchant.tax_id(customer, "gb_vat", "GB123456789", "verified")
    subscription = merchant.subscription(customer, [(yearly, 25)], started=500)
    merchant.history(customer, subscription, [(team, yearly, 25)])


def _several_items(merchant: Merchant, team: Product, monthly: Price, storage: Product, calls: Product) -> None:
    customer = merchant.customer(
        "Lumen Robotics", "billing@lumen.example", "Several items, one by usage, a discount", address=AUSTIN
    )
    merchant.method(customer, "378282246310005", (9, 2029))
    tiers = [
        {"up_to": 100, "unit_amount": 20, "unit_amount_decimal": "20", "flat_amount": 0},
        {"up_to": None, "unit_amount": 12, "unit_amount_decimal": "12", "flat_amount": 0},
    ]
    space = merchant.price(
        storage, 0, "usd", billing_scheme="tiered", tiers_mode="graduated", tiers=tiers, unit_amount=None
    )
    usage = merchant.price(calls, 0, "usd", usage_type="metered", unit_amount=None, unit_amount_decimal="0.02")
    partner = Discounted(merchant.coupon("Partner", percent_off="15"))
    subscription = merchant.subscription(
        customer, [(monthly, 8), (space, 250), (usage, None)], started=200, discount=partner
    )
    merchant.history(customer, subscription, [(team, monthly, 8), (storage, space, 250)], discount=partner)


def _overdue(merchant: Merchant, team: Product, monthly: Price) -> None:
    customer = merchant.customer(
        "Bea Lindqvist", "bea@lindqvist.example", "Past due: the card failed, an invoice is open"
    )
    method = merchant.method(customer, "4000000000000341", (2, 2030))
    subscription = merchant.subscription(customer, [(monthly, 3)], started=156, status="past_due")
    customer.delinquent = True
    merchant.history(customer, subscription, [(team, monthly, 3)], last="open")
    merchant.failed_payment(subscription, method, merchant.at + 2 * DAY)


def _leaving(merchant: Merchant, team: Product, monthly: Price) -> None:
    customer = merchant.customer("Carlos Ibarra", "carlos@ibarra.example", "Cancels at the end of the period")
    merchant.method(customer, "4242424242424242")
    subscription = merchant.subscription(
        customer, [(monthly, 1)], started=100, cancel_at_period_end=True, canceled_at=merchant.at - 3 * DAY,
        cancellation_details={"reason": "cancellation_requested", "feedback": "too_complex"},
    )  # fmt: skip
    merchant.history(customer, subscription, [(team, monthly, 1)])


def _stepping_down(merchant: Merchant, team: Product, monthly: Price, starter: Product, small: Price) -> None:
    customer = merchant.customer(
        "Dana Whitfield", "dana@whitfield.example", f"Goes down to {starter.name} at the end of the period"
    )
    merchant.method(customer, "4242424242424242")
    subscription = merchant.subscription(customer, [(monthly, 4)], started=75)
    _, end = merchant.period(subscription, monthly)
    merchant.schedule(subscription, small, 1, end)
    merchant.history(customer, subscription, [(team, monthly, 4)])


def _paused(merchant: Merchant, starter: Product, small: Price) -> None:
    customer = merchant.customer("Elif Demir", "elif@demir.example", "Paused for two months")
    merchant.method(customer, "5555555555554444")
    pause = {"behavior": "void", "resumes_at": merchant.at + 48 * DAY}
    subscription = merchant.subscription(customer, [(small, 1)], started=140, pause_collection=pause)
    merchant.history(customer, subscription, [(starter, small, 1)], until=merchant.at - 12 * DAY)


def _much_billed(merchant: Merchant) -> None:
    backups = merchant.product("Daily backups")
    daily = merchant.price(backups, 40, "usd", "day")
    customer = merchant.customer("Fjord Archive", "finance@fjord.example", "3,000 invoices")
    merchant.method(customer, "4242424242424242")
    subscription = merchant.subscription(customer, [(daily, 1)], started=2999)
    merchant.history(customer, subscription, [(backups, daily, 1)], most=3000)


def _connected(platform: Merchant) -> None:
    """A connected account: its customers belong to the platform, and their pages show the connected account's name."""
    shop = Account(
        id=new_id("acct"), platform_id=platform.account.id, created=platform.at, business_name="Studio Polaris",
        timezone="Europe/Berlin", branding={"background": "#0f3d3e", "button": "#0d7a5f", "font": "humanist", "shape": "pill"},
        support_email="hello@polaris.example", country="DE", default_currency="eur",
    )  # fmt: skip
    platform.session.add(shop)
    platform.session.flush()
    classes = platform.product("Online classes")
    price = platform.price(classes, 2900, "eur")
    customer = platform.customer(
        "Greta Blum", "greta@blum.example", "Customer of a connected account", metadata_={"on_behalf_of": shop.id}
    )
    platform.method(customer, "DE89370400440532013000")
    subscription = platform.subscription(customer, [(price, 1)], started=95, on_behalf_of=shop.id)
    platform.history(customer, subscription, [(classes, price, 1)])
