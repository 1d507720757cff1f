"""The form of a plan change: what the customer chose, read from the query, and what the page shows of it."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from babel.numbers import NumberFormatError, parse_decimal
from flask_babel import get_locale
from flask_babel import gettext as _

from portal_site.billing.errors import BillingError
from portal_site.billing.rules.amounts.items import Item, PricedPlan
from portal_site.billing.rules.portal.flows import Flow
from portal_site.billing.rules.portal.portal_features import QuantityLimits
from portal_site.billing.rules.subscriptions.portal_policy import AddOn, Choice, PlanChangeRequest, PortalPolicy
from portal_site.web import signing
from portal_site.web.input.forms import translated
from portal_site.web.rendering import filters
from portal_site.web.rendering.filters import number

LONGEST_NUMBER = 18  # digits that are parsed; longer numbers are above any limit
GROUPED = re.compile(r"-?\d{1,3}([.,’']\d+)+")
CODE = "promotion-code"
NONE = "none"  # the value of the price field of an add-on for not having it


@dataclass
class ItemChoice:
    """The part of the form for one item: the offers to choose from, and what was chosen."""

    item: Item
    offers: list[PricedPlan]
    limits: dict[str, QuantityLimits | None]
    price_id: str
    quantity: str
    price_error: str = ""
    quantity_error: str = ""

    @property
    def offer(self) -> PricedPlan:
        """The chosen offer, or the item's own if none is chosen."""
        return next((offer for offer in self.offers if offer.price_id == self.price_id), self.item.offer)

    @property
    def shown(self) -> list[PricedPlan]:
        """The offers with the billing interval of the chosen one; the others are shown after one click."""
        return [offer for offer in self.offers if offer.length == self.offer.length]

    @property
    def intervals(self) -> list["IntervalChoice"]:
        """The billing intervals of the offers, each with the offer to select with it; none if all offers have the same."""
        lengths = sorted({offer.length for offer in self.offers})
        return [self._in_interval(length) for length in lengths] if len(lengths) > 1 else []

    def _in_interval(self, length: int) -> "IntervalChoice":
        offers = [offer for offer in self.offers if offer.length == length]
        alike = next((offer for offer in offers if offer.product_id == self.offer.product_id), offers[0])
        chosen = self.offer if length == self.offer.length else alike
        return IntervalChoice(chosen, is_current=length == self.offer.length)

    def counterpart(self, offer: PricedPlan) -> PricedPlan | None:
        """The offer of the same product with the shortest interval, if that is shorter than this one's."""
        alike = [each for each in self.offers if each.product_id == offer.product_id and each.length < offer.length]
        return min(alike, key=lambda each: each.length, default=None)

    @property
    def is_current(self) -> bool:
        """Whether the item stays as it is."""
        return (self.price_id, self.typed) == (self.item.offer.price_id, self.item.quantity or 0)

    @property
    def range(self) -> QuantityLimits | None:
        """The limits of the quantity of the chosen offer, or None if the quantity cannot be chosen."""
        return self.limits.get(self.offer.price_id)

    @property
    def product(self) -> str:
        """The name of the item's product."""
        return self.item.offer.product

    @property
    def typed(self) -> int | None:
        """The typed quantity, if it is valid."""
        return _whole(self.quantity)

    @property
    def adjustable(self) -> bool:
        """Whether any of the offers allows choosing a quantity."""
        return any(limits is not None for limits in self.limits.values())

    @property
    def unit_label(self) -> str | None:
        """The unit label, if it is the same for all offers."""
        units = {self.item.offer.unit_label, *(offer.unit_label for offer in self.offers)}
        return units.pop() if len(units) == 1 else None

    @property
    def group(self) -> str:
        """The id of the element with the item's part of the form."""
        return f"item-{self.item.id}"

    @property
    def price_field(self) -> str:
        """The name of the form field for the offer."""
        return f"price-{self.item.id}"

    @property
    def quantity_field(self) -> str:
        """The name of the form field for the quantity."""
        return f"quantity-{self.item.id}"


@dataclass(frozen=True)
class IntervalChoice:
    """A billing interval of the offers for an item, and the offer that is selected with it."""

    offer: PricedPlan
    is_current: bool


