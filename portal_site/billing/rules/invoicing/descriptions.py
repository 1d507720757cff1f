"""English descriptions of invoice lines, in Stripe's wording. Pages describe lines in the customer's language."""

from time import gmtime, strftime

from portal_site.billing.rules.amounts import money
from portal_site.billing.rules.invoicing.invoices import InvoiceLine, LineKind

SIGNS = {"usd": "$", "eur": "€", "gbp": "£", "jpy": "¥"}


def describe(line: InvoiceLine) -> str:
    """A line's description: `2 seats × Team (at $12.00 / month)` or `Unused time on 2 × Team after 24 Nov 2026`."""
    offer = line.offer
    if line.kind == LineKind.CYCLE:
        count = "" if line.quantity is None else f"{line.quantity} {offer.unit_label or ''}".strip() + " × "
        return f"{count}{offer.product}{_rate(line)}"
    several = f"{line.quantity} × " if line.quantity not in (None, 1) else ""
    word = "Unused" if line.kind == LineKind.UNUSED else "Remaining"
    day = strftime("%d %b %Y", gmtime(line.period_start))
    return f"{word} time on {several}{offer.product} after {day}"


def _rate(line: InvoiceLine) -> str:
    terms = line.offer.terms
    of_one = terms.billing_scheme == "per_unit" and terms.divide_by == 1 and terms.unit_amount == int(terms.unit_amount)
    if terms.metered or not of_one:
        return ""
    amount = money.major(int(terms.unit_amount), terms.currency)
    sign = SIGNS.get(terms.currency)
    written = f"{sign}{amount}" if sign else f"{amount} {terms.currency.upper()}"
    every = line.offer.interval
    if line.offer.interval_count != 1:
        every = f"{line.offer.interval_count} {every}s"
    return f" (at {written} / {every})"
