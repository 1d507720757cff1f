"""What the pages have in common that show what something would cost, line by line, before it is confirmed."""

from collections.abc import Sequence
from dataclasses import dataclass

from portal_site.billing.rules.amounts.taxes import Tax
from portal_site.billing.rules.invoicing import invoices
from portal_site.billing.rules.invoicing.invoices import InvoiceLine
from portal_site.portal.reads.invoices import LineView
from portal_site.portal.reads.subscriptions import SubscriptionView


@dataclass
class QuotePage:
    """A page about one subscription with a quote, or with none where nothing is chosen or something is wrong."""

    subscription: SubscriptionView

    @property
    def quoted(self) -> Sequence[InvoiceLine]:
        """The lines of the quote."""
        return ()

    @property
    def lines(self) -> list[LineView]:
        """The quote's lines as they will be on an invoice."""
        return [LineView.of(line) for line in self.quoted]

    @property
    def taxes(self) -> list[Tax]:
        """The quote's taxes, added up by rate."""
        return invoices.summed_taxes(self.quoted)
