"""The base of pages that show a quote line by line before it is confirmed."""

from collections.abc import Sequence
from dataclasses import dataclass

from portal_site.billing.rules.amounts.taxes import Tax
from portal_site.billing.rules.invoicing import invoices
from portal_site.billing.rules.invoicing.invoices import InvoiceLine
from portal_site.portal.reads.invoice_lines import LineView
from portal_site.portal.reads.subscriptions import SubscriptionView


@dataclass
class QuotePage:
    """A page about one subscription with a quote, or without one while nothing is chosen or the form has errors."""

    subscription: SubscriptionView

    @property
    def quoted(self) -> Sequence[InvoiceLine]:
        """The lines of the quote."""
        return ()

    @property
    def lines(self) -> list[LineView]:
        """The quote's lines as the invoice will show them."""
        return [LineView.of(line) for line in self.quoted]

    @property
    def taxes(self) -> list[Tax]:
        """The quote's taxes, added up by rate."""
        return invoices.summed_taxes(self.quoted)
