"""The forms of the settings. Each reads its part of a configuration's settings, and puts what was typed into them."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, ClassVar, Self

from wtforms import BooleanField, Field, RadioField, SelectMultipleField
from wtforms.widgets import CheckboxInput, ListWidget

from portal_site.billing.accounts.portal_configurations import LONGEST_HEADLINE, LONGEST_NAME
from portal_site.billing.rules.portal import safe_urls
from portal_site.billing.rules.portal.portal_features import REASONS
from portal_site.dashboard.reads.catalogue import Catalogue
from portal_site.db.json_columns import JsonObject
from portal_site.portal.changes.cancellation_forms import LABELS as FEEDBACK
from portal_site.web.input.forms import PortalForm, checked_field, choices, text_field

Choices = Sequence[tuple[str, str]]
UPDATES = {
    "name": "Name", "email": "Email address", "address": "Billing address", "phone": "Phone number",
    "shipping": "Shipping address", "tax_id": "Tax IDs",
}  # fmt: skip
SPANS: Choices = (
    ("1 week", "1 week"), ("2 week", "2 weeks"), ("1 month", "1 month"), ("2 month", "2 months"), ("3 month", "3 months"),
    ("6 month", "6 months"),
)  # fmt: skip


def switch(label: str, description: str = "") -> BooleanField:
    """Something that is on or off, with what it does in a sentence."""
    return BooleanField(label, description=description)


def one_of(label: str, pairs: Choices, description: str = "") -> RadioField:
    """One of several possibilities."""
    return RadioField(label, choices=choices(pairs, blank=False), description=description)


def some_of(label: str, pairs: Choices, description: str = "") -> SelectMultipleField:
    """Any number of several possibilities."""
    return SelectMultipleField(
        label, choices=choices(pairs, blank=False), description=description, widget=ListWidget(prefix_label=False),
        option_widget=CheckboxInput(),
    )  # fmt: skip


class Entry(PortalForm):
    """One of several alike forms in a section, which is folded together until one opens it."""

    title = ""
    note = ""  # what is said above its fields

    @property
    def summary(self) -> str:
        """What it says, in a few words."""
        return ""

    @property
    def is_open(self) -> bool:
        """Whether it is shown unfolded: where something in it is wrong."""
        return any(field.errors for field in self)


class Section(PortalForm):
    """A part of the settings. `GROUPS` are its fields under their headings.

    `PARAMS` says which field a refusal of the operation is about, by the option that it names.
    """

    NAME: ClassVar[str]
    TITLE: ClassVar[str]
    PAGE: ClassVar[str] = "overview"  # of the portal, which the preview shows first
    CONTROLS: ClassVar[str] = "dashboard/settings/_preview_controls.html"  # a template: what the preview shows
    FURTHER: ClassVar[str] = "dashboard/settings/_nothing.html"  # a template: further forms below this one
    GROUPS: ClassVar[Sequence[tuple[str, Sequence[str]]]]
    PARAMS: ClassVar[Mapping[str, str]] = {}

    is_submitted_here = False
    notes: Sequence[str] = ()  # what is said below the fields

    @classmethod
    def open(cls, settings: JsonObject, catalogue: Catalogue, typed: Any = None) -> Self:
        """The form with these settings, or with what was `typed`."""
        form = cls(formdata=typed, data=cls.read(settings))
        form.is_submitted_here = typed is not None
        form.offer(settings, catalogue)
        return form

    @classmethod
    def read(cls, settings: JsonObject) -> dict[str, Any]:
        """The values of the fields."""
        raise NotImplementedError

    def write(self, settings: JsonObject) -> None:
        """Put what was typed into the settings."""
        raise NotImplementedError

    def offer(self, settings: JsonObject, catalogue: Catalogue) -> None:
        """Fill in the choices that depend on the account, or on what is chosen already."""

    def changed(self, settings: JsonObject) -> JsonObject:
        """The settings with what was typed."""
        copied = deepcopy(settings)
        self.write(copied)
        return copied

    def changes(self, settings: JsonObject) -> JsonObject:
        """Of the settings with what was typed those that are different."""
        typed = self.changed(settings)
        return {name: value for name, value in typed.items() if value != settings[name]}

    def refuse(self, field: Field, words: str) -> None:
        """Put a refusal at a field. A list of forms has none of its own: it stands at the list's heading."""
        field.errors = [words]

    def error_summary(self) -> dict[str, str]:
        """The errors by the ids of their fields, also of fields that are inside of a list of forms."""
        found = {}
        for field in self.wrong_fields():
            inner = [(entry.form, one) for entry in getattr(field, "entries", ()) for one in entry.form if one.errors]
            found.update({one.id: f"{form.title}, {one.label.text}: {one.errors[0]}" for form, one in inner})
            if not inner:
                found[field.id] = self._in_summary(field)
        return found

    def preview(self) -> str | None:
        """What the preview shows, where that is no page of the portal."""
        return None

    def groups(self) -> list[tuple[str, list[Field]]]:
        """The fields under their headings."""
        return [(title, [self[name] for name in names]) for title, names in self.GROUPS]

    def field_of(self, param: str | None) -> Field | None:
        """The field that a refused option stands in."""
        name = self.PARAMS.get(param or "", param)
        return self[name] if name and name in self else None


