"""The sandbox's gateway. It stands in for a provider's SDK and works on the sandbox's own tables."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from portal_site import clock
from portal_site.billing.errors import BillingError
from portal_site.billing.gateways import (
    Charge,
    ChargeRequest,
    CustomerDetails,
    GatewayEvent,
    Mandate,
    MethodToken,
    PaymentDetails,
    Refund,
    RefundRequest,
    Saving,
    SetupSession,
)
from portal_site.billing.gateways.sandbox import events, tokens
from portal_site.billing.gateways.sandbox.models import SandboxCharge, SandboxMethod, SandboxRefund, SandboxSetup
from portal_site.billing.translation_marks import N_
from portal_site.db.transactions import transaction
from portal_site.ids import new_id

DAYS_OF_A_DEBIT = 4
MANDATE = 16  # characters of its reference
SLOW_DEBITS = {"process": None, "process_then_fail": "insufficient_funds"}  # how each ends


class SandboxGateway:
    """Holds test payment methods and decides their charges. Every call about something of live mode raises BillingError.

    `url_for` makes the addresses of its hosted pages; the first of `secrets` signs its events, the others are older.
    """

    name = "sandbox"

    def __init__(self, url_for: Callable[..., str], secrets: Sequence[bytes]) -> None:
        self._url_for = url_for
        self._secrets = secrets

    def create_customer(self, customer: CustomerDetails, idempotency_key: str) -> str:
        """As the protocol says. It keeps nothing of customers: its name for one is made of ours."""
        _refuse_live(customer.livemode)
        return f"sbxcus_{customer.id}"

    def begin_setup(self, customer: str, livemode: bool, return_url: str) -> SetupSession:
        """As the protocol says."""
        _refuse_live(livemode)
        row = SandboxSetup(reference=new_id("sbxs"), customer=customer, return_url=return_url)
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
        return SetupSession(
            row.reference, self._url_for("sandbox.show_setup", reference=reference), details, row.failed
        )

    def begin_checkout(
        self, customer: str, return_url: str, cancel_url: str | None, types: Collection[str]
    ) -> SetupSession:
        """See SimulatedGateway."""
        row = SandboxSetup(
            reference=new_id("sbxs"), customer=customer, return_url=return_url, cancel_url=cancel_url,
            method_type=next(iter(types)) if len(types) == 1 else None,
        )  # fmt: skip
        with transaction() as session:
            session.add(row)
        return SetupSession(row.reference, self._url_for("sandbox.show_setup", reference=row.reference))

    def end_setup(self, reference: str) -> None:
        """See SimulatedGateway."""
        with transaction() as session:
            row = session.get(SandboxSetup, reference)
            if row is not None:
                session.delete(row)

    def make_method(self, token: MethodToken) -> PaymentDetails:
        """See SimulatedGateway."""
        row = tokens.method(token)
        with transaction() as session:
            session.add(row)
        return _details(row)

    def save_method(self, payment_method: str, return_url: str | None) -> Saving:
        """See SimulatedGateway."""
        with transaction() as session:
            method = session.get(SandboxMethod, payment_method)
            if method is None or method.on_setup not in tokens.WORKS:
                return Saving("declined", method.on_setup if method else "payment_method_unactivated")
            if method.confirmed or return_url is None:
                return Saving("succeeded")
            row = SandboxSetup(
                reference=new_id("sbxs"), customer="", return_url=return_url, method_reference=payment_method
            )
            session.add(row)
        url = self._url_for("sandbox.show_setup_challenge", reference=row.reference)
        return Saving("requires_action", reference=row.reference, url=url)

    def change_method(self, payment_method: str, exp_month: int, exp_year: int) -> None:
        """See SimulatedGateway."""
        with transaction() as session:
            method = session.get(SandboxMethod, payment_method)
            if method is not None:
                method.exp_month, method.exp_year = exp_month, exp_year

    def charge(self, request: ChargeRequest) -> Charge:
        """As the protocol says."""
        _refuse_live(request.livemode)
        try:
            row = _charged(request)
        except IntegrityError:  # another call with this key was quicker by a moment: the charge is that one's
            row = _charged(request)
        return self._charge(row)

    def find_charge(self, request: ChargeRequest, at: int) -> Charge | None:
        """As the protocol says: by the key. A debit whose days are over is settled by it."""
        _refuse_live(request.livemode)
        with transaction() as session:
            row = session.get(SandboxCharge, request.idempotency_key, with_for_update=True)
            if row is not None and row.status == "processing" and row.settles_at is not None and row.settles_at <= at:
                row.status = "declined" if row.decline_code else "succeeded"
        return self._charge(row) if row else None

    def cancel_charge(self, request: ChargeRequest) -> Charge | None:
        """As the protocol says."""
        _refuse_live(request.livemode)
        with transaction() as session:
            row = session.get(SandboxCharge, request.idempotency_key, with_for_update=True)
            if row is not None and row.status == "requires_action":
                row.status, row.decline_code = "declined", "authentication_not_handled"
        return self._charge(row) if row else None

    def refund(self, request: RefundRequest, at: int) -> Refund:
        """As the protocol says. More than was charged is refused, as is any part of a charge that brought nothing."""
        reference, amount = request.charge_reference, request.amount
        with transaction() as session:
            charge = session.scalar(select(SandboxCharge).where(SandboxCharge.reference == reference).with_for_update())
            row = session.get(SandboxRefund, request.idempotency_key)
            if row is None:
                mine = select(func.sum(SandboxRefund.amount)).where(
                    SandboxRefund.charge_reference == reference, SandboxRefund.status == "succeeded"
                )
                left = charge.amount - (session.scalar(mine) or 0) if charge and charge.status == "succeeded" else 0
                row = SandboxRefund(
                    idempotency_key=request.idempotency_key,
                    reference=new_id("sbxr"),
                    charge_reference=reference,
                    amount=amount,
                    status="succeeded" if 0 < amount <= left else "failed",
                )
                session.add(row)
        return Refund(row.status, row.reference)

    def find_refund(self, reference: str) -> None:
        """Refunds are made here only through the protocol."""

    def find_dispute(self, reference: str) -> None:
        """Nobody disputes a pretended payment."""

    def find_method(self, payment_method: str) -> PaymentDetails | None:
        """See Gateway."""
        with transaction() as session:
            row = session.get(SandboxMethod, payment_method)
        return _details(row) if row is not None and row.confirmed else None

    def forget(self, payment_method: str) -> None:
        """See Gateway. Charges made with the payment method are kept."""
        with transaction() as session:
            row = session.get(SandboxMethod, payment_method)
            if row is not None:
                session.delete(row)

    def parse_event(self, headers: Mapping[str, str], body: bytes) -> GatewayEvent | None:
        """As the protocol says."""
        return events.parse(self._secrets, headers, body, clock.now())

    def make_event(self, kind: str, reference: str) -> tuple[dict[str, str], bytes]:
        """Headers and body of an event about a charge, as the sandbox would send it now."""
        with transaction() as session:
            row = session.scalars(select(SandboxCharge).where(SandboxCharge.reference == reference)).one()
        document = {"id": new_id("sbxe"), "type": kind, "charge": reference, "idempotency_key": row.idempotency_key}
        return events.sign(self._secrets[0], document, clock.now())

    def _charge(self, row: SandboxCharge) -> Charge:
        asked = row.status == "requires_action"
        url = self._url_for("sandbox.show_challenge", reference=row.reference) if asked else None
        return Charge(row.status, row.reference, row.decline_code if row.status == "declined" else None, url)


def _refuse_live(livemode: bool) -> None:
    """Raise BillingError in live mode: no real payment may end up here, nor count as paid because of this."""
    if livemode:
        raise BillingError(N_("Payment methods cannot be added here right now."), "livemode_mismatch")


def _charged(request: ChargeRequest) -> SandboxCharge:
    """The charge with this key, made if there is none yet."""
    with transaction() as session:
        row = session.get(SandboxCharge, request.idempotency_key, with_for_update=True)
        if row is None:
            row = SandboxCharge(
                idempotency_key=request.idempotency_key,
                reference=new_id("sbxc"),
                method_reference=request.payment_method,
                amount=request.amount,
                currency=request.currency,
                return_url=request.return_url,
                **_decision(session.get(SandboxMethod, request.payment_method), request.created),
            )
            session.add(row)
    return row


def _decision(method: SandboxMethod | None, created: int) -> dict[str, Any]:
    if method is None:
        return {"status": "declined", "decline_code": "payment_method_unactivated"}
    if method.on_setup not in tokens.WORKS:
        return {"status": "declined", "decline_code": method.on_setup}
    if method.on_charge == "authenticate" or not method.confirmed:
        return {"status": "requires_action", "decline_code": None}
    if method.on_charge in SLOW_DEBITS:
        settles_at = created + DAYS_OF_A_DEBIT * 24 * 60 * 60
        return {"status": "processing", "decline_code": SLOW_DEBITS[method.on_charge], "settles_at": settles_at}
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
        mandate=Mandate(row.reference.partition("_")[2].upper()[:MANDATE]) if row.type == "sepa_debit" else None,
    )
