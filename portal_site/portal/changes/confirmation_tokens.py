"""Confirmations in forms: signed, for exactly the shown terms, and for one subscription of one customer."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import g, request

from portal_site.billing.loading.confirmations import Confirmation
from portal_site.web import signing


@dataclass(frozen=True)
class SignedConfirmation:
    """A confirmation, and the other values that the page signed with it."""

    confirmation: Confirmation
    what: Mapping[str, Any]


def issue(purpose: str, subscription_id: str, fingerprint: str, **what: Any) -> str:
    """The value of the form field that confirms these terms. It works once, even if it is sent twice."""
    whose = {"customer": g.visitor.customer_id, "subscription": subscription_id}
    terms = {"at": g.now, "fingerprint": fingerprint, "key": secrets.token_urlsafe(16)}
    return signing.sign(purpose, {**whose, **terms, **what})


def read(purpose: str, subscription_id: str, field: str = "quote") -> SignedConfirmation | None:
    """The confirmation in the submitted form; None if its signature is invalid or it is for another customer or subscription."""
    signed = signing.read(purpose, request.form.get(field, ""))
    if not signed or (signed["customer"], signed["subscription"]) != (g.visitor.customer_id, subscription_id):
        return None
    return SignedConfirmation(Confirmation(signed["at"], signed["fingerprint"], signed["key"]), signed)
