"""Refusals of the engine. A door decides the HTTP status; no status stands here."""

from typing import Any


class BillingError(Exception):
    """An operation was refused. `message` is an English sentence for the customer, with %(name)s for `values`.

    `code` is one of the field's error codes, `param` the parameter (form field) that is at fault, if one is.
    """

    def __init__(self, message: str, code: str = "", param: str | None = None, **values: Any) -> None:
        super().__init__(message % values if values else message)
        self.message = message
        self.code = code
        self.param = param
        self.values = values


class NotFound(BillingError):
    """The thing does not exist for this customer, which is all that a stranger may learn."""


class StateChanged(BillingError):
    """What the customer saw no longer holds: show the new state and ask again."""


class GatewayUnavailable(BillingError):
    """The payment provider did not answer; nothing is known to have happened."""


class EventRefused(BillingError):
    """What came in is not an event of the payment provider's."""


class ImportRefused(BillingError):
    """A file cannot be taken over; nothing of it was. The sentence names the object, and is one line whatever that is called."""

    def __init__(self, sentence: str) -> None:
        super().__init__(" ".join(sentence.encode(errors="replace").decode().split())[:500])
