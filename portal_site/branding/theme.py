"""A merchant's colours, font and shape as a stylesheet of CSS variables, named by the hash of its content."""

import re
from dataclasses import dataclass, fields

from portal_site.branding import palette

COLOUR = re.compile(r"#[0-9a-f]{6}")
# Fonts that systems already have. A font file would be most of the first page load, and body text does not identify a brand.
FONTS = {
    "system": 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif',
    "humanist": 'Seravek, "Gill Sans Nova", Ubuntu, Calibri, "DejaVu Sans", "Noto Sans", sans-serif',
    "geometric": 'Avenir, Montserrat, Corbel, "URW Gothic", "Noto Sans", sans-serif',
    "rounded": 'ui-rounded, "Hiragino Maru Gothic ProN", Quicksand, Comfortaa, Manjari, "Noto Sans", sans-serif',
    "serif": '"Iowan Old Style", "Palatino Linotype", "URW Palladio L", P052, "Noto Serif", serif',
    "mono": 'ui-monospace, "Cascadia Code", "Source Code Pro", Menlo, Consolas, "DejaVu Sans Mono", monospace',
}
# The radius of boxes, and of buttons and form fields. A pill's radius is half the height of a control, so that taller boxes
# still look like boxes.
SHAPES = {"sharp": ("0", "0"), "rounded": ("0.75rem", "0.5rem"), "pill": ("1.25rem", "1.375rem")}


@dataclass(frozen=True)
class Branding:
    """A merchant's choices. The defaults are used for a portal without branding."""

    background: str = "#f4f4f6"
    button: str = "#1f4fd8"
    font: str = "system"
    shape: str = "rounded"


def parse(**members: object) -> Branding:
    """Branding from stored or entered members; empty ones get their default.

    Raises ValueError for an unknown member, and for anything but colours as #rrggbb, a known font and a known shape.
    """
    names = {field.name for field in fields(Branding)}
    choices = {name: str(value).lower() for name, value in members.items() if value}
    if unknown := set(choices) - names:
        raise ValueError(f"unknown branding: {', '.join(sorted(unknown))}")
    branding = Branding(**choices)
    for name in ("background", "button"):
        if not COLOUR.fullmatch(getattr(branding, name)):
            raise ValueError(f"{name} must be a colour such as #1f4fd8")
    if branding.font not in FONTS:
        raise ValueError(f"font must be one of: {', '.join(FONTS)}")
    if branding.shape not in SHAPES:
        raise ValueError(f"shape must be one of: {', '.join(SHAPES)}")
    return branding


def stylesheet(branding: Branding) -> str:
    """The CSS variables that components use, in the cascade layer `theme`."""
    radius, control = SHAPES[branding.shape]
    common = {"font": FONTS[branding.font], "radius": radius, "radius-control": control}
    light = palette.tokens(branding.background, branding.button, dark=False)
    dark = palette.tokens(branding.background, branding.button, dark=True)
    return (
        f"@layer theme{{:root{{color-scheme:light dark;{_declared(common)}{_declared(light)}}}"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{_declared(dark)}}}}}}}\n"
    )


def _declared(tokens: dict[str, str]) -> str:
    return "".join(f"--{name}:{value};" for name, value in tokens.items())
