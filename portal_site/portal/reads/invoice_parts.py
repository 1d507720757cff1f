"""What an invoice shows of other tables: who sells, with what it was paid, and its credit notes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, literal_column, select

from portal_site.billing.models import Account, CreditNote, Invoice, PaymentAttempt, PaymentMethod
from portal_site.db.page_query import Query, literal_limit

MOST_CREDIT_NOTES = 100


@dataclass(frozen=True, slots=True)
class Seller:
    """Who sells, with the name and the address of the invoice's day where it has kept them.

    `behalf` is the connected account for which the account of the invoice acts, where it has another name.
    """

    name: str
    address: Mapping[str, Any] | None
    tax_ids: Sequence[Mapping[str, Any]]
    country: str | None
    behalf: str | None


@dataclass(frozen=True, slots=True)
class PaidWith:
    """The payment method that was charged, as it is known today."""

    type: str
    brand: str | None
    last4: str
    label: str | None


@dataclass(frozen=True, slots=True)
class CreditNoteSummary:
    """A credit note beside its invoice."""

    id: str
    number: str
    created: int
    amount: int
    currency: str
    voided_at: int | None


def selects(*own: Any) -> dict[str, Query]:
    """The selects for an invoice that these conditions find."""
    return {
        "seller": select(Account.business_name, Account.address, Account.tax_ids, Account.country).where(
            Account.id == bindparam("account_id")
        ),
        "behalf": select(Account.business_name).join(Invoice, Invoice.on_behalf_of == Account.id).where(*own),
        "paid_with": select(PaymentMethod.type, PaymentMethod.brand, PaymentMethod.last4, PaymentMethod.label)
        .join(PaymentAttempt, PaymentAttempt.payment_method_id == PaymentMethod.id)
        .join(Invoice, Invoice.id == PaymentAttempt.invoice_id)
        .where(*own, PaymentAttempt.status == literal_column("'succeeded'"))
        .order_by(PaymentAttempt.created.desc())
        .limit(literal_limit(1)),
        "credit_notes": select(
            CreditNote.id,
            CreditNote.number,
            CreditNote.created,
            CreditNote.amount,
            CreditNote.currency,
            CreditNote.voided_at,
        )
        .join(Invoice, Invoice.id == CreditNote.invoice_id)
        .where(*own)
        .order_by(CreditNote.created, CreditNote.id)
        .limit(literal_limit(MOST_CREDIT_NOTES)),
    }


def build(kept: Mapping[str, Any], rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """The members of a view, from what its invoice has kept and the rows of the selects."""
    today = rows["seller"][0]
    name = kept["account_name"] or today["business_name"]
    behalf = rows["behalf"][0]["business_name"] if rows["behalf"] else None
    return {
        "seller": Seller(
            name,
            kept["account_address"] if kept["account_address"] is not None else today["address"],
            kept["account_tax_ids"] if kept["account_tax_ids"] is not None else today["tax_ids"],
            today["country"],
            None if behalf == name else behalf,
        ),
        "paid_with": PaidWith(**rows["paid_with"][0]) if rows["paid_with"] else None,
        "credit_notes": tuple(CreditNoteSummary(**row) for row in rows["credit_notes"]),
    }