class Words(Section):
    """What the portal says of the merchant, and where it links to."""

    NAME, TITLE = "words", "Words and links"
    GROUPS = (
        ("Words", ("name", "headline")),
        ("Links", ("default_return_url", "terms_of_service_url", "privacy_policy_url")),
    )
    name = text_field("Name of this configuration", LONGEST_NAME)
    headline = text_field("Headline", LONGEST_HEADLINE)
    default_return_url = checked_field("Where “Return to …” leads", safe_urls.LONGEST, False)
    terms_of_service_url = checked_field("Terms of service", safe_urls.LONGEST, False)
    privacy_policy_url = checked_field("Privacy policy", safe_urls.LONGEST, False)
    HINTS: ClassVar[Mapping[str, str]] = {
        "name": "For your team alone.",
        "headline": "Stands under your name. When empty, a sentence with your name stands there.",
        "default_return_url": "Your site, where customers go back to. Without one there is no such link.",
        "terms_of_service_url": "Shown in the portal, and when customers change a subscription.",
        "privacy_policy_url": "Shown in the portal.",
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, hint in self.HINTS.items():
            self[name].description = hint

    @classmethod
    def read(cls, settings: JsonObject) -> dict[str, Any]:
        """The values of the fields."""
        return {name: settings[name] or "" for name in cls.HINTS}

    def write(self, settings: JsonObject) -> None:
        """Put what was typed into the settings."""
        settings.update({name: self[name].data or None for name in self.HINTS})


class Information(Section):
    """What customers may see and change about themselves."""

    NAME, TITLE = "information", "Customer information"
    GROUPS = (
        ("Billing information", ("update", "allowed")),
        ("Payment methods", ("methods",)),
        ("Invoices", ("invoices",)),
    )
    PARAMS: ClassVar[Mapping[str, str]] = {"subscription_update.enabled": "methods"}
    update = switch("Customers change their billing information", "What they change is on their next invoice.")
    allowed = some_of("They may change", list(UPDATES.items()))
    methods = switch("Customers manage payment methods", "They add, choose and remove cards and bank accounts.")
    invoices = switch("Customers see their invoices", "They find, read, download and pay them.")

    @classmethod
    def read(cls, settings: JsonObject) -> dict[str, Any]:
        """The values of the fields."""
        features = settings["features"]
        return {
            "update": features["customer_update"]["enabled"],
            "allowed": features["customer_update"]["allowed_updates"],
            "methods": features["payment_method_update"]["enabled"],
            "invoices": features["invoice_history"]["enabled"],
        }

    def write(self, settings: JsonObject) -> None:
        """Put what was typed into the settings."""
        features = settings["features"]
        features["customer_update"] = {"enabled": self.update.data, "allowed_updates": self.allowed.data or []}
        features["payment_method_update"]["enabled"] = self.methods.data
        features["invoice_history"]["enabled"] = self.invoices.data


class Cancellation(Section):
    """Canceling, pausing and coming back."""

    NAME, TITLE, PAGE = "cancellation", "Canceling and pausing", "cancellation"
    GROUPS = (
        ("Canceling", ("cancel", "mode", "proration")),
        ("Reasons", ("ask", "reasons")),
        ("Where a law prescribes the words", ("link_label", "confirm_label", "acknowledgement")),
        ("Pausing", ("pause", "duration", "spans")),
        ("Coming back", ("restart",)),
    )
    PARAMS: ClassVar[Mapping[str, str]] = {
        "subscription_cancel.cancellation_reason": "reasons",
        "subscription_cancel.proration_behavior": "proration",
        "subscription_pause.interval_options": "spans",
    }
    cancel = switch("Customers cancel subscriptions", "Until the period ends they can take it back with one button.")
    mode = one_of("When it ends", (("at_period_end", "At the end of the period"), ("immediately", "At once")))
    proration = one_of(
        "What becomes of unused time, when it ends at once",
        (
            ("none", "Nothing"),
            ("create_prorations", "It is credited to the customer’s balance"),
            ("always_invoice", "It is credited, with an invoice at once"),
        ),
    )
    ask = switch("Ask why", "The answer picks the offer that is made, and can be skipped.")
    reasons = some_of("Reasons to choose from", list(FEEDBACK.items()))
    link_label = text_field("Words of the link", 100)
    confirm_label = text_field("Words of the button", 100)
    acknowledgement = switch("Confirm receipt", "With the time to the second, and a copy to keep.")
    pause = switch("Customers pause subscriptions", "Nothing is charged meanwhile. They resume at any time.")
    duration = one_of(
        "For how long", (("interval_options", "For a time to choose"), ("indefinite", "Until they resume"))
    )
    spans = some_of("Times to choose from", SPANS)
    restart = switch("Customers come back", "A subscription that has ended can be started again, at today’s price.")

    def offer(self, settings: JsonObject, catalogue: Catalogue) -> None:
        """Times that were chosen elsewhere can be kept."""
        chosen = self.read(settings)["spans"]
        further = [(span, span) for span in chosen if span not in dict(SPANS)]
        self.spans.choices = choices([*SPANS, *further], blank=False)

    @classmethod
    def read(cls, settings: JsonObject) -> dict[str, Any]:
        """The values of the fields."""
        ends, pauses = (settings["features"][name] for name in ("subscription_cancel", "subscription_pause"))
        reasons = ends["cancellation_reason"]
        return {
            "cancel": ends["enabled"], "mode": ends["mode"], "proration": ends["proration_behavior"],
            "ask": reasons["enabled"], "reasons": reasons["options"],
            "link_label": ends["link_label"] or "", "confirm_label": ends["confirm_label"] or "",
            "acknowledgement": ends["acknowledgement"],
            "pause": pauses["enabled"], "duration": pauses["duration_type"],
            "spans": [f"{span['interval_count']} {span['interval']}" for span in pauses["interval_options"]],
            "restart": settings["features"]["subscription_restart"]["enabled"],
        }  # fmt: skip

    def write(self, settings: JsonObject) -> None:
        """Put what was typed into the settings."""
        features = settings["features"]
        ends, pauses = features["subscription_cancel"], features["subscription_pause"]
        ends.update(
            enabled=self.cancel.data, mode=self.mode.data, proration_behavior=self.proration.data,
            link_label=self.link_label.data or None, confirm_label=self.confirm_label.data or None,
            acknowledgement=self.acknowledgement.data,
        )  # fmt: skip
        chosen = self.reasons.data or []
        # In their usual order; that of a configuration from elsewhere is kept while the same ones are chosen.
        if set(chosen) != set(ends["cancellation_reason"]["options"]):
            ends["cancellation_reason"]["options"] = [reason for reason in REASONS if reason in chosen]
        ends["cancellation_reason"]["enabled"] = self.ask.data
        pauses.update(enabled=self.pause.data, duration_type=self.duration.data)
        offered = {choice.value for choice in self.spans.choices}  # a preview is not validated
        chosen_spans = [words for words in self.spans.data or [] if words in offered]
        pauses["interval_options"] = [_span(words, pauses["interval_options"]) for words in chosen_spans]
        features["subscription_restart"]["enabled"] = self.restart.data


def _span(words: str, known: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    count, interval = words.split(" ")
    span = {"interval": interval, "interval_count": int(count)}
    return next((one for one in known if dict(one) == span), span)
