"""The payment providers that this program works with: the one for new payment methods, and each for those made with it."""

from typing import Protocol

from portal_site.billing.gateways import Gateway


class MadeWithGateway(Protocol):
    """What names the provider that holds it, such as a payment method."""

    @property
    def gateway(self) -> str: ...


class Gateways:
    """All providers by name. A payment method is charged with the provider that it was left with, whatever is set since."""

    def __init__(self, default: Gateway, *others: Gateway) -> None:
        self.default = default
        self._by_name = {gateway.name: gateway for gateway in (default, *others)}

    def named(self, name: str) -> Gateway | None:
        """The provider with this name; None when the program does not work with it any more."""
        return self._by_name.get(name)

    def for_method(self, method: MadeWithGateway) -> Gateway | None:
        """The provider that holds a payment method; None when the program does not work with it any more."""
        return self.named(method.gateway)
