"""A customer's yes, as a form carries it: signed, to exactly what was shown, for one customer's one subscription."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import g, request

from portal_site.billing.loading.confirmations import Confirmation
from portal_site.web import signing


@dataclass(frozen=True)
class SignedConfirmation:
    """What was agreed to, and what else the page had signed with it."""

    confirmation: Confirmation
    what: Mapping[str, Any]


def issue(purpose: str, subscription_id: str, fingerprint: str, **what: Any) -> str:
    """The value of a field that says yes to these terms, as they are now; sending it twice counts once."""
    whose = {"customer": g.visitor.customer_id, "subscription": subscription_id}
    terms = {"at": g.now, "fingerprint": fingerprint, "key": secrets.token_urlsafe(16)}
    return signing.sign(purpose, {**whose, **terms, **what})


def read(purpose: str, subscription_id: str, field: str = "quote") -> SignedConfirmation | None:
    """The yes in the form that was sent; None when it is none of ours, or was not for this customer and subscription."""
    signed = signing.read(purpose, request.form.get(field, ""))
    if not signed or (signed["customer"], signed["subscription"]) != (g.visitor.customer_id, subscription_id):
        return None
    return SignedConfirmation(Confirmation(signed["at"], signed["fingerprint"], signed["key"]), signed)
