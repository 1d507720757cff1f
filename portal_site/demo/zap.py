"""Demo merchant with a bright brand: a gym that uses currencies with no decimals and with three decimals."""

from time import gmtime

from sqlalchemy.orm import Session

from portal_site.billing.models import FeedbackOption
from portal_site.billing.rules.portal.portal_features import (
    CancellationReason,
    CustomerUpdate,
    Features,
    InvoiceHistory,
    SubscriptionCancel,
    SubscriptionPause,
    SubscriptionUpdate,
)
from portal_site.demo.builder import Merchant

LOGO = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 150 40">
<path d="M24 1 4 24h13l-5 15 21-24H20Z" fill="#111"/>
<text x="42" y="31" font-family="Arial Black,Arial" font-size="29" font-weight="900" font-style="italic" fill="#111">ZAP!</text>
</svg>"""
BRANDING = {"background": "#ffe000", "button": "#ff2e88", "font": "rounded", "shape": "pill"}
LONG_NAME = "شركة النور العالمية للتجارة والمقاولات والاستثمار والتطوير العقاري المحدودة وشركاؤها في الخليج العربي والشرق الأوسط"
SHIBUYA = {
    "line1": "3-6-1 Shibuya", "line2": "Zap Building 2F", "city": "Shibuya-ku", "state": "Tokyo", "postal_code": "150-0002",
    "country": "JP",
}  # fmt: skip
OSAKA = {
    "line1": "2-1-1 Umeda",
    "line2": None,
    "city": "Osaka-shi",
    "state": "Osaka",
    "postal_code": "530-0001",
    "country": "JP",
}
KUWAIT = {
    "line1": "Block 3, Street 12",
    "line2": None,
    "city": "Kuwait",
    "state": None,
    "postal_code": "13001",
    "country": "KW",
}


def build(session: Session, at: int) -> None:
    """Create the merchant, its catalogue and its customers."""
    merchant = Merchant.open(
        session, at, "ZAP! Gyms", LOGO, branding=BRANDING, country="JP", default_currency="jpy", timezone="Asia/Tokyo",
        support_url="https://zap.example/help", address=SHIBUYA, tax_ids=[{"type": "jp_trn", "value": "T7000012050002"}],
    )  # fmt: skip
    membership, classes = (
        merchant.product("All-in membership", None, "", ("Every gym, every hour", "All classes", "A guest a month")),
        merchant.product("Classes only", None, "", ("Eight classes a month",)),
    )
    yen, dinar = merchant.price(membership, 8800, "jpy"), merchant.price(membership, 18750, "kwd")
    few = merchant.price(classes, 3300, "jpy"), merchant.price(classes, 7250, "kwd")
    offered = (
        {"product": membership.id, "prices": [yen.id, dinar.id]},
        {"product": classes.id, "prices": [price.id for price in few]},
    )
    change = SubscriptionUpdate(enabled=True, default_allowed_updates=("price", "quantity"), products=offered)
    _configure(merchant, change)

    sakura = merchant.customer(
        "Sakura Mori", "sakura@mori.example", "Pays in yen; the card expires this month", address=OSAKA
    )
    today = gmtime(at)
    merchant.method(sakura, "4000000000000077", (today.tm_mon, today.tm_year))
    subscription = merchant.subscription(sakura, [(yen, 1)], started=320)
    merchant.history(sakura, subscription, [(membership, yen, 1)])

    long = merchant.customer(
        LONG_NAME, "billing@alnoor.example", "Very long name, right to left; pays in dinars", address=KUWAIT
    )
    merchant.method(long, "5555555555554444")
    subscription = merchant.subscription(long, [(dinar, 3)], started=61)
    merchant.history(long, subscription, [(membership, dinar, 3)])

    merchant.customer("Noor Haddad", "noor@haddad.example", "New here: nothing yet")

    only_cards = Features(customer_update=CustomerUpdate(enabled=False), invoice_history=InvoiceHistory(enabled=False))
    small = merchant.configuration(only_cards, is_default=False, name="Payment methods only")
    omar = merchant.customer(
        "Omar Said",
        "omar@said.example",
        "A configuration with payment methods only",
        metadata_={"configuration": small.id},
    )
    merchant.method(omar, "4242424242424242")
    merchant.subscription(omar, [(yen, 1)], started=12)


def _configure(merchant: Merchant, change: SubscriptionUpdate) -> None:
    """Members cancel immediately with a credit for unused time, or pause indefinitely."""
    moved = merchant.row(FeedbackOption, "fo", description="I moved away")
    leaving = SubscriptionCancel(
        mode="immediately",
        proration_behavior="create_prorations",
        cancellation_reason=CancellationReason(
            options=("too_expensive", "unused", "other"), feedback_options=(moved.id,)
        ),
    )
    pause = SubscriptionPause(enabled=True, duration_type="indefinite")
    merchant.configuration(
        Features(subscription_update=change, subscription_cancel=leaving, subscription_pause=pause),
        headline="Stronger every month. Look after your membership here.",
    )
