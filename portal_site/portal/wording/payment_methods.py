"""Payment methods: their names and expiry, and what a customer without one is told."""

from collections.abc import Sequence
from typing import Protocol

from portal_site.billing.translation_marks import N_
from portal_site.portal.reads.payment_methods import PaymentMethodView
from portal_site.portal.reads.subscriptions import SubscriptionView
from portal_site.web.input.forms import translated
from portal_site.web.rendering.filters import date, month
from portal_site.web.rendering.i18n import gettext as _

BRANDS = {
    "amex": "American Express",
    "diners": "Diners Club",
    "discover": "Discover",
    "eftpos_au": "eftpos",
    "jcb": "JCB",
    "mastercard": "Mastercard",
    "unionpay": "UnionPay",
    "visa": "Visa",
}
MARKS = ("amex", "diners", "discover", "jcb", "mastercard", "sepa_debit", "unionpay", "visa")
WALLETS = {
    "amex_express_checkout": "Amex Express Checkout", "apple_pay": "Apple Pay", "google_pay": "Google Pay", "link": "Link",
    "masterpass": "Masterpass", "samsung_pay": "Samsung Pay", "visa_checkout": "Visa Checkout",
}  # fmt: skip
# Brand names are not translated; other words are.
TYPES = {
    "acss_debit": N_("Pre-authorized debit"), "affirm": "Affirm", "afterpay_clearpay": "Afterpay", "alipay": "Alipay",
    "alma": "Alma", "amazon_pay": "Amazon Pay", "au_becs_debit": N_("BECS direct debit"), "bacs_debit": N_("Bacs direct debit"),
    "bancontact": "Bancontact", "billie": "Billie", "bizum": "Bizum", "blik": "BLIK", "boleto": "Boleto", "card": N_("Card"),
    "card_present": N_("Card"), "cashapp": "Cash App", "crypto": N_("Crypto"), "customer_balance": N_("Bank transfer"),
    "eps": "EPS", "fpx": "FPX", "giropay": "giropay", "grabpay": "GrabPay", "ideal": "iDEAL", "interac_present": "Interac",
    "kakao_pay": "Kakao Pay", "klarna": "Klarna", "konbini": "Konbini", "kr_card": N_("Korean card"), "link": "Link",
    "mb_way": "MB WAY", "mobilepay": "MobilePay", "multibanco": "Multibanco", "naver_pay": "Naver Pay",
    "nz_bank_account": N_("BECS direct debit"), "oxxo": "OXXO", "p24": "Przelewy24", "pay_by_bank": N_("Pay by bank"),
    "payco": "PAYCO", "paynow": "PayNow", "paypal": "PayPal", "paypay": "PayPay", "payto": "PayTo", "pix": "Pix",
    "promptpay": "PromptPay", "revolut_pay": "Revolut Pay", "samsung_pay": "Samsung Pay", "satispay": "Satispay",
    "scalapay": "Scalapay", "sepa_debit": "SEPA", "sequra": "seQura", "sofort": "Sofort", "sunbit": "Sunbit", "swish": "Swish",
    "twint": "TWINT", "upi": "UPI", "us_bank_account": "ACH", "wechat_pay": "WeChat Pay", "zip": "Zip",
}  # fmt: skip


class Named(Protocol):
    """The members that identify a payment method: of a row or a view."""

    @property
    def type(self) -> str: ...
    @property
    def brand(self) -> str | None: ...
    @property
    def last4(self) -> str: ...
    @property
    def label(self) -> str | None: ...


def name(method: Named) -> str:
    """The name of a payment method: the brand of a card, or the type."""
    if method.brand and (method.brand in BRANDS or method.type not in TYPES or method.type == "card"):
        return BRANDS.get(method.brand) or method.brand.replace("_", " ").title()
    return _(TYPES[method.type]) if method.type in TYPES else method.type.replace("_", " ").title()


def mark(method: Named) -> str:
    """The name of its icon: that of its brand, if there is one."""
    if method.type == "card":
        return method.brand if method.brand in MARKS else "card"
    return method.type if method.type in MARKS else "bank"


def which(method: Named) -> str:
    """Its name with the last digits or the label."""
    return " ".join(filter(None, (name(method), method.last4 or method.label)))


def short_name(method: Named) -> str:
    """Its name in a sentence: Visa •••• 4242."""
    return f"{name(method)} •••• {method.last4}" if method.last4 else which(method)


def added(method: Named) -> str:
    """The message after it was added."""
    if not method.last4:
        return _("%(name)s was added and is now your default.", name=name(method))
    return _("Payment method ending in %(last4)s was added and is now your default.", last4=method.last4)


def added_for_payment(method: Named) -> str:
    """The message after it was added for one payment."""
    return _("%(name)s was added. You can choose it for this payment.", name=short_name(method))


def made_default(method: Named) -> str:
    """The message after it became the default."""
    if not method.last4:
        return _("Future payments will be charged to %(name)s.", name=which(method))
    return _("Future payments will be charged to the payment method ending in %(last4)s.", last4=method.last4)


def remove(method: Named) -> str:
    """The button that removes it."""
    if not method.last4:
        return _("Remove %(name)s", name=which(method))
    return _("Remove %(name)s ending in %(last4)s", name=name(method), last4=method.last4)


def removed(method: Named) -> str:
    """The message after it was removed."""
    if not method.last4:
        return _("%(name)s was removed.", name=which(method))
    return _("Payment method ending in %(last4)s was removed.", last4=method.last4)


def expiry(method: PaymentMethodView) -> str:
    """Its expiry as printed on cards; empty if it does not expire."""
    if not method.exp_month:
        return ""
    printed = f"{method.exp_month:02d}/{method.exp_year}"
    if method.expiry == "expired":
        return _("Expired %(month)s", month=printed)
    return _("Expires %(month)s", month=printed)


def details(method: PaymentMethodView) -> str:
    """The wallet that it is in, its mandate, and its expiry; empty if there is none of them."""
    mandate = method.mandate_reference and _("Mandate %(reference)s", reference=method.mandate_reference)
    return " · ".join(filter(None, (WALLETS.get(method.wallet or "", ""), mandate, expiry(method))))


def warning(method: PaymentMethodView) -> str:
    """The warning that it has expired or will soon."""
    values = {"name": name(method), "last4": method.last4}
    if method.expiry == "expired":
        return _("Your %(name)s ending in %(last4)s has expired.", **values)
    end = month((method.exp_year or 0, method.exp_month or 0))
    return _("Your %(name)s ending in %(last4)s expires at the end of %(month)s.", month=end, **values)


def trial_ends(subscription: SubscriptionView, methods: Sequence[PaymentMethodView]) -> str:
    """That a free trial ends, and what is needed to continue."""
    products = ", ".join(subscription.products)
    ends = _(
        "Your free trial of %(product)s ends on %(date)s.", product=products, date=date(subscription.trial_end or 0)
    )
    is_charged = subscription.collection_method == "charge_automatically"
    return (
        ends
        if methods or not is_charged
        else " ".join((ends, _("Add a payment method to continue without interruption.")))
    )


def kept(method: PaymentMethodView, methods: Sequence[PaymentMethodView]) -> str:
    """What has to be done before it can be removed, in short, for a list of several; empty if nothing has to be."""
    if method.removal_refusal is None or len(methods) == 1:
        return ""
    return _("To remove it, make another one the default first.")


def why_kept(method: PaymentMethodView, refusal: str | None) -> str:
    """Why it cannot be removed; empty if it can."""
    return refusal or (translated(method.removal_refusal) if method.removal_refusal else "")
