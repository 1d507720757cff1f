"""The differences between the next invoice here and Stripe's preview of it, each with its reason. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from portal_site.billing.migration.bills import Bill, Part

AGAIN = "import again"
ITEM_THERE = f"the item is not here: {AGAIN}"
ITEM_HERE = f"Stripe has no such item any more: {AGAIN}"
PENDING_THERE = f"a pending invoice item that is not here: {AGAIN}"
PENDING_HERE = f"Stripe does not bill this pending invoice item with its next invoice: {AGAIN}"
OTHER_PRICE = f"Stripe bills another price, {{price}}: {AGAIN}"
OTHER_QUANTITY = f"the quantity is {{quantity}} at Stripe: {AGAIN}"
USAGE = "it bills usage, which only Stripe knows"
PRORATION = "Stripe rounds prorations down"
AMOUNT = "the same price and quantity come to another amount"
DISCOUNT = f"a discount began, ended or was used up since the import, or its terms are not the same: {AGAIN}"
DISCOUNT_ROUNDED = "discounts are rounded line by line, in another way"
AUTOMATIC_TAX = "Stripe computes the tax"
TAX = f"the tax rates or the exemption of the customer are not the same: {AGAIN}"
TAX_ROUNDED = "taxes are rounded line by line, in another way"
BALANCE = f"the customer's balance has changed at Stripe: {AGAIN}"
OTHER_DATE = f"the period is another one at Stripe: {AGAIN}"
OTHER_CURRENCY = "it is billed in another currency"
NOTHING_THERE = "Stripe bills nothing more"
NOTHING_HERE = "nothing is billed here any more, or what is depends on a payment"
SMALLEST = "what is too small to be charged, or cannot be paid in coins, is carried in another way"
CONSEQUENCE = "the sum of what differs"


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference: what of the invoice, whose, here and there (None: not there), and why."""

    what: str
    part: str
    ours: int | None
    theirs: int | None
    reason: str


def compare(ours: Bill | None, theirs: Bill | None, *, computes_tax: bool = False) -> tuple[Difference, ...]:
    """All differences; none if the invoices are equal to the cent. `computes_tax` tells that Stripe does."""
    if ours is None or theirs is None:
        if ours is theirs:
            return ()
        reason = NOTHING_THERE if theirs is None else NOTHING_HERE
        return (
            Difference("invoice", "", ours.amount_due if ours else None, theirs.amount_due if theirs else None, reason),
        )
    found = [*_of_whole(ours, theirs), *_of_parts(ours, theirs), *_of_sums(ours, theirs, computes_tax)]
    if ours.total != theirs.total:
        found.append(Difference("total", "", ours.total, theirs.total, CONSEQUENCE if found else AMOUNT))
    if ours.amount_due != theirs.amount_due:
        found.append(
            Difference("amount due", "", ours.amount_due, theirs.amount_due, CONSEQUENCE if found else SMALLEST)
        )
    return tuple(found)


def _of_whole(ours: Bill, theirs: Bill) -> Iterator[Difference]:
    if ours.date != theirs.date:
        yield Difference("date", "", ours.date, theirs.date, OTHER_DATE)
    if ours.currency != theirs.currency:
        yield Difference("currency", f"{ours.currency} and {theirs.currency}", None, None, OTHER_CURRENCY)


def _of_parts(ours: Bill, theirs: Bill) -> Iterator[Difference]:
    if ours.parts is None or theirs.parts is None:
        if ours.subtotal != theirs.subtotal:
            yield Difference("subtotal", "", ours.subtotal, theirs.subtotal, AMOUNT)
        return
    here = {part.key: part for part in ours.parts}
    there = {part.key: part for part in theirs.parts}
    for key in [*here, *(key for key in there if key not in here)]:
        mine, other = here.get(key), there.get(key)
        reason = _reason(mine, other)
        if reason:
            named = (mine or other or Part(key, "", 0)).name
            part = f"{key} ({named})" if named else key
            yield Difference("line", part, mine.amount if mine else None, other.amount if other else None, reason)


def _reason(mine: Part | None, other: Part | None) -> str:
    """Why the parts differ; empty if they do not."""
    if mine is None:
        assert other is not None
        return PENDING_THERE if other.is_pending else ITEM_THERE
    if other is None:
        return PENDING_HERE if mine.is_pending else ITEM_HERE
    if mine.is_metered:
        return USAGE
    is_other_price = not mine.is_pending and None not in (mine.price, other.price) and not _same_price(mine, other)
    if is_other_price:
        return OTHER_PRICE.format(price=other.price)
    if mine.amount == other.amount:
        return ""
    if not mine.is_pending and mine.quantity != other.quantity:
        return OTHER_QUANTITY.format(quantity=other.quantity)
    return PRORATION if (mine.is_proration or other.is_proration) and abs(mine.amount - other.amount) <= 1 else AMOUNT


def _same_price(mine: Part, other: Part) -> bool:
    """Whether it is the same price, or the one that was made here of one of its other currencies."""
    return mine.price == other.price or f"{mine.price}".startswith(f"{other.price}_")


def _of_sums(ours: Bill, theirs: Bill, computes_tax: bool) -> Iterator[Difference]:
    lines = max(len(ours.parts or ()), len(theirs.parts or ()), 1)
    if ours.discount != theirs.discount:
        same = ours.subtotal == theirs.subtotal
        rounded = DISCOUNT_ROUNDED if same and abs(ours.discount - theirs.discount) <= lines else DISCOUNT
        is_consequence = not same and bool(ours.discount and theirs.discount)
        yield Difference("discount", "", ours.discount, theirs.discount, CONSEQUENCE if is_consequence else rounded)
    if ours.tax != theirs.tax:
        same = ours.subtotal - ours.discount == theirs.subtotal - theirs.discount
        rounded = TAX_ROUNDED if same and abs(ours.tax - theirs.tax) <= lines else TAX
        consequence = rounded if same else CONSEQUENCE
        yield Difference("tax", "", ours.tax, theirs.tax, AUTOMATIC_TAX if computes_tax else consequence)
    if ours.balance != theirs.balance:
        yield Difference("balance", "", ours.balance, theirs.balance, BALANCE)
