"""The next invoice of a subscription as both sides can say it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """What an item, or a pending item, comes to before discounts and taxes; several lines of one, such as tiers, are one part."""

    key: str
    name: str
    amount: int
    price: str | None = None
    quantity: int | None = None
    is_pending: bool = False
    is_proration: bool = False
    is_metered: bool = False


@dataclass(frozen=True, slots=True)
class Bill:
    """An invoice that is not written yet, in minor units. `tax` is what is added on top; `balance` is the customer's before it.

    `parts` are None where only the sums are known.
    """

    date: int
    currency: str
    subtotal: int
    discount: int
    tax: int
    total: int
    balance: int
    amount_due: int
    parts: tuple[Part, ...] | None


def merged(parts: list[Part]) -> tuple[Part, ...]:
    """One part for each key, in their order; the amounts are added."""
    found: dict[str, Part] = {}
    for part in parts:
        before = found.get(part.key)
        if before is None:
            found[part.key] = part
        else:
            found[part.key] = Part(
                part.key, before.name, before.amount + part.amount, before.price, _added(before.quantity, part.quantity),
                before.is_pending, before.is_proration or part.is_proration, before.is_metered or part.is_metered,
            )  # fmt: skip
    return tuple(found.values())


def _added(first: int | None, second: int | None) -> int | None:
    return None if first is None or second is None else first + second
