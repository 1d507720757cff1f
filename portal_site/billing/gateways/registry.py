"""The installed payment providers: those for new payment methods, and those that store existing ones."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, cast

from sqlalchemy.exc import SQLAlchemyError

from portal_site.billing.errors import BillingError, GatewayUnavailable
from portal_site.billing.gateways import Connector, Gateway, ReceivedEvent, SimulatedGateway
from portal_site.billing.translation_marks import N_
from portal_site.db.faults import described

MOST_SILENT = 5  # calls in a row without an answer, after which a billing run no longer calls a provider


class Owned(Protocol):
    """A row of an account, in test or in live mode."""

    account_id: str
    livemode: bool


class MadeWithGateway(Owned, Protocol):
    """An object stored at a provider, such as a payment method."""

    @property
    def gateway(self) -> str: ...


class Gateways:
    """All providers by name. A payment method is charged by the provider that stores it, even if another is preferred now.

    A provider is one gateway for all accounts, or a connector to those of each account.
    """

    def __init__(self, preferred: Gateway | Connector, *others: Gateway | Connector) -> None:
        self._by_name = {provider.name: provider for provider in (preferred, *others)}

    @property
    def names(self) -> tuple[str, ...]:
        """The installed providers, the preferred one first."""
        return tuple(self._by_name)

    def preferred(self, owner: Owned) -> Gateway:
        """The gateway for new payment methods of an account: the first that it has. Raises BillingError if it has none."""
        for name in self._by_name:
            if (gateway := self.named(name, owner)) is not None:
                return gateway
        raise BillingError(N_("Payment methods cannot be added here right now."), "livemode_mismatch")

    def named(self, name: str, owner: Owned) -> Gateway | None:
        """The account's gateway with this name; None if it is not installed, or not connected, any more."""
        provider = self._by_name.get(name)
        return provider.gateway_of(owner.account_id, owner.livemode) if isinstance(provider, Connector) else provider

    def shared(self, name: str) -> Gateway | None:
        """The provider with this name that is one gateway for all accounts, if it is installed."""
        provider = self._by_name.get(name)
        return None if isinstance(provider, Connector) else provider

    def connector(self, name: str) -> Connector | None:
        """The provider with this name at which each account has a connection of its own, if it is installed."""
        provider = self._by_name.get(name)
        return provider if isinstance(provider, Connector) else None

    def connectors(self) -> list[Connector]:
        """The providers at which each account has a connection of its own."""
        return [provider for provider in self._by_name.values() if isinstance(provider, Connector)]

    def simulated(self) -> tuple[str, SimulatedGateway]:
        """The provider, with its name, at which programs make payments in test mode. Raises BillingError if there is none."""
        for name, provider in self._by_name.items():
            if isinstance(provider, SimulatedGateway):
                return name, provider
        raise BillingError("Programs make payments with the sandbox, which is not installed here: see PORTAL_GATEWAY.")

    def for_method(self, method: MadeWithGateway) -> Gateway | None:
        """The gateway that stores a payment method; None if it is not installed, or not connected, any more."""
        return self.named(method.gateway, method)

    def for_one_run(self) -> tuple["Gateways", Callable[[], str | None]]:
        """The providers for one billing run, and a function that returns the fault of one that never answered in it, if any.

        A gateway that fails five times in a row is no longer called: thousands of time-outs would delay the others.
        """
        guarded: list[_Impatient] = []

        def guard(gateway: Gateway) -> Gateway:
            guarded.append(_Impatient(gateway))
            return cast("Gateway", guarded[-1])

        first, *others = (
            _OneRun(provider, guard) if isinstance(provider, Connector) else guard(provider)
            for provider in self._by_name.values()
        )
        return Gateways(first, *others), lambda: next(filter(None, (gateway.fault() for gateway in guarded)), None)


class _OneRun(Connector):
    """A connector during one run: an account's gateway is made once, and its failures are counted by themselves."""

    def __init__(self, connector: Connector, guard: Callable[[Gateway], Gateway]) -> None:
        self.name = connector.name
        self._connector, self._guard = connector, guard
        self._known: dict[tuple[str, bool], Gateway | None] = {}

    def gateway_of(self, account_id: str, livemode: bool) -> Gateway | None:
        """As the connector, once for each account and mode."""
        key = account_id, livemode
        if key not in self._known:
            gateway = self._connector.gateway_of(account_id, livemode)
            self._known[key] = self._guard(gateway) if gateway is not None else None
        return self._known[key]

    def read_event(self, account_id: str, headers: Mapping[str, str], body: bytes, at: int) -> ReceivedEvent:
        """As the connector."""
        return self._connector.read_event(account_id, headers, body, at)

    def missed_events(self, at: int) -> Iterator[tuple[str, ReceivedEvent]]:
        """As the connector."""
        return self._connector.missed_events(at)


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
