"""The form for what customers may change of a subscription, and which plans and add-ons they are offered."""

from collections.abc import Mapping
from typing import Any, ClassVar

from wtforms import FieldList, FormField, HiddenField, IntegerField
from wtforms.validators import NumberRange, Optional

from portal_site.billing.rules.portal.portal_features import MOST
from portal_site.dashboard.reads.catalogue import Catalogue, SoldProduct
from portal_site.dashboard.settings.sections import Entry, Section, one_of, some_of, switch
from portal_site.db.json_columns import JsonObject
from portal_site.web.input.forms import choices

MOST_PRODUCTS = 200
NOT_OFFERED, PLAN, ADD_ON = "", "products", "add_ons"
CHANGES = (
    ("price", "The plan: another price of the products below"),
    ("quantity", "The quantity"),
    ("promotion_code", "Promotion codes: they enter one"),
)
VALUES = ("prices", "adjustable", "minimum", "maximum")  # of an offered product
LATER = (
    ("decreasing_item_amount", "The amount falls"),
    ("shortening_interval", "The interval gets shorter"),
)


class OfferedProduct(Entry):
    """How a product is offered."""

    product = HiddenField()
    use = one_of("Offered", ((NOT_OFFERED, "No"), (PLAN, "As a plan"), (ADD_ON, "As an add-on")))
    prices = some_of("Prices", ())
    adjustable = switch("Customers choose the quantity")
    minimum = IntegerField("At least", validators=[Optional(), NumberRange(1, MOST)])
    maximum = IntegerField("At most", validators=[Optional(), NumberRange(1, MOST)])

    @property
    def summary(self) -> str:
        """How it is offered."""
        use, count = self.use.data, len(self.prices.data or [])
        if not use:
            return "not offered"
        return f"{'a plan' if use == PLAN else 'an add-on'}, {count} {'price' if count == 1 else 'prices'}"

    def document(self, stored: JsonObject) -> JsonObject:
        """As it is stored; what was not changed stays as it is."""
        typed = {name: self[name].data for name in VALUES}
        if stored and typed == {
            name: value for name, value in _values("", self.use.data, stored).items() if name in VALUES
        }:
            return stored
        found: JsonObject = {"product": self.product.data, "prices": self.prices.data or []}
        if self.adjustable.data:
            limits = {"enabled": True, "minimum": self.minimum.data or 1, "maximum": self.maximum.data or None}
            found["adjustable_quantity"] = {name: value for name, value in limits.items() if value is not None}
        elif self.use.data == PLAN:
            found["adjustable_quantity"] = {"enabled": False, "minimum": 1}
        return found


class Subscriptions(Section):
    """Changing plan, quantity and add-ons."""

    NAME, TITLE, PAGE = "subscriptions", "Changing subscriptions", "plan_change"
    GROUPS = (
        ("Changes", ("update", "allowed", "stack")),
        ("Plans and add-ons", ("products",)),
        ("What a change costs", ("proration", "later", "anchor", "trial")),
    )
    PARAMS: ClassVar[Mapping[str, str]] = {
        "subscription_update.enabled": "update",
        "subscription_update.default_allowed_updates": "allowed",
        "subscription_update.products": "products",
    }
    update = switch("Customers change subscriptions", "They see what it costs before they confirm.")
    allowed = some_of("They may change", CHANGES)
    stack = switch("A further promotion code joins those in force", "Otherwise it replaces them.")
    products = FieldList(FormField(OfferedProduct), "Products", max_entries=MOST_PRODUCTS)
    proration = one_of(
        "When a change takes effect at once",
        (
            ("none", "No proration: the new price counts from the next period on"),
            ("create_prorations", "Unused time is credited, and the difference is on the next invoice"),
            ("always_invoice", "Unused time is credited, and the difference is charged at once"),
        ),
    )
    later = some_of("It waits for the end of the period when", LATER, "Until then customers can undo it.")
    anchor = one_of("The billing date", (("unchanged", "Stays"), ("now", "Becomes the day of the change")))
    trial = one_of("A free trial", (("end_trial", "Ends with the change"), ("continue_trial", "Goes on")))

    @classmethod
    def read(cls, settings: JsonObject) -> dict[str, Any]:
        """The values of the fields but for the products, which `offer` fills in."""
        updates = settings["features"]["subscription_update"]
        return {
            "update": updates["enabled"],
            "allowed": updates["default_allowed_updates"],
            "stack": updates["stack_promotion_codes"],
            "proration": updates["proration_behavior"],
            "later": updates["schedule_at_period_end"],
            "anchor": updates["billing_cycle_anchor"],
            "trial": updates["trial_update_behavior"],
        }

    def offer(self, settings: JsonObject, catalogue: Catalogue) -> None:
        """A form for each product: those that are offered first, in their order."""
        updates = settings["features"]["subscription_update"]
        offered = {one["product"]: (use, one) for use in (PLAN, ADD_ON) for one in updates[use]}
        known = {product.id: product for product in catalogue.products}
        if not self.is_submitted_here:
            while self.products.entries:
                self.products.pop_entry()
            for name in [*offered, *(name for name in known if name not in offered)]:
                self.products.append_entry(_values(name, *offered.get(name, (NOT_OFFERED, {}))))
        for entry in self.products.entries:
            name = entry.form.product.data or ""
            _fill(entry.form, known.get(name), offered.get(name, (NOT_OFFERED, {}))[1], name)

    def write(self, settings: JsonObject) -> None:
        """Put what was typed into the settings."""
        updates = settings["features"]["subscription_update"]
        updates.update(
            enabled=self.update.data, default_allowed_updates=self.allowed.data or [],
            stack_promotion_codes=self.stack.data, proration_behavior=self.proration.data,
            schedule_at_period_end=self.later.data or [], billing_cycle_anchor=self.anchor.data,
            trial_update_behavior=self.trial.data,
        )  # fmt: skip
        forms = [entry.form for entry in self.products.entries]
        stored = {use: {one["product"]: one for one in updates[use]} for use in (PLAN, ADD_ON)}
        for use, known in stored.items():
            chosen = [form for form in forms if form.use.data == use]
            updates[use] = [form.document(known.get(form.product.data, {})) for form in chosen]


def _values(name: str, use: str, offered: JsonObject) -> JsonObject:
    limits = offered.get("adjustable_quantity") or {}
    # A plan without limits of its own can be had in any quantity; an add-on without them once.
    adjustable = limits.get("enabled", use != ADD_ON)
    return {
        "product": name, "use": use, "prices": offered.get("prices", []), "adjustable": adjustable,
        "minimum": limits.get("minimum"), "maximum": limits.get("maximum"),
    }  # fmt: skip


def _fill(form: OfferedProduct, product: SoldProduct | None, offered: JsonObject, name: str) -> None:
    form.title = product.name if product else name
    sold = dict(product.prices) if product else {}
    order = [*offered.get("prices", []), *(price for price in sold if price not in offered.get("prices", []))]
    form.prices.choices = choices([(price, sold.get(price, price)) for price in order], blank=False)
