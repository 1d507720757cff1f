"""The comparison of all next invoices with Stripe's previews, one after the other."""

from collections.abc import Iterator
from dataclasses import dataclass

from portal_site.billing.migration import candidates, local_subscriptions, rows, stripe_previews, take_over
from portal_site.billing.migration.bills import Bill
from portal_site.billing.migration.comparison import Difference
from portal_site.billing.migration.stripe_api import StripeApi
from portal_site.db.transactions import reading


@dataclass(frozen=True, slots=True)
class Compared:
    """A subscription with its next invoice here and there (None: nothing is billed), and how they differ."""

    subscription: str
    customer: str
    ours: Bill | None
    theirs: Bill | None
    differences: tuple[Difference, ...]
    unbillable: tuple[str, ...]

    @property
    def is_equal(self) -> bool:
        """Whether the invoices are equal to the cent."""
        return not self.differences


def compare_all(
    api: StripeApi, account_id: str, livemode: bool, only: frozenset[str], after: str, at: int
) -> Iterator[Compared]:
    """Compare the subscriptions that Stripe bills: of `only` these, and of the customers after `after` (in their order)."""
    for customer, ids in candidates.of_customers(account_id, livemode, only, after):
        with reading() as reader:
            group = local_subscriptions.load(reader, account_id, [customer], ids, at)
        taken = bool(rows.taken(account_id, customer))
        for one in group:
            try:
                preview = stripe_previews.preview(api, one.id)
            except stripe_previews.NoPreview as error:
                none = Difference("invoice", "", one.bill.amount_due if one.bill else None, None, str(error))
                yield Compared(one.id, customer, one.bill, None, (none,), one.unbillable or ())
                continue
            found = take_over.difference(one, preview, is_shared=taken)
            bill = stripe_previews.bill(preview) if preview is not None else None
            yield Compared(one.id, customer, one.bill, bill, found, one.unbillable or ())
