"""Errors of the billing engine. The web layer maps them to HTTP statuses."""

from typing import Any

from portal_site.billing.translation_marks import N_


class BillingError(Exception):
    """An operation was refused.

    `message` is an English sentence for the customer, with %(name)s placeholders for `values`. `code` is one of Stripe's error
    codes. `param` is the parameter (form field) that caused the error, or None.
    """

    def __init__(self, message: str, code: str = "", param: str | None = None, **values: object) -> None:
        super().__init__(message % values if values else message)
        self.message = message
        self.code = code
        self.param = param
        self.values = values


class NotFound(BillingError):
    """The object does not exist or belongs to another customer; the error does not tell which."""


class ObjectMissing(NotFound):
    """The very object that a program asks for is not there, not one that it is to be used with."""


class WithObjects(BillingError):
    """A refusal that shows the objects which it is about: `objects` are members of the API's error."""

    objects: dict[str, Any]

    def __init__(self, message: str, code: str, param: str | None = None, /, **objects: Any) -> None:
        super().__init__(message, code, param)
        self.objects = objects


class Declined(WithObjects):
    """A bank refuses a payment method."""


class UnexpectedState(WithObjects):
    """What is asked for cannot be done in the object's state."""


class Unreadable(Exception):
    """A stored row makes no sense, such as a status that does not exist. It is shown as one that cannot be shown."""


class StateChanged(BillingError):
    """The terms that the customer confirmed no longer apply. The page shows the new state and asks again."""


class GatewayUnavailable(BillingError):
    """The payment provider did not answer, so the outcome of the call is unknown.

    `reason`, which `str` gives, is for the log: what a provider's library says is nothing for customers.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(
            N_("Our payment provider does not answer at the moment. Nothing was changed. Please try again later.")
        )
        self.args = (reason,)


class EventRefused(BillingError):
    """What came in is not an event of the payment provider's."""


class ImportRefused(BillingError):
    """A file cannot be imported, and nothing of it was.

    The sentence names the faulty object. It is always a single line of at most 2,500 characters, whatever the object's name is.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(" ".join(sentence.encode(errors="replace").decode().split())[:2500])
