"""The customer's balances: one in the customer's currency, and what is kept beside it in others, in minor units."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

Others = tuple[tuple[str, int], ...]


def as_others(document: Mapping[str, int] | None) -> Others:
    """The amounts in other currencies as they are stored: by currency."""
    return tuple(sorted((document or {}).items()))


@dataclass(frozen=True, slots=True)
class Balances:
    """`amount` is in `currency`; negative amounts are credit. `others` are (currency, amount), none of them 0.

    An invoice uses the amount in its own currency. What it returns, or gives as credit, always has a place: beside the balance
    if that is in another currency, as in Stripe's `invoice_credit_balance`.
    """

    amount: int = 0
    currency: str | None = None
    others: Others = ()

    def usable(self, currency: str) -> int:
        """The amount in this currency."""
        return self.amount if self.currency in (None, currency) else dict(self.others).get(currency, 0)

    def add(self, amount: int, currency: str) -> Self:
        """The balances after `amount` was added. Amount 0 only sets a missing currency.

        A balance of 0 takes on the currency of what comes, with what was kept beside it in that currency.
        """
        if self.currency is None:
            return replace(self, amount=self.amount + amount, currency=currency)
        if not amount:
            return self
        if self.currency == currency:
            return replace(self, amount=self.amount + amount)
        rest = dict(self.others)
        new = rest.pop(currency, 0) + amount
        if not self.amount:
            return replace(self, amount=new, currency=currency, others=as_others(rest))
        return replace(self, others=as_others({**rest, currency: new} if new else rest))
