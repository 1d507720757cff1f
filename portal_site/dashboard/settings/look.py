"""The form for how the portal looks in a configuration, where that differs from the account."""

from collections.abc import Mapping
from typing import Any, ClassVar

from wtforms import BooleanField
from wtforms.widgets import ColorInput

from portal_site.branding import theme
from portal_site.branding.theme import FONTS, SHAPES, Branding
from portal_site.dashboard.reads.catalogue import Catalogue
from portal_site.dashboard.settings.sections import Section, one_of
from portal_site.db.json_columns import JsonObject
from portal_site.web.input.forms import checked_field

MEMBERS = ("background", "button", "font", "shape")


class Look(Section):
    """Colours, font and shape of one configuration."""

    NAME, TITLE = "look", "Appearance"
    GROUPS = (("Appearance", ("own", "background", "button", "font", "shape")),)
    PARAMS: ClassVar[Mapping[str, str]] = {}
    own = BooleanField(
        "This configuration has an appearance of its own", description="Otherwise it has your account’s branding."
    )
    background = checked_field("Background of the panel", 7, False, widget=ColorInput())
    button = checked_field("Buttons", 7, False, widget=ColorInput())
    font = one_of("Font", [(name, name.capitalize()) for name in FONTS])
    shape = one_of("Corners", [(name, name.capitalize()) for name in SHAPES])

    @classmethod
    def read(cls, settings: JsonObject) -> dict[str, Any]:
        """The values of the fields."""
        own = settings["branding"] or {}
        usual = Branding()
        return {"own": bool(own), **{name: own.get(name) or getattr(usual, name) for name in MEMBERS}}

    def offer(self, settings: JsonObject, catalogue: Catalogue) -> None:
        """Nothing depends on the account."""

    def write(self, settings: JsonObject) -> None:
        """Put what was typed into the settings."""
        settings["branding"] = {name: self[name].data for name in MEMBERS} if self.own.data else None

    def validate(self, *args: Any, **kwargs: Any) -> bool:
        """Also that the colours are colours."""
        is_valid: bool = super().validate(*args, **kwargs)
        for name in ("background", "button"):
            try:
                theme.parse(**{name: self[name].data or ""})
            except ValueError:
                self[name].errors = ["Enter a colour such as #1f4fd8."]
                is_valid = False
        return is_valid
