"""Confirmations: what a customer saw and agreed to. Operations that charge or end something check it first."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal_site.billing.errors import StateChanged
from portal_site.billing.models import (
    PlanChange,
)
from portal_site.billing.rules.subscriptions.plan_change import QUOTE_LIFETIME, Quote
from portal_site.billing.translation_marks import N_

CHANGED = N_("The amount or the terms have changed since you looked. Please check them again.")


@dataclass(frozen=True)
class Confirmation:
    """The time of the quote, the fingerprint of its terms, and a key that works once."""

    at: int
    fingerprint: str
    key: str

    def check_time(self, at: int) -> None:
        """Raise StateChanged if the quote is older than QUOTE_LIFETIME, or from the future."""
        if not self.at <= at <= self.at + QUOTE_LIFETIME:
            raise StateChanged(N_("This quote has expired. Please check the amount again."), "quote_expired")

    def check(self, fingerprint: str) -> None:
        """Raise StateChanged if the terms have changed since the quote."""
        if fingerprint != self.fingerprint:
            raise StateChanged(CHANGED, "quote_changed")


def hash_terms(terms: Sequence[object]) -> str:
    """A fingerprint of terms that are JSON-serializable, in 64 characters (SHA-256, hexadecimal)."""
    return hashlib.sha256(json.dumps(terms).encode()).hexdigest()


def quote_fingerprint(quote: Quote) -> str:
    """A fingerprint of the terms and amounts that the customer confirms with this quote, in 64 characters."""
    lines = [
        (line.kind, line.item_id, line.offer.price_id, line.quantity, line.period_start, line.period_end, line.total)
        for line in (*quote.invoice.lines, *quote.deferred_lines)
    ]
    items = [(item.id, item.offer.price_id, item.quantity, item.period_start, item.period_end) for item in quote.items]
    next_invoice = quote.next_invoice and (quote.next_invoice.date, quote.next_invoice.amount_due)
    terms = [quote.effective_at, quote.invoice.amount_due, quote.invoice.ending_balance, lines, items, next_invoice]
    return hash_terms(terms)


def find_by_confirmation_key(session: Session, customer_id: str, key: str) -> PlanChange | None:
    """The change that was already made under this confirmation key, if any: a key works once."""
    is_match = PlanChange.customer_id == customer_id, PlanChange.quote_key == key
    return session.scalar(select(PlanChange).where(*is_match))
