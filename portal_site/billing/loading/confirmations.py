"""What a customer saw and said yes to. Not a verb: every verb that moves money or ends something begins by checking it."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

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
    """The instant of the quote, the fingerprint of its terms, and a key that is used once."""

    at: int
    fingerprint: str
    key: str

    def check_time(self, at: int) -> None:
        """Raise StateChanged when it was too long ago."""
        if not self.at <= at <= self.at + QUOTE_LIFETIME:
            raise StateChanged(N_("This quote has expired. Please check the amount again."), "quote_expired")

    def check(self, fingerprint: str) -> None:
        """Raise StateChanged when the terms are others now."""
        if fingerprint != self.fingerprint:
            raise StateChanged(CHANGED, "quote_changed")


def hash_terms(terms: Any) -> str:
    """A fingerprint in 64 characters of terms that JSON can carry."""
    return hashlib.sha256(json.dumps(terms).encode()).hexdigest()


def quote_fingerprint(quote: Quote) -> str:
    """What a customer agrees to when it accepts this quote, in 64 characters: the same for the same terms and amounts."""
    lines = [
        (line.kind, line.item_id, line.offer.price_id, line.quantity, line.period_start, line.period_end, line.total)
        for line in (*quote.invoice.lines, *quote.deferred_lines)
    ]
    items = [(item.id, item.offer.price_id, item.quantity, item.period_start, item.period_end) for item in quote.items]
    following = quote.next_invoice and (quote.next_invoice.date, quote.next_invoice.amount_due)
    terms = [quote.effective_at, quote.invoice.amount_due, quote.invoice.ending_balance, lines, items, following]
    return hash_terms(terms)


def find_by_confirmation_key(session: Session, customer_id: str, key: str) -> PlanChange | None:
    """The change that this yes of the customer's made already, if it did: each counts once."""
    mine = PlanChange.customer_id == customer_id, PlanChange.quote_key == key
    return session.scalar(select(PlanChange).where(*mine))
