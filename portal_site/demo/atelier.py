"""Demo merchant with a light brand and French customers: a magazine and workshops, in euros."""

from sqlalchemy.orm import Session

from portal_site.billing.models import Price, Product
from portal_site.billing.rules.portal.portal_features import (
    CustomerUpdate,
    Features,
    SubscriptionCancel,
    SubscriptionRestart,
    SubscriptionUpdate,
)
from portal_site.demo.builder import DAY, Discounted, Merchant

LOGO = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 190 40">
<circle cx="20" cy="20" r="15" fill="none" stroke="#1f5c4d" stroke-width="2"/>
<path d="M20 30V14M20 20c0-6 4-8 8-8 0 6-4 8-8 8M20 25c0-5-4-7-7-7 0 5 3 7 7 7" fill="none" stroke="#1f5c4d" stroke-width="2"/>
<text x="44" y="27" font-family="Palatino,Georgia,serif" font-size="21" fill="#23302c">Atelier Tilleul</text>
</svg>"""
ADDRESS = {
    "line1": "14 rue du Tilleul", "line2": None, "city": "Lyon", "state": None, "postal_code": "69001", "country": "FR",
}  # fmt: skip
BRANDING = {"background": "#f6f1e7", "button": "#1f5c4d", "font": "serif", "shape": "sharp"}
FRENCH = {"preferred_locales": ["fr"], "timezone": "Europe/Paris"}


def _address(line1: str, city: str, postal_code: str) -> dict[str, str | None]:
    return {"line1": line1, "line2": None, "city": city, "state": None, "postal_code": postal_code, "country": "FR"}


def build(session: Session, at: int) -> None:
    """Create the merchant, its catalogue and its customers."""
    merchant = Merchant.open(
        session, at, "Atelier Tilleul", LOGO, branding=BRANDING, country="FR", default_currency="eur",
        timezone="Europe/Paris", support_email="bonjour@tilleul.example",
        terms_of_service_url="https://tilleul.example/conditions", privacy_policy_url="https://tilleul.example/donnees",
        address=ADDRESS, tax_ids=[{"type": "eu_vat", "value": "FR61954506077"}],
    )  # fmt: skip
    updates = ("name", "email", "address", "phone", "shipping", "tax_id")
    review, workshops = (
        merchant.product("La Revue", None, "Quatre numéros par an, imprimés à Lyon.", ("L’accès aux archives",)),
        merchant.product("Ateliers du samedi", "places", "Un samedi par mois, le matériel est fourni."),
    )
    monthly, yearly = merchant.price(review, 990, "eur"), merchant.price(review, 9900, "eur", "year")
    places = merchant.price(workshops, 4500, "eur")
    offered = (
        {"product": review.id, "prices": [monthly.id, yearly.id], "adjustable_quantity": {"enabled": False}},
        {"product": workshops.id, "prices": [places.id], "adjustable_quantity": {"enabled": True, "maximum": 12}},
    )
    change = SubscriptionUpdate(
        enabled=True, default_allowed_updates=("price", "quantity"), products=offered,
        proration_behavior="create_prorations",
    )  # fmt: skip
    # The wording that French law requires, with an acknowledgement of receipt.
    leaving = SubscriptionCancel(
        link_label="Résilier votre contrat", confirm_label="Notification de la résiliation", acknowledgement=True
    )
    merchant.configuration(
        Features(
            customer_update=CustomerUpdate(allowed_updates=updates), subscription_update=change,
            subscription_cancel=leaving, subscription_restart=SubscriptionRestart(enabled=True),
        ),
        default_return_url="https://tilleul.example", headline="Votre abonnement à l’Atelier Tilleul",
        login_page_enabled=True, login_page_id="atelier",
    )  # fmt: skip

    _active(merchant, review, monthly)
    _with_credit(merchant, workshops, places)
    _with_discount(merchant, review, yearly)
    _company(merchant, workshops, places)
    _gone(merchant, review, monthly)


def _active(merchant: Merchant, review: Product, monthly: Price) -> None:
    customer = merchant.customer(
        "Hélène Marchand", "helene@marchand.example", "Active, monthly, in French", phone="+33612345678",
        address=_address("12 rue des Tilleuls", "Lyon", "69003"), **FRENCH,
    )  # fmt: skip
    merchant.method(customer, "4000002760003184", (11, 2029))
    subscription = merchant.subscription(customer, [(monthly, 1)], started=250)
    merchant.history(customer, subscription, [(review, monthly, 1)])


def _with_credit(merchant: Merchant, workshops: Product, places: Price) -> None:
    customer = merchant.customer(
        "Igor Lefèvre", "igor@lefevre.example", "Credit of 62,50 € that the next invoices use", balance=-6250, **FRENCH
    )
    merchant.method(customer, "5555555555554444", (6, 2028))
    subscription = merchant.subscription(customer, [(places, 1)], started=40)
    merchant.history(customer, subscription, [(workshops, places, 1)])


def _with_discount(merchant: Merchant, review: Product, yearly: Price) -> None:
    customer = merchant.customer("Jeanne Roux", "jeanne@roux.example", "A discount runs until next spring", **FRENCH)
    merchant.method(customer, "FR1420041010050500013M02606")
    end = merchant.at + 140 * DAY
    welcome = Discounted(merchant.coupon("Bienvenue", "repeating", duration_in_months=18, percent_off="33.33"), end)
    subscription = merchant.subscription(customer, [(yearly, 1)], started=400, discount=welcome)
    merchant.history(customer, subscription, [(review, yearly, 1)], discount=welcome)


def _company(merchant: Merchant, workshops: Product, places: Price) -> None:
    address = _address("3 place Bellecour", "Lyon", "69002")
    customer = merchant.customer(
        "Kléber & Fils SARL", "compta@kleber.example", "A company that pays on invoice, with a VAT number", address=address,
        shipping={"name": "Accueil", "phone": "+33472000000", "address": address}, **FRENCH,
    )  # fmt: skip
    merchant.tax_id(customer, "eu_vat", "FR12345678901")
    subscription = merchant.subscription(
        customer, [(places, 6)], started=129, collection_method="send_invoice", days_until_due=14
    )
    merchant.history(customer, subscription, [(workshops, places, 6)], last="open")


def _gone(merchant: Merchant, review: Product, monthly: Price) -> None:
    customer = merchant.customer(
        "Léa Fontaine", "lea@fontaine.example", "No subscription any more, old invoices", **FRENCH
    )
    merchant.method(customer, "5555555555554444")
    ended = merchant.at - 60 * DAY
    subscription = merchant.subscription(
        customer, [(monthly, 1)], started=420, status="canceled", canceled_at=ended, ended_at=ended
    )
    merchant.history(customer, subscription, [(review, monthly, 1)], until=ended)
