"""The gateway of an account that has connected Stripe.

A charge is a payment intent, made in two steps: it is created, which moves no money, and then confirmed. Each step has a key of
its own, so that after a lost answer it can be asked which step was reached. Source of states and codes: Stripe's API reference.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from portal_site.billing.errors import EventRefused, GatewayUnavailable
from portal_site.billing.gateways import (
    Charge,
    ChargeRequest,
    CustomerDetails,
    DisputeDetails,
    GatewayEvent,
    Mandate,
    PaymentDetails,
    Refund,
    RefundDetails,
    RefundRequest,
    SetupSession,
)
from portal_site.billing.gateways.stripe import answers
from portal_site.billing.gateways.stripe.answers import Object
from portal_site.billing.gateways.stripe.client import errors, is_stored, under_key

if TYPE_CHECKING:
    from stripe import StripeClient

NAME = "stripe"
log = logging.getLogger("portal.billing")
REPLAYED = (
    20 * 60 * 60
)  # seconds for which a key surely answers again with the intent that it made; Stripe says 24 hours
MOST_SEARCHED = 1000
COMPLETE = "complete"


class StripeGateway:
    """Stripe, for one account and mode. `currency` is the account's own; `note` gets to know why a key does not work."""

    name = NAME

    def __init__(self, client: "StripeClient", livemode: bool, currency: str, note: Callable[[str], None]) -> None:
        self._stripe, self._livemode, self._currency, self._note = client.v1, livemode, currency, note

    def create_customer(self, customer: CustomerDetails, idempotency_key: str) -> str:
        """As the protocol says."""
        params: dict[str, Any] = {"metadata": {"customer": customer.id}}
        params |= {name: value for name, value in (("name", customer.name), ("email", customer.email)) if value}
        with errors(self._note):
            return str(under_key(lambda key: self._stripe.customers.create(params, key), idempotency_key)["id"])  # type: ignore[arg-type]

    def begin_setup(self, customer: str, livemode: bool, return_url: str) -> SetupSession:
        """As the protocol says: a Checkout session in setup mode, with the methods that the account has switched on."""
        self._refuse_other_mode(livemode)
        with errors(self._note):
            made = self._stripe.checkout.sessions.create(
                {"mode": "setup", "customer": customer, "currency": self._currency, "success_url": return_url,
                 "cancel_url": return_url}
            )  # fmt: skip
        return SetupSession(str(made.id), str(made.url))

    def find_setup(self, reference: str) -> SetupSession | None:
        """As the protocol says. It is done when both the session and its setup intent are."""
        found = self._maybe(
            lambda: self._stripe.checkout.sessions.retrieve(reference, {"expand": ["setup_intent.payment_method"]})
        )
        if found is None:
            return None
        intent = found.get("setup_intent") or {}
        address = found.get("url") or ""
        if found["status"] != COMPLETE or intent.get("status") != "succeeded":
            return SetupSession(reference, address)
        details = answers.details(intent["payment_method"])
        return SetupSession(reference, address, replace(details, mandate=self._mandate(intent.get("mandate"))))

    def _mandate(self, name: str | None) -> Mandate | None:
        """The mandate of a debit. Without it the payment method works as well, so nothing depends on an answer."""
        if name is None:
            return None
        try:
            with errors():
                return answers.mandate(self._stripe.mandates.retrieve(name).to_dict())
        except Exception as error:
            log.warning("the mandate %s is not known: %s", name, error)
            return None

    def find_method(self, reference: str) -> PaymentDetails | None:
        """A payment method as it is now: networks replace cards. None if it belongs to no customer any more."""
        found = self._maybe(lambda: self._stripe.payment_methods.retrieve(reference))
        return answers.details(found) if found is not None and found.get("customer") else None

    def charge(self, request: ChargeRequest) -> Charge:
        """As the protocol says."""
        self._refuse_other_mode(request.livemode)
        return self._outcome(request, lambda: self._confirmed(request, self._found_or_created(request)))

    def find_charge(self, request: ChargeRequest, at: int) -> Charge | None:
        """As the protocol says. One that waits for the customer is None if the customer is there: it is confirmed again then."""
        self._refuse_other_mode(request.livemode)
        if request.reference is None and at - request.created > REPLAYED:
            intent = self._search(request)
            if intent is None:
                return None
        else:
            intent = None
        try:
            with errors(self._note):
                intent = intent or self._current(request)
        except Exception as error:
            return _refused(request, error)
        if answers.is_to_authenticate(intent) and not request.off_session:
            return None
        return answers.charge(intent, request)

    def cancel_charge(self, request: ChargeRequest) -> Charge | None:
        """As the protocol says."""
        self._refuse_other_mode(request.livemode)
        reference = request.reference
        if not reference:
            return None
        return self._outcome(request, lambda: self._stripe.payment_intents.cancel(reference).to_dict())

    def refund(self, request: RefundRequest, at: int) -> Refund:
        """As the protocol says. What Stripe refuses to make, such as more than was charged, has failed."""
        import stripe

        try:
            with errors(self._note):
                return answers.refund(self._refunded(request, at))
        except stripe.InvalidRequestError as error:
            if request.reference is not None:  # it was made: that it is not found now says nothing of it
                raise GatewayUnavailable(f"{request.reference} is not known: {error.user_message}") from error
            return Refund("failed", request.idempotency_key)

    def _refunded(self, request: RefundRequest, at: int) -> Object:
        """The refund; where its key says no more what became of it, it is found among those of the charge, by its metadata."""
        import stripe

        if request.reference is not None:
            return self._stripe.refunds.retrieve(request.reference).to_dict()
        if at - request.created > REPLAYED and (found := self._refund_made(request)) is not None:
            return found
        params: Any = {
            "payment_intent": request.charge_reference, "amount": request.amount,
            "metadata": {"refund": request.idempotency_key},
        }  # fmt: skip
        if request.is_on_behalf and self._is_transferred(request.charge_reference):
            params["reverse_transfer"] = True
        try:
            return self._stripe.refunds.create(params, {"idempotency_key": request.idempotency_key}).to_dict()
        except stripe.StripeError as error:
            if not is_stored(error):
                raise
        found = self._refund_made(request)
        return found or under_key(lambda key: self._stripe.refunds.create(params, key), request.idempotency_key)

    def _refund_made(self, request: RefundRequest) -> Object | None:
        made = self._stripe.refunds.list({"payment_intent": request.charge_reference, "limit": 100})
        for one in made.auto_paging_iter():
            document = one.to_dict()
            if (document.get("metadata") or {}).get("refund") == request.idempotency_key:
                return document
        return None

    def _is_transferred(self, reference: str) -> bool:
        """Whether the money of a charge went on to another account. That is not known from here: it may have been set later."""
        return bool(self._stripe.payment_intents.retrieve(reference).to_dict().get("transfer_data"))

    def find_refund(self, reference: str) -> RefundDetails | None:
        """As the protocol says."""
        found = self._maybe(lambda: self._stripe.refunds.retrieve(reference, {"expand": ["payment_intent"]}))
        return answers.refund_details(found) if found is not None else None

    def find_dispute(self, reference: str) -> DisputeDetails | None:
        """As the protocol says."""
        found = self._maybe(lambda: self._stripe.disputes.retrieve(reference, {"expand": ["payment_intent"]}))
        return answers.dispute(found) if found is not None else None

    def forget(self, payment_method: str) -> None:
        """As the protocol says. One that is gone already is forgotten."""
        self._maybe(lambda: self._stripe.payment_methods.detach(payment_method))

    def parse_event(self, headers: Mapping[str, str], body: bytes) -> GatewayEvent | None:
        """Events come to an address of each account: see `StripeConnector.read_event`."""
        raise EventRefused("Events of Stripe come to the address of an account.")

    def _current(self, request: ChargeRequest) -> Object:
        """The payment intent as it is now: a repeated creation is answered with what was said the first time."""
        intent = self._found_or_created(request)
        return intent if request.reference else self._stripe.payment_intents.retrieve(str(intent["id"])).to_dict()

    def _found_or_created(self, request: ChargeRequest) -> Object:
        """The payment intent of a charge; a repeated creation answers with the one that there is, as it was at first."""
        if request.reference is not None:
            return self._stripe.payment_intents.retrieve(request.reference).to_dict()
        params: dict[str, Any] = {
            "amount": request.amount, "currency": request.currency, "payment_method": request.payment_method,
            "payment_method_types": [request.type], "description": request.description,
            "metadata": dict(request.metadata),
        }  # fmt: skip
        if request.customer is not None:
            params["customer"] = request.customer
        if request.on_behalf_of is not None:
            params |= {"on_behalf_of": request.on_behalf_of, "transfer_data": {"destination": request.on_behalf_of}}
        create: Any = self._stripe.payment_intents.create
        made: Object = under_key(lambda key: create(params, key), f"{request.idempotency_key}_create")
        return made

    def _confirmed(self, request: ChargeRequest, intent: Any) -> Any:
        """The payment intent, confirmed unless it is already."""
        asks_again = answers.is_to_authenticate(intent) and not request.off_session
        if answers.charge(intent, request) is not None and not asks_again:
            return intent
        params: dict[str, Any] = {"payment_method": request.payment_method}
        params |= {"off_session": True} if request.off_session else {"return_url": request.return_url}
        step = "confirm" if request.off_session else "confirm_present"
        confirm = self._stripe.payment_intents.confirm
        return under_key(lambda key: confirm(intent["id"], params, key), f"{request.idempotency_key}_{step}")  # type: ignore[arg-type]

    def _outcome(self, request: ChargeRequest, call: Callable[[], Any]) -> Charge:
        try:
            with errors(self._note):
                charge = answers.charge(call(), request)
        except Exception as error:
            charge = _refused(request, error)
        if charge is None:
            raise GatewayUnavailable("Stripe has not begun the payment.")
        return charge

    def _search(self, request: ChargeRequest) -> Any:
        """The payment intent of an old charge whose first answer was lost, by its metadata. Lists are exact, searches are not.

        If there are several, because the answers to earlier creations were errors, at most one of them was confirmed: that one.
        Raises GatewayUnavailable where it cannot be said that there is none: to begin again could charge twice.
        """
        if request.customer is None:
            raise GatewayUnavailable("A lost answer of a charge without a customer cannot be looked up.")
        with errors(self._note):
            listed = self._stripe.payment_intents.list({"customer": request.customer, "limit": 100})
            found = None
            for number, intent in enumerate(listed.auto_paging_iter()):
                document = intent.to_dict()
                if (document.get("metadata") or {}).get("attempt") == request.metadata.get("attempt"):
                    found = document
                    if answers.charge(document, request) is not None:
                        break
                if number >= MOST_SEARCHED:
                    raise GatewayUnavailable("The customer has too many payments to find the lost one.")
        return found

    def _maybe(self, call: Callable[[], Any]) -> Any:
        """The answer; None if Stripe does not know what is asked for."""
        import stripe

        try:
            with errors(self._note):
                return call().to_dict()
        except stripe.InvalidRequestError:
            return None

    def _refuse_other_mode(self, livemode: bool) -> None:
        if livemode is not self._livemode:
            raise GatewayUnavailable("A charge of one mode came to the connection of the other.")


def _refused(request: ChargeRequest, error: Exception) -> Charge | None:
    """What a refusal says of a charge: the intent in it is its state; without one nothing was begun, and nothing will be."""
    import stripe

    if not isinstance(error, stripe.CardError | stripe.InvalidRequestError):
        raise error
    body: Any = error.json_body["error"] if isinstance(error.json_body, dict) else {}
    if "payment_intent" in body:
        return answers.charge(body["payment_intent"], request)
    return Charge("declined", request.reference or request.idempotency_key, answers.decline_code(body))
