"""The locales that a portal session may request, as in the Stripe API. The web layer decides which have translations."""

from portal_site.billing.errors import BillingError
from portal_site.billing.translation_marks import N_

AUTO = "auto"  # the customer's preferred locale, else the browser's
LOCALES = frozenset(
    """auto bg cs da de el en en-AU en-CA en-GB en-IE en-IN en-NZ en-SG es es-419 et fi fil fr fr-CA hr hu id it ja ko lt lv ms mt
    nb nl pl pt pt-BR ro ru sk sl sv th tr vi zh zh-HK zh-TW""".split()
)


def check(locale: str, param: str) -> str:
    """The locale unchanged. Raises BillingError for an unknown one."""
    if locale not in LOCALES:
        raise BillingError(N_("Unknown locale: use auto, or a locale such as en, en-GB, fr or fr-CA."), "", param)
    return locale
