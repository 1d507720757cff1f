"""The sandbox's gateway. It stands in for a provider's SDK and works on the sandbox's own tables."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from portal_site.billing.errors import BillingError
from portal_site.billing.gateways import Charge, PaymentDetails, SetupSession
from portal_site.billing.gateways.sandbox.models import SandboxCharge, SandboxMethod, SandboxSetup
from portal_site.billing.translation_marks import N_
from portal_site.db.transactions import transaction
from portal_site.ids import new_id


class SandboxGateway:
    """Stores test payment methods and decides the outcome of charges. `url_for` makes the URLs of its hosted pages."""

    name = "sandbox"

    def __init__(self, url_for: Callable[..., str]) -> None:
        self._url_for = url_for

    def begin_setup(self, customer_id: str, livemode: bool, return_url: str) -> SetupSession:
        """See Gateway. Raises BillingError in live mode, because no real payment may be made here."""
        if livemode:
            raise BillingError(N_("Payment methods cannot be added here right now."), "livemode_mismatch")
        row = SandboxSetup(reference=new_id("sbxs"), customer=customer_id, return_url=return_url)
        with transaction() as session:
            session.add(row)
        return SetupSession(row.reference, self._url_for("sandbox.show_setup", reference=row.reference))

    def find_setup(self, reference: str) -> SetupSession | None:
        """See Gateway."""
        with transaction() as session:
            row = session.get(SandboxSetup, reference)
            if row is None:
                return None
            method = session.get(SandboxMethod, row.method_reference) if row.method_reference else None
        details = _details(method) if method and method.confirmed else None
        return SetupSession(row.reference, self._url_for("sandbox.show_setup", reference=reference), details)

    def charge(self, payment_method: str, amount: int, currency: str, idempotency_key: str, return_url: str) -> Charge:
        """See Gateway."""
        members = {"method_reference": payment_method, "amount": amount, "currency": currency, "return_url": return_url}
        try:
            row = _charged(idempotency_key, members)
        except IntegrityError:  # a concurrent call with this key created the charge first
            row = _charged(idempotency_key, members)
        return self._charge(row)

    def find_charge(self, idempotency_key: str) -> Charge | None:
        """See Gateway."""
        with transaction() as session:
            row = session.scalar(select(SandboxCharge).where(SandboxCharge.idempotency_key == idempotency_key))
        return self._charge(row) if row else None

    def cancel_charge(self, idempotency_key: str) -> Charge | None:
        """See Gateway."""
        with transaction() as session:
            row = session.get(SandboxCharge, idempotency_key, with_for_update=True)
            if row is not None and row.status == "requires_action":
                row.status, row.decline_code = "declined", "authentication_not_handled"
        return self._charge(row) if row else None

    def forget(self, payment_method: str) -> None:
        """See Gateway. Charges made with the payment method are kept."""
        with transaction() as session:
            row = session.get(SandboxMethod, payment_method)
            if row is not None:
                session.delete(row)

    def _charge(self, row: SandboxCharge) -> Charge:
        url = self._url_for("sandbox.show_challenge", reference=row.reference)
        return Charge(row.status, row.reference, row.decline_code, url if row.status == "requires_action" else None)


def _charged(idempotency_key: str, members: dict[str, Any]) -> SandboxCharge:
    """The charge with this key, created if it does not exist."""
    with transaction() as session:
        row = session.get(SandboxCharge, idempotency_key, with_for_update=True)
        if row is None:
            decision = _decision(session.get(SandboxMethod, members["method_reference"]))
            row = SandboxCharge(idempotency_key=idempotency_key, reference=new_id("sbxc"), **members, **decision)
            session.add(row)
    return row


def _decision(method: SandboxMethod | None) -> dict[str, Any]:
    if method is None:
        return {"status": "declined", "decline_code": "payment_method_unactivated"}
    if method.on_charge == "authenticate":
        return {"status": "requires_action", "decline_code": None}
    if method.on_charge == "process":
        return {"status": "processing", "decline_code": None}
    if method.on_charge != "ok":
        return {"status": "declined", "decline_code": method.on_charge}
    return {"status": "succeeded", "decline_code": None}


def _details(row: SandboxMethod) -> PaymentDetails:
    return PaymentDetails(
        reference=row.reference,
        type=row.type,
        brand=row.brand,
        last4=row.last4,
        exp_month=row.exp_month,
        exp_year=row.exp_year,
        funding="credit" if row.type == "card" else None,
        country=row.country,
        fingerprint=row.fingerprint,
    )
