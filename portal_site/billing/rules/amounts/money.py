"""The decimals of each currency's minor unit, and the limits for charges. Formatting amounts is left to the web layer.

The exponents are Stripe's (docs.stripe.com/currencies) and differ from ISO 4217 for a few currencies: MGA has no decimals,
while ISK and UGX have two for compatibility but are charged in whole units only.
"""

from decimal import Decimal

ZERO_DECIMAL = frozenset("bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf".split())
THREE_DECIMAL = frozenset("bhd jod kwd omr tnd".split())
WITHOUT_CENTS = frozenset("isk ugx".split())
# The currencies that prices can have (docs.stripe.com/currencies, “presentment currencies”). Imports may bring others.
SUPPORTED = frozenset((
    "aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bhd bif bmd bnd bob brl bsd bwp byn bzd cad cdf chf clp cny cop "
    "crc cve czk djf dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gnf gtq gyd hkd hnl htg huf idr ils inr isk jmd jod jpy "
    "kes kgs khr kmf krw kwd kyd kzt lak lbp lkr lrd lsl mad mdl mga mkd mmk mnt mop mur mvr mwk mxn myr mzn nad ngn nio nok "
    "npr nzd omr pab pen pgk php pkr pln pyg qar ron rsd rub rwf sar sbd scr sek sgd shp sle sos srd std szl thb tjs tnd top "
    "try ttd twd tzs uah ugx usd uyu uzs vnd vuv wst xaf xcd xcg xof xpf yer zar zmw"
).split())  # fmt: skip


def exponent(currency: str) -> int:
    """The number of decimals of the currency's minor unit: 0, 2 or 3."""
    code = currency.lower()
    if code in ZERO_DECIMAL:
        return 0
    return 3 if code in THREE_DECIMAL else 2


def major(amount: int, currency: str) -> Decimal:
    """Convert minor units to the major unit: 1234 eur → 12.34, 1234 jpy → 1234."""
    return Decimal(amount).scaleb(-exponent(currency))


def minor(value: Decimal, currency: str) -> int:
    """Convert the major unit to minor units: 12.34 eur → 1234. Raises ValueError for a fraction of the minor unit."""
    scaled = value.scaleb(exponent(currency))
    if scaled != scaled.to_integral_value():
        raise ValueError(f"{value} is finer than the minor unit of {currency}")
    return int(scaled)


# Minimum charge amounts in minor units (docs.stripe.com/currencies). For other currencies half a major unit is assumed.
MINIMUM = {
    "usd": 50, "aed": 200, "aud": 50, "bgn": 100, "brl": 50, "cad": 50, "chf": 50, "czk": 1500, "dkk": 250, "eur": 50,
    "gbp": 30, "hkd": 400, "huf": 17500, "inr": 50, "jpy": 50, "mxn": 1000, "myr": 200, "nok": 300, "nzd": 50, "pln": 200,
    "ron": 200, "sek": 300, "sgd": 50, "thb": 1000,
}  # fmt: skip


def step(currency: str) -> int:
    """The number of minor units that a charge must be a multiple of (docs.stripe.com/currencies, “special cases”)."""
    code = currency.lower()
    return 100 if code in WITHOUT_CENTS else 10 if code in THREE_DECIMAL else 1


def minimum_charge(currency: str) -> int:
    """The smallest amount in minor units that can be charged. A smaller amount is carried on the customer's balance."""
    code = currency.lower()
    return MINIMUM.get(code) or max(1, 10 ** exponent(code) // 2)
