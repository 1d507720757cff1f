"""Who acts. It is said once where something begins: by a request, a billing run, a command; events are stored with it."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum


class ActorType(StrEnum):
    """The kinds of actors. The id of each, where it has one, stands beside it."""

    CUSTOMER = "customer"  # in the portal: the customer's id
    USER = "user"  # of the merchant: the user's id
    API_KEY = "api_key"  # the key's id
    WORKER = "worker"  # the billing run, whoever starts it
    IMPORT = "import"
    OPERATOR = "operator"  # at the command line
    PROVIDER = "provider"  # an event of a payment provider: the provider's name


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did something."""

    type: ActorType
    id: str | None = None


@dataclass(frozen=True, slots=True)
class ProgramRequest:
    """A request of a program's: its id, and the idempotency key that it was sent with."""

    id: str
    idempotency_key: str | None = None


_actor: ContextVar[Actor] = ContextVar("actor")
_request: ContextVar[ProgramRequest | None] = ContextVar("request", default=None)


@contextmanager
def acting_as(kind: ActorType, actor_id: str | None = None) -> Iterator[None]:
    """All events that are emitted in the block are this actor's. A block inside it may name another; a new thread has none."""
    token = _actor.set(Actor(kind, actor_id))
    try:
        yield
    finally:
        _actor.reset(token)


def current_actor() -> Actor:
    """Who acts now. Raises RuntimeError where nobody was named, which is a programming error."""
    try:
        return _actor.get()
    except LookupError:
        raise RuntimeError("nobody acts: what changes something begins with `acting_as`") from None


@contextmanager
def answering(request: ProgramRequest) -> Iterator[None]:
    """All events that are emitted in the block are caused by this request."""
    token = _request.set(request)
    try:
        yield
    finally:
        _request.reset(token)


def current_request() -> ProgramRequest | None:
    """The request that causes what happens now; None where no program asked for it."""
    return _request.get()
