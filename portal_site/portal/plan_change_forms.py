"""What a customer chose on the page for changing a plan, read from the address, and the page's own view of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask_babel import gettext as _

from portal_site.billing.changes import plan_options
from portal_site.billing.changes.plan_changes import PlanChangeRequest
from portal_site.billing.changes.plan_options import PlanChangeOptions
from portal_site.billing.errors import BillingError
from portal_site.billing.rules.amounts.items import Item, PricedPlan
from portal_site.billing.rules.portal.portal_features import QuantityLimits, SubscriptionUpdate
from portal_site.web import signing
from portal_site.web.filters import number
from portal_site.web.forms import translated

LONGEST_NUMBER = 18  # digits that are read: what has more is too much already
CODE = "promotion-code"


@dataclass
class ItemChoice:
    """One item's part of the form: the offers it may move to, and what was chosen."""

    item: Item
    offers: list[PricedPlan]
    limits: dict[str, QuantityLimits | None]
    price_id: str
    quantity: str
    price_error: str = ""
    quantity_error: str = ""

    @property
    def offer(self) -> PricedPlan:
        """The offer that is chosen, the item's own while none of them is."""
        return next((offer for offer in self.offers if offer.price_id == self.price_id), self.item.offer)

    @property
    def range(self) -> QuantityLimits | None:
        """The quantities that the chosen offer comes in, None when it cannot be chosen."""
        return self.limits.get(self.offer.price_id)

    @property
    def adjustable(self) -> bool:
        """Whether a quantity can be chosen for any of the offers."""
        return any(limits is not None for limits in self.limits.values())

    @property
    def unit_label(self) -> str | None:
        """What is counted, where that is the same whichever offer is chosen."""
        units = {self.item.offer.unit_label, *(offer.unit_label for offer in self.offers)}
        return units.pop() if len(units) == 1 else None

    @property
    def group(self) -> str:
        """The id of the item's part of the page."""
        return f"item-{self.item.id}"

    @property
    def price_field(self) -> str:
        """The name of the field for the offer."""
        return f"price-{self.item.id}"

    @property
    def quantity_field(self) -> str:
        """The name of the field for the quantity."""
        return f"quantity-{self.item.id}"


@dataclass
class ChangeForm:
    """The whole form. `attempt` names the attempt to cancel in which a cheaper plan was offered."""

    items: list[ItemChoice]
    code: str
    code_id: str | None
    attempt: str = ""
    foreign: tuple[str, ...] = ()  # ids of items that are asked for and are not the subscription's
    code_error: str = ""
    code_typed: str = ""

    @classmethod
    def bind(
        cls, found: PlanChangeOptions, features: SubscriptionUpdate, given: Mapping[str, str], customer_id: str
    ) -> "ChangeForm":
        """The form as it was sent; what was not sent is as the subscription has it."""
        items = []
        for item in found.snapshot.items:
            offers = plan_options.plans_for_item(found, features, item)
            limits = {offer.price_id: features.limits(offer.product_id) for offer in offers}
            price = given.get(f"price-{item.id}") or item.offer.price_id
            quantity = given.get(f"quantity-{item.id}", str(item.quantity or 0))
            items.append(ItemChoice(item, offers, limits, price, quantity))
        code = given.get("code", "")
        known = signing.read(CODE, code) if code else None
        mine = known["code"] if known and known["customer"] == customer_id else None
        return cls(items, code if mine else "", mine, given.get("attempt", ""), _foreign(items, given))

    @property
    def errors(self) -> dict[str, str]:
        """What has to be mended first, by the id of its place on the page."""
        found: dict[str, str] = {}
        for choice in self.items:
            found |= {choice.group: choice.price_error, choice.quantity_field: choice.quantity_error}
        return {place: words for place, words in (found | {"promotion-code": self.code_error}).items() if words}

    @property
    def summary(self) -> dict[str, str]:
        """The same for a list of all of it, where several items each say which one is meant."""
        if len(self.items) == 1:
            return self.errors
        places = {place: choice for choice in self.items for place in (choice.group, choice.quantity_field)}
        return {
            place: f"{places[place].item.offer.product}: {words}" if place in places else words
            for place, words in self.errors.items()
        }

    @property
    def wrong(self) -> bool:
        """Whether something has to be mended first."""
        return bool(self.errors)

    @property
    def fields(self) -> dict[str, str]:
        """The form as an address carries it."""
        chosen: dict[str, str] = {}
        for choice in self.items:
            if choice.offers:
                chosen |= {choice.price_field: choice.price_id, choice.quantity_field: choice.quantity}
        return chosen | self.hidden

    @property
    def hidden(self) -> dict[str, str]:
        """What the form carries without showing it."""
        return {name: value for name, value in (("code", self.code), ("attempt", self.attempt)) if value}

    def order(self) -> PlanChangeRequest | None:
        """What is asked for; None after noting at the fields what cannot be understood."""
        wanted: dict[str, tuple[str | None, int | None]] = {}
        for choice in self.items:
            quantity = _whole(choice.quantity)
            if choice.offers and quantity is None:
                whole = _("Enter a whole number, such as %(example)s.", example=number(12))
                choice.quantity_error = whole if choice.quantity.strip() else _("Enter a quantity.")
            wanted[choice.item.id] = (choice.price_id, quantity)
        wanted |= dict.fromkeys(self.foreign, (None, None))  # refused where orders are
        return None if self.wrong else PlanChangeRequest(wanted, self.code_id)

    def refuse(self, refusal: BillingError) -> str:
        """Note a refusal at its field; the sentence when it belongs to no field."""
        name, _dash, item_id = (refusal.param or "").partition("-")
        for choice in self.items:
            if choice.item.id == item_id and name in ("price", "quantity"):
                setattr(choice, f"{name}_error", translated(refusal))
                return ""
        if refusal.param == "promotion_code":
            self.code_error, self.code, self.code_id = translated(refusal), "", None
            return ""
        return translated(refusal)


def _foreign(items: Sequence[ItemChoice], given: Mapping[str, str]) -> tuple[str, ...]:
    own = {choice.item.id for choice in items}
    named = (name.partition("-")[2] for name in given if name.startswith(("price-", "quantity-")))
    return tuple(dict.fromkeys(name for name in named if name not in own))


def _whole(text: str) -> int | None:
    plain = text.strip()
    digits = plain.removeprefix("-")
    return int(plain[:LONGEST_NUMBER]) if digits.isascii() and digits.isdigit() else None


def order_document(order: PlanChangeRequest) -> dict[str, Any]:
    """An order as a signed quote carries it."""
    return {"items": {name: list(wish) for name, wish in order.items.items()}, "code": order.code_id}


def order_of(document: Mapping[str, Any]) -> PlanChangeRequest:
    """The inverse."""
    return PlanChangeRequest({name: (wish[0], wish[1]) for name, wish in document["items"].items()}, document["code"])


def sign_code(code_id: str, customer_id: str) -> str:
    """A code that was found, as the form carries it: so codes can be tried only where tries are counted."""
    return signing.sign(CODE, {"code": code_id, "customer": customer_id})
