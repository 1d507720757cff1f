"""The customer and the account as invoices are written for them."""

from dataclasses import dataclass, field
from typing import Self

from portal_site.billing.models import Customer
from portal_site.billing.rules.invoicing.balances import Balances, as_others
from portal_site.db.json_columns import JsonObject
from portal_site.ids import new_id


@dataclass
class Payer:
    """What invoices store of a customer and its account. `number` is that of the next invoice in the customer's sequence.

    `touched` is set by a billing run once an invoice has changed the balance or used the number.
    """

    id: str
    account_id: str
    livemode: bool
    name: str | None
    email: str | None
    phone: str | None
    address: JsonObject | None
    shipping: JsonObject | None
    tax_exempt: str
    balances: Balances
    invoice_prefix: str
    number: int
    account_name: str | None = ""
    account_address: JsonObject | None = None
    account_tax_ids: list[JsonObject] = field(default_factory=list)
    tax_ids: list[JsonObject] = field(default_factory=list)
    touched: bool = False

    @property
    def balance(self) -> int:
        """The customer's balance in its currency."""
        return self.balances.amount

    @property
    def currency(self) -> str | None:
        """The currency of the balance."""
        return self.balances.currency

    @property
    def other_balances(self) -> dict[str, int] | None:
        """The balances in other currencies, as they are stored."""
        return dict(self.balances.others) or None

    @classmethod
    def of(cls, customer: Customer) -> Self:
        """The payer of a customer's row; what is the account's and the tax ids are rows of their own, and are added."""
        return cls(
            id=customer.id,
            account_id=customer.account_id,
            livemode=customer.livemode,
            name=customer.name,
            email=customer.email,
            phone=customer.phone,
            address=customer.address,
            shipping=customer.shipping,
            tax_exempt=customer.tax_exempt,
            balances=Balances(customer.balance, customer.currency, as_others(customer.other_balances)),
            invoice_prefix=customer.invoice_prefix or new_id("x").upper()[2:10],
            number=customer.next_invoice_sequence,
        )
