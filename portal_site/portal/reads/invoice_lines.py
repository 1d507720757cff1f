"""A line of an invoice or of a quote, as pages and documents show it."""

from dataclasses import dataclass

from portal_site.billing.rules.invoicing.invoices import InvoiceLine


@dataclass(frozen=True, slots=True)
class LineView:
    """One line. `period_end` equals `period_start` if the line has no period.

    Lines of this program have the product, and prorations their seconds; imported lines have only a `description`.
    """

    description: str | None
    amount: int
    currency: str
    quantity: int | None
    period_start: int
    period_end: int
    product_name: str | None = None
    unit_label: str | None = None
    unit_amount_decimal: str | None = None
    share_left: int | None = None
    share_whole: int | None = None
    share_amount: int | None = None

    @classmethod
    def of(cls, line: InvoiceLine) -> "LineView":
        """A line of a quote as the invoice will show it."""
        factor = line.proration
        return cls(
            description=None,
            amount=line.amount,
            currency=line.offer.terms.currency,
            quantity=line.quantity,
            period_start=line.period_start,
            period_end=line.period_end,
            product_name=line.offer.product,
            unit_label=line.offer.unit_label,
            share_left=factor.seconds if factor else None,
            share_whole=factor.period_seconds if factor else None,
            share_amount=line.full_amount if factor else None,
        )
