"""The forms for how the portal looks: of the account, and of a configuration that differs from it."""

from typing import Any

from wtforms import BooleanField
from wtforms.widgets import ColorInput

from portal_site.branding import palette, theme
from portal_site.branding.oklch import contrast
from portal_site.branding.theme import FONTS, SHAPES, Branding
from portal_site.dashboard.reads.catalogue import Catalogue
from portal_site.dashboard.settings.sections import Section, one_of
from portal_site.db.json_columns import JsonObject
from portal_site.web.input.forms import checked_field

MEMBERS = ("background", "button", "font", "shape")


class _Look(Section):
    """The fields that both forms have."""

    background = checked_field("Background of the panel", 7, True, widget=ColorInput())
    button = checked_field("Buttons", 7, True, widget=ColorInput())
    font = one_of("Font", [(name, name.capitalize()) for name in FONTS])
    shape = one_of("Corners", [(name, name.capitalize()) for name in SHAPES])

    @classmethod
    def read(cls, settings: JsonObject) -> dict[str, Any]:
        """The values of the fields; the usual ones where nothing else is stored."""
        stored, usual = settings["branding"] or {}, Branding()
        return {name: stored.get(name) or getattr(usual, name) for name in MEMBERS}

    def typed(self) -> JsonObject:
        """What was typed."""
        return {name: self[name].data for name in MEMBERS}

    def offer(self, settings: JsonObject, catalogue: Catalogue) -> None:
        """Say which colours are used in the place of those that could not be read."""
        try:
            chosen = theme.parse(background=self.background.data, button=self.button.data)
        except ValueError:
            return
        self.notes = colours_used(chosen.background, chosen.button)

    def validate(self, *args: Any, **kwargs: Any) -> bool:
        """Also that the colours are colours."""
        is_valid: bool = super().validate(*args, **kwargs)
        for name in ("background", "button"):
            try:
                theme.parse(**{name: self[name].data or ""})
            except ValueError:
                self[name].errors = ["Enter a value such as #1f4fd8."]
                is_valid = False
        return is_valid


class BrandingSection(_Look):
    """The look of all portals and e-mails; the pictures have forms of their own."""

    NAME, TITLE, FURTHER = "branding", "Branding", "dashboard/settings/_pictures.html"
    GROUPS = (("Branding", MEMBERS),)

    def write(self, settings: JsonObject) -> None:
        """Put what was typed into the settings; the usual look is stored as none."""
        if self.typed() != self.read(settings):
            settings["branding"] = {} if self.typed() == self.read({"branding": None}) else self.typed()


class Appearance(_Look):
    """The look of one configuration, where that differs from the account's."""

    NAME, TITLE = "appearance", "Appearance"
    GROUPS = (("Appearance", ("own", *MEMBERS)),)
    own = BooleanField(
        "This configuration has an appearance of its own", description="Otherwise it has your account’s branding."
    )

    @classmethod
    def read(cls, settings: JsonObject) -> dict[str, Any]:
        """The values of the fields."""
        return {"own": bool(settings["branding"]), **super().read(settings)}

    def write(self, settings: JsonObject) -> None:
        """Put what was typed into the settings."""
        settings["branding"] = self.typed() if self.own.data else None


def colours_used(background: str, button: str) -> list[str]:
    """Which colours are used where the chosen ones could not be read, in words, with the contrast that is reached."""
    words = []
    for scheme, dark in (("Light", False), ("Dark", True)):
        tokens = palette.tokens(background, button, dark=dark)
        for name, chosen, used, on in (
            ("panel", background, tokens["panel"], tokens["panel-text"]),
            ("buttons", button, tokens["button"], tokens["button-text"]),
        ):
            change = "as you chose it" if chosen == used else f"{used} instead of {chosen}"
            words.append(f"{scheme}, {name}: {change}, contrast of its text {contrast(used, on):.1f} : 1")
    return words