@dataclass
class AddOnChoice:
    """The part of the form for an add-on. `price_id` is NONE or one of its prices; `quantity` is the text that was typed."""

    add_on: AddOn
    price_id: str
    quantity: str
    price_error: str = ""
    quantity_error: str = ""

    @classmethod
    def bind(cls, add_on: AddOn, given: Mapping[str, str]) -> "AddOnChoice":
        """The submitted choice, with the subscription's current values for missing ones."""
        item = add_on.item
        choice = cls(add_on, "", str((item.quantity or 0) if item else 0))
        choice.price_id = given.get(choice.price_field) or choice.current_price_id
        choice.quantity = given.get(choice.quantity_field, choice.quantity)
        if choice.adjustable and choice.price_id == NONE:
            choice.price_id = add_on.plans[0].price_id  # the quantity alone decides
        return choice

    @property
    def is_current(self) -> bool:
        """Whether the add-on stays as it is."""
        item = self.add_on.item
        return self.price_id == self.current_price_id and _whole(self.quantity) == ((item.quantity or 0) if item else 0)

    @property
    def key(self) -> str:
        """The product's id, from which the names of its form fields are made."""
        return self.add_on.product_id

    @property
    def product(self) -> str:
        """The product's name."""
        return self.add_on.plans[0].product

    @property
    def current_price_id(self) -> str:
        """The id of its current price, or NONE if the subscription does not have it."""
        return self.add_on.item.offer.price_id if self.add_on.item else NONE

    @property
    def adjustable(self) -> bool:
        """Whether a customer may have more than one; only then is there a form field for the quantity."""
        return self.add_on.limits.maximum > 1

    @property
    def unit_label(self) -> str | None:
        """The unit label."""
        return self.add_on.plans[0].unit_label

    @property
    def has_prices(self) -> bool:
        """Whether there are prices to choose from, or only whether to have it."""
        return not self.adjustable or len(self.add_on.plans) > 1

    @property
    def group(self) -> str:
        """The id of the element with the add-on's part of the form."""
        return f"item-{self.key}"

    @property
    def price_field(self) -> str:
        """The name of the form field for the price."""
        return f"price-{self.key}"

    @property
    def quantity_field(self) -> str:
        """The name of the form field for the quantity."""
        return f"quantity-{self.key}"

    @property
    def fields(self) -> dict[str, str]:
        """The choice as query parameters."""
        price = {self.price_field: self.price_id} if self.has_prices else {}
        return price | ({self.quantity_field: self.quantity} if self.adjustable else {})

    def choice(self) -> Choice:
        """The requested price and quantity. Adds an error to the form field for invalid input."""
        item = self.add_on.item
        if self.adjustable:
            self.quantity_error = _quantity_error(self.quantity)
            return self.price_id, _whole(self.quantity)
        if self.price_id == NONE:
            return None, 0
        # An item with the same price is kept, even if its quantity is above 1.
        return self.price_id, None if item and item.offer.price_id == self.price_id else 1


@dataclass
class ChangeForm:
    """The whole form. `attempt` is the cancellation attempt in which a cheaper plan was offered."""

    items: list[ItemChoice]
    add_ons: list[AddOnChoice]
    code: str
    code_id: str | None
    attempt: str = ""
    foreign: tuple[str, ...] = ()  # requested item ids that the subscription does not have
    code_error: str = ""
    code_is_used: bool = False
    code_typed: str = ""
    is_fixed: bool = False  # the merchant's link says what is to be confirmed
    coupon_id: str | None = None

    @classmethod
    def bind(cls, policy: PortalPolicy, given: Mapping[str, str], customer_id: str) -> "ChangeForm":
        """The submitted form, with the subscription's current values for missing ones."""
        items = []
        for item in policy.plan_items:
            offers = policy.plans_for(item)
            limits = {offer.price_id: policy.features.limits(offer.product_id) for offer in offers}
            price = given.get(f"price-{item.id}") or item.offer.price_id
            quantity = given.get(f"quantity-{item.id}", str(item.quantity or 0))
            items.append(ItemChoice(item, offers, limits, price, quantity))
        add_ons = [AddOnChoice.bind(add_on, given) for add_on in policy.add_ons]
        code = given.get("code", "")
        known = signing.read(CODE, code) if code else None
        mine = known["code"] if known and known["customer"] == customer_id else None
        foreign = _foreign([*(choice.item.id for choice in items), *(choice.key for choice in add_ons)], given)
        return cls(items, add_ons, code if mine else "", mine, given.get("attempt", ""), foreign)

    @classmethod
    def of_flow(cls, policy: PortalPolicy, flow: Flow, customer_id: str) -> "ChangeForm":
        """The change that the merchant's link asks to confirm, with nothing to choose."""
        given = {f"price-{item.id}": item.price or "" for item in flow.items}
        given |= {f"quantity-{item.id}": str(item.quantity) for item in flow.items if item.quantity is not None}
        if flow.promotion_code:
            given["code"] = sign_code(flow.promotion_code, customer_id)
        form = cls.bind(policy, given, customer_id)
        form.is_fixed, form.coupon_id = True, flow.coupon
        return form

    @property
    def choices(self) -> list[ItemChoice | AddOnChoice]:
        """The parts of the form for items and add-ons."""
        return [*self.items, *self.add_ons]

    @property
    def errors(self) -> dict[str, str]:
        """The errors by the id of the element where they are shown."""
        found: dict[str, str] = {}
        for choice in self.choices:
            found |= {choice.group: choice.price_error, choice.quantity_field: choice.quantity_error}
        return {place: words for place, words in (found | {"promotion-code": self.code_error}).items() if words}

    @property
    def summary(self) -> dict[str, str]:
        """The errors for the summary; with several items, each names the item that it is about."""
        if len(self.choices) == 1:
            return self.errors
        products = {place: choice.product for choice in self.choices for place in (choice.group, choice.quantity_field)}
        return {
            place: filters.labelled(products[place], words) if place in products else words
            for place, words in self.errors.items()
        }

    @property
    def is_unchanged(self) -> bool:
        """Whether the choices are what the subscription has now."""
        return all(choice.is_current for choice in self.choices)

    @property
    def wrong(self) -> bool:
        """Whether the form has errors."""
        return bool(self.errors)

    @property
    def fields(self) -> dict[str, str]:
        """The form as query parameters."""
        chosen: dict[str, str] = {}
        for choice in self.items:
            if choice.offers:
                chosen |= {choice.price_field: choice.price_id, choice.quantity_field: choice.quantity}
        for add_on in self.add_ons:
            chosen |= add_on.fields
        return chosen | self.hidden

    @property
    def hidden(self) -> dict[str, str]:
        """The form's hidden fields."""
        return {name: value for name, value in (("code", self.code), ("attempt", self.attempt)) if value}

    def fields_with(self, choice: ItemChoice, offer: PricedPlan) -> dict[str, str]:
        """The form's query parameters with another offer for an item."""
        return self.fields | {choice.price_field: offer.price_id}

    def order(self) -> PlanChangeRequest | None:
        """The request, or None after adding errors to the form fields with invalid input."""
        wanted: dict[str, Choice] = {}
        for choice in self.items:
            if choice.offers:
                choice.quantity_error = _quantity_error(choice.quantity)
            wanted[choice.item.id] = (choice.price_id, _whole(choice.quantity))
        wanted |= dict.fromkeys(self.foreign, (None, None))  # refused by the portal policy
        add_ons = {add_on.key: add_on.choice() for add_on in self.add_ons}
        return None if self.wrong else PlanChangeRequest(wanted, self.code_id, add_ons, self.coupon_id)

    def refuse(self, refusal: BillingError) -> str:
        """Add a refusal to its form field. Returns the message if it belongs to none."""
        for choice in self.choices:
            if refusal.param == choice.price_field:
                choice.price_error = translated(refusal)
                return ""
            if refusal.param == choice.quantity_field:
                choice.quantity_error = translated(refusal)
                return ""
        if refusal.param == "promotion_code":
            self.code_error, self.code, self.code_id = translated(refusal), "", None
            self.code_is_used = refusal.code == "promotion_code_used"
            return ""
        return translated(refusal)


