"""The installed payment providers: the default, for new payment methods, and those that store existing ones."""

from collections.abc import Callable
from typing import Any, Protocol, cast

from sqlalchemy.exc import SQLAlchemyError

from portal_site.billing.errors import BillingError, GatewayUnavailable
from portal_site.billing.gateways import Gateway
from portal_site.db.faults import described

MOST_SILENT = 5  # calls in a row without an answer, after which a billing run no longer calls a provider


class MadeWithGateway(Protocol):
    """An object stored at a provider, such as a payment method."""

    @property
    def gateway(self) -> str: ...


class Gateways:
    """All providers by name. A payment method is charged by the provider that stores it, even if another is the default now."""

    def __init__(self, default: Gateway, *others: Gateway) -> None:
        self.default = default
        self._by_name = {gateway.name: gateway for gateway in (default, *others)}

    def named(self, name: str) -> Gateway | None:
        """The provider with this name, or None if it is no longer installed."""
        return self._by_name.get(name)

    def for_method(self, method: MadeWithGateway) -> Gateway | None:
        """The provider that stores a payment method, or None if it is no longer installed."""
        return self.named(method.gateway)

    def for_one_run(self) -> tuple["Gateways", Callable[[], str | None]]:
        """The providers for one billing run, and a function that returns the fault of one that never answered in it, if any.

        One that fails five times in a row is no longer called: thousands of time-outs would delay the others.
        """
        guarded = [_Impatient(gateway) for gateway in self._by_name.values()]
        default, *others = (cast("Gateway", gateway) for gateway in guarded)
        return Gateways(default, *others), lambda: next(filter(None, (gateway.fault() for gateway in guarded)), None)


class _Impatient:
    """A provider during one run. Any error of its library counts as no answer."""

    def __init__(self, gateway: Gateway) -> None:
        self.name = gateway.name
        self._gateway = gateway
        self._silent, self._answered, self._error = 0, False, ""

    # Any: it passes on all calls of the protocol, each with its own arguments and answer.
    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*given: Any) -> Any:
            if self._silent >= MOST_SILENT:
                raise GatewayUnavailable(self._error)
            try:
                answer = getattr(self._gateway, name)(*given)
            except SQLAlchemyError:  # the sandbox keeps its charges in the portal's database
                raise
            except Exception as error:
                is_refusal = isinstance(error, BillingError) and not isinstance(error, GatewayUnavailable)
                self._answered = self._answered or is_refusal
                self._silent = 0 if is_refusal else self._silent + 1
                self._error = described(error)
                raise
            self._silent, self._answered = 0, True
            return answer

        return call

    def fault(self) -> str | None:
        """Its error, if it has never answered."""
        if self._answered or not self._error:
            return None
        is_passing = self._error.startswith(GatewayUnavailable.__name__) and self._silent < MOST_SILENT
        return None if is_passing else f"{self.name} does not answer: {self._error}"
