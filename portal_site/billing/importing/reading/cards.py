"""Adapters for what stood in place of payment methods: cards, bank accounts and sources."""

from portal_site.billing.importing.reading.documents import id_of, inner
from portal_site.db.json_columns import JsonObject


def default_source_as_payment_method(owner: JsonObject) -> None:
    """A card or bank account that is the default source pays as long as no payment method is the default."""
    source = id_of(owner.pop("default_source", None))
    if source is None:
        return
    if "status" in owner:  # a subscription
        if owner.get("default_payment_method") is None:
            owner["default_payment_method"] = source
        return
    settings = inner(owner.get("invoice_settings"))
    if settings.get("default_payment_method") is None:
        owner["invoice_settings"] = {**settings, "default_payment_method": source}


def card_as_payment_method(card: JsonObject) -> None:
    """Cards, bank accounts and sources came before payment methods, and still stand for them."""
    told, kind = card.get("object"), card.get("type")
    if told == "payment_method":
        return
    if told == "source" or (told is None and isinstance(card.get(str(kind)), dict)):
        details = inner(card.get(str(kind)))
        kind = "us_bank_account" if kind == "ach_debit" else kind
    elif told == "bank_account" or "routing_number" in card:
        kind, details = (
            "us_bank_account",
            {name: card.get(name) for name in ("last4", "bank_name", "country", "fingerprint")},
        )
    else:
        details = {n: card.get(n) for n in ("last4", "exp_month", "exp_year", "funding", "country", "fingerprint")}
        # Before 2014-06-13 the brand was called `type`. Sources say "American Express", payment methods `amex`.
        brand = str(card.get("brand") or kind or "").lower()
        details["brand"], kind = BRANDS.get(brand, brand.replace(" ", "_")), "card"
    for name in list(card):
        if name not in ("id", "customer", "created", "livemode", "metadata"):
            del card[name]
    card |= {"object": "payment_method", "type": kind, str(kind): details}


BRANDS: dict[str, str | None] = {"american express": "amex", "diners club": "diners", "unknown": None}
