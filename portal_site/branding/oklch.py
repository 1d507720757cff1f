"""Conversion to and from OKLCH, a colour space that is perceptually uniform, and the contrast of two colours.

The conversion is Björn Ottosson's OKLab (bottosson.github.io/posts/oklab), the contrast is that of WCAG 2.2. It is implemented
here because a theme needs about a thousand conversions, for which a general colour library is a hundred times slower.
"""

from math import atan2, cos, degrees, hypot, radians, sin
from typing import NamedTuple

GREY = 1e-4  # a chroma below this has no meaningful hue


class Oklch(NamedTuple):
    """Lightness from 0 to 1, chroma from 0 to about 0.4, hue in degrees."""

    lightness: float
    chroma: float
    hue: float


def to_linear(channel: float) -> float:
    """An sRGB channel (0–1) as linear light (0–1)."""
    return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4


def from_linear(light: float) -> float:
    """The inverse of `to_linear`."""
    return light * 12.92 if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055


LINEAR = tuple(to_linear(value / 255) for value in range(256))


def channels(colour: str) -> tuple[int, int, int]:
    """`#rrggbb` as three numbers from 0 to 255."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def parse(colour: str) -> Oklch:
    """`#rrggbb` in OKLCH."""
    red, green, blue = (LINEAR[value] for value in channels(colour))
    long = (0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue) ** (1 / 3)
    medium = (0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue) ** (1 / 3)
    short = (0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue) ** (1 / 3)
    lightness = 0.2104542553 * long + 0.7936177850 * medium - 0.0040720468 * short
    a = 1.9779984951 * long - 2.4285922050 * medium + 0.4505937099 * short
    b = 0.0259040371 * long + 0.7827717662 * medium - 0.8086757660 * short
    chroma = hypot(a, b)
    return Oklch(lightness, chroma, degrees(atan2(b, a)) % 360 if chroma > GREY else 0.0)


def _light(colour: Oklch) -> tuple[float, float, float]:
    a, b = colour.chroma * cos(radians(colour.hue)), colour.chroma * sin(radians(colour.hue))
    long = (colour.lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (colour.lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (colour.lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    return (
        4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
    )


def to_hex(colour: Oklch) -> str:
    """The colour as `#rrggbb`. Outside the sRGB gamut the chroma is reduced, while lightness and hue stay the same."""
    while colour.chroma > GREY and not all(-1e-4 <= light <= 1.0001 for light in _light(colour)):
        colour = colour._replace(chroma=colour.chroma * 0.92)
    shown = (round(from_linear(min(1.0, max(0.0, light))) * 255) for light in _light(colour))
    return "#" + "".join(f"{value:02x}" for value in shown)


def luminance(colour: str) -> float:
    """The relative luminance of `#rrggbb` (WCAG), from 0 to 1."""
    red, green, blue = (LINEAR[value] for value in channels(colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two `#rrggbb` colours (WCAG), from 1 to 21."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)
