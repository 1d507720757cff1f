"""The form for offers to customers who are about to cancel: rules, of which the first that fits applies."""

from collections.abc import Mapping
from typing import Any, ClassVar

from wtforms import FieldList, FormField, IntegerField, SelectField, TextAreaField
from wtforms.validators import InputRequired, NumberRange, Optional

from portal_site.billing.rules.portal.portal_features import (
    LONGEST_EXTENSION,
    LONGEST_MESSAGE,
    LONGEST_PAUSE_OF_OFFERS,
)
from portal_site.dashboard.reads.catalogue import Catalogue
from portal_site.dashboard.settings.sections import Entry, Section, some_of, switch
from portal_site.db.json_columns import JsonObject
from portal_site.portal.changes.cancellation_forms import LABELS as FEEDBACK
from portal_site.web.input.forms import checked_field, choices, clean

KINDS = (
    ("", "No offer"), ("coupon", "A discount"), ("pause", "A pause"), ("price", "A cheaper plan"),
    ("trial", "A longer free trial"), ("contact", "Contacting you"),
)  # fmt: skip
MOST = 20  # rules
OLDEST = 36_500  # days
KEPT = ("products", "prices", "minimum_monthly_amount", "maximum_monthly_amount", "currency")


class OfferRule(Entry):
    """An offer, and for whom it is."""

    type = SelectField("Offer", choices=choices(KINDS, blank=False))
    coupon = SelectField("The discount", validate_choice=False)
    price = SelectField("The cheaper plan", validate_choice=False)
    days = IntegerField("More days of the trial", validators=[Optional(), NumberRange(1, LONGEST_EXTENSION)])
    url = checked_field("Contact link", 5000, False)
    message = TextAreaField("Your words above the offer", filters=[clean])
    reasons = some_of("For customers whose reason is", list(FEEDBACK.items()), "For everybody, if none is chosen.")
    minimum_age_days = IntegerField(
        "From this day of the subscription on", validators=[Optional(), NumberRange(0, OLDEST)]
    )
    maximum_age_days = IntegerField("Up to this day of it", validators=[Optional(), NumberRange(0, OLDEST)])
    kept: JsonObject

    @property
    def summary(self) -> str:
        """What is offered to whom."""
        reasons = [str(FEEDBACK.get(reason, reason)) for reason in self.reasons.data or []]
        return ": ".join(filter(None, (dict(KINDS).get(self.type.data or "", ""), ", ".join(reasons))))

    def document(self) -> JsonObject:
        """As it is stored."""
        uses = {"coupon": "coupon", "price": "price", "trial": "days", "contact": "url"}.get(self.type.data or "")
        offer = {"type": self.type.data, "message": self.message.data or None}
        if uses:
            offer[uses] = self[uses].data or None
        ages = {name: self[name].data for name in ("minimum_age_days", "maximum_age_days")}
        return {"offer": offer, "when": {**self.kept, "reasons": self.reasons.data or [], **ages}}


class Offers(Section):
    """Offers to customers who are about to cancel."""

    NAME, TITLE, PAGE = "offers", "Offers", "cancellation"
    GROUPS = (
        ("Offers", ("offers", "fallback", "months_between", "holdout_percent")),
        ("Rules: the first that fits is offered", ("rules",)),
    )
    PARAMS: ClassVar[Mapping[str, str]] = {"subscription_cancel.retention": "rules", "features": "rules"}
    offers = switch("Make an offer before a customer cancels", "Who accepts it keeps the subscription.")
    fallback = SelectField(
        "The discount for everybody else", validate_choice=False, description="Offered where no rule fits."
    )
    months_between = IntegerField(
        "Months until a customer sees another offer",
        validators=[InputRequired(), NumberRange(1, LONGEST_PAUSE_OF_OFFERS)],
    )
    holdout_percent = IntegerField(
        "Percent of the customers who see no offer", validators=[InputRequired(), NumberRange(0, 100)],
        description="A control group, with which the offers’ effect is measured.",
    )  # fmt: skip
    rules = FieldList(FormField(OfferRule), "Rules", max_entries=MOST + 1)

    @classmethod
    def read(cls, settings: JsonObject) -> dict[str, Any]:
        """The values of the fields but for the rules, which `offer` fills in."""
        retention = settings["features"]["subscription_cancel"]["retention"]
        return {
            "offers": retention["enabled"], "fallback": retention["coupon"] or "",
            "months_between": retention["months_between"], "holdout_percent": retention["holdout_percent"],
        }  # fmt: skip

    def offer(self, settings: JsonObject, catalogue: Catalogue) -> None:
        """A form for each rule, and an empty one for another."""
        rules = settings["features"]["subscription_cancel"]["retention"]["rules"]
        if not self.is_submitted_here:
            while self.rules.entries:
                self.rules.pop_entry()
            for rule in [*rules, {"offer": {}, "when": {}}][: MOST + 1]:
                self.rules.append_entry({**_offer_values(rule["offer"]), **_condition_values(rule["when"])})
        self.fallback.choices = _with(catalogue.coupons, self.fallback.data)
        for number, entry in enumerate(self.rules.entries):
            form = entry.form
            form.kept = {name: value for name, value in _when(rules, number).items() if name in KEPT}
            form.title = f"Rule {number + 1}"
            form.coupon.choices = _with(catalogue.coupons, form.coupon.data)
            form.price.choices = _with(catalogue.prices, form.price.data)

    def write(self, settings: JsonObject) -> None:
        """Put what was typed into the settings. Rules without an offer are dropped."""
        retention = settings["features"]["subscription_cancel"]["retention"]
        retention.update(
            enabled=self.offers.data, coupon=self.fallback.data or None, months_between=self.months_between.data,
            holdout_percent=self.holdout_percent.data,
            rules=[entry.form.document() for entry in self.rules.entries if entry.form.type.data],
        )  # fmt: skip

    def validate(self, *args: Any, **kwargs: Any) -> bool:
        """Also that each offer has what it consists of."""
        is_valid: bool = super().validate(*args, **kwargs)
        for entry in self.rules.entries:
            form = entry.form
            if len(form.message.data or "") > LONGEST_MESSAGE:
                form.message.errors = [f"Use at most {LONGEST_MESSAGE} characters."]
                is_valid = False
            needed = {"coupon": "coupon", "price": "price", "trial": "days"}.get(form.type.data or "")
            if needed and not form[needed].data:
                form[needed].errors = ["Choose what is offered." if needed != "days" else "Enter a number of days."]
                is_valid = False
        return is_valid


def _offer_values(offer: JsonObject) -> JsonObject:
    return {
        "type": offer.get("type") or "", "coupon": offer.get("coupon") or "", "price": offer.get("price") or "",
        "days": offer.get("days"), "url": offer.get("url") or "", "message": offer.get("message") or "",
    }  # fmt: skip


def _condition_values(when: JsonObject) -> JsonObject:
    ages = {name: when.get(name) for name in ("minimum_age_days", "maximum_age_days")}
    return {"reasons": when.get("reasons", []), **ages}


def _when(rules: list[JsonObject], number: int) -> JsonObject:
    return rules[number]["when"] if number < len(rules) else {}


def _with(pairs: Any, chosen: str | None) -> Any:
    """The choices, with what is chosen already although it is not sold any more."""
    known = list(pairs)
    if chosen and chosen not in dict(known):
        known.append((chosen, chosen))
    return choices(known, blank=True)