def _foreign(own: Sequence[str], given: Mapping[str, str]) -> tuple[str, ...]:
    named = (name.partition("-")[2] for name in given if name.startswith(("price-", "quantity-")))
    return tuple(dict.fromkeys(name for name in named if name not in own))


def _quantity_error(text: str) -> str:
    """The error of a typed quantity, or an empty text."""
    if _whole(text) is not None:
        return ""
    whole = _("Enter a whole number, such as %(example)s.", example=number(12))
    return whole if text.strip() else _("Enter a quantity.")


def _whole(text: str) -> int | None:
    """A whole number as people of the page's language write it: 1,000 or 1 000, with digits of any width."""
    plain = "".join(unicodedata.normalize("NFKC", text).split())
    if plain.removeprefix("-").isdecimal():
        return int(plain[:LONGEST_NUMBER])
    if not GROUPED.fullmatch(plain):
        return None
    try:
        number = parse_decimal(plain[:LONGEST_NUMBER], locale=get_locale(), strict=True)
    except (NumberFormatError, ValueError):
        return None
    return int(number) if number == number.to_integral_value() else None


def stepped(given: Mapping[str, str]) -> dict[str, str]:
    """The submitted form after the button next to a quantity that adds or removes one: `step` is “field +1”."""
    found = {name: value for name, value in given.items() if name != "step"}
    field, _blank, step = given.get("step", "").partition(" ")
    quantity = _whole(found.get(field, ""))
    if quantity is not None and step in ("+1", "-1"):
        found[field] = str(max(0, quantity + int(step)))
    return found


def order_document(order: PlanChangeRequest) -> dict[str, Any]:
    """A request as a JSON document, for the signed confirmation."""
    items, add_ons = ({key: list(choice) for key, choice in part.items()} for part in (order.items, order.add_ons))
    return {"items": items, "add_ons": add_ons, "code": order.code_id, "coupon": order.coupon_id}


def order_of(document: Mapping[str, Any]) -> PlanChangeRequest:
    """The inverse of `order_document`. Confirmations of earlier versions have no add-ons, or no coupon."""
    items, add_ons = (
        {key: (price_id, quantity) for key, (price_id, quantity) in part.items()}
        for part in (document["items"], document.get("add_ons", {}))
    )
    return PlanChangeRequest(items, document["code"], add_ons, document.get("coupon"))


def sign_code(code_id: str, customer_id: str) -> str:
    """A found code as a signed form value. Otherwise codes could be tried without the tries being counted."""
    return signing.sign(CODE, {"code": code_id, "customer": customer_id})
