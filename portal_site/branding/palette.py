"""Derives all colours of a page, light and dark, from two brand colours, with the contrast that WCAG requires."""

from collections.abc import Sequence
from functools import lru_cache

from portal_site.branding.oklch import Oklch, contrast, parse, to_hex

TEXT, OUTLINE = 4.5, 3.0  # WCAG 2.2 contrast ratios: 1.4.3 for text, 1.4.11 for user interface components
BLACK, WHITE = "#000000", "#ffffff"
STEP = 0.01
DARK_PANEL = (0.215, 0.012)  # lightness and chroma of a panel in dark mode where the brand's own colour would dazzle
MOST_DARKENED = 0.07  # how much lightness a button may lose so that white stands on it; beyond that its text is black
STATUS_HUES = {"danger": 25.0, "warning": 70.0, "success": 150.0, "info": 250.0}
STATUS_SURFACES = tuple(f"{name}-surface" for name in STATUS_HUES)
# The page is the ground that cards lie on, and `soft` marks what is selected.
GROUNDS = ("page", "card", "soft", *STATUS_SURFACES)
Tokens = dict[str, str]

# (foreground, background, required contrast ratio). A test checks all pairs for a grid of brand colours.
PAIRS: tuple[tuple[str, str, float], ...] = (
    ("panel-text", "panel", TEXT),
    ("panel-muted", "panel", TEXT),
    ("panel-link", "panel", TEXT),
    ("button-text", "button", TEXT),
    ("button-text", "button-hover", TEXT),
    *(("muted", ground, TEXT) for ground in ("page", "card", "soft")),
    *(("control-border", ground, OUTLINE) for ground in ("page", "card", "soft")),
    ("focus-inner", "focus", OUTLINE),
    *((name, ground, TEXT) for name in ("text", "link") for ground in GROUNDS),
    *((name, ground, OUTLINE) for name in ("button-border", "focus") for ground in GROUNDS),
    *((name, ground, TEXT) for name in STATUS_HUES for ground in ("page", "card", f"{name}-surface")),
    *((name, ground, TEXT) for name in ("success", "danger") for ground in ("soft",)),
)


def tokens(background: str, button: str, *, dark: bool) -> Tokens:
    """All colours as `#rrggbb` by token name. `background` and `button` are the merchant's colours as `#rrggbb`."""
    neutral = _neutral(round(_tint(background)), round(parse(button).hue), dark)
    grounds = [neutral[name] for name in GROUNDS]
    return {**neutral, **_panel(background, dark), **_button(button, grounds)}


@lru_cache(maxsize=512)
def panels(background: str) -> tuple[str, str]:
    """The panel's colour in light and in dark mode, which browsers on phones also give their own frame."""
    return background, _panel(background, dark=True)["panel"]


def _tint(background: str) -> float:
    """The hue for the greys: the brand's, or blue if the brand's background is grey."""
    brand = parse(background)
    return brand.hue if brand.chroma > 0.02 else 255.0


@lru_cache(maxsize=1024)
def _neutral(hue: int, selected: int, dark: bool) -> Tokens:
    """The page's greys, tinted with the brand's hue, what is selected in a tint of its hue, and the four status colours."""

    def grey(lightness: float, chroma: float) -> str:
        return to_hex(Oklch(lightness, chroma, hue))

    if dark:
        colours = {"page": grey(0.19, 0.01), "card": grey(0.235, 0.012), "border": grey(0.34, 0.012)}
        text, muted, outline, signal, signal_ground = 0.95, 0.7, 0.55, 0.72, (0.27, 0.05)
    else:
        colours = {"page": grey(0.975, 0.005), "card": grey(0.997, 0.002), "border": grey(0.9, 0.008)}
        text, muted, outline, signal, signal_ground = 0.22, 0.52, 0.62, 0.5, (0.955, 0.025)
    colours["soft"] = to_hex(Oklch(0.28 if dark else 0.955, 0.02, selected))
    for name, status_hue in STATUS_HUES.items():
        colours[f"{name}-surface"] = to_hex(Oklch(signal_ground[0], signal_ground[1], status_hue))
    plain = [colours[name] for name in ("page", "card", "soft")]
    colours["text"] = _readable(Oklch(text, 0.012, hue), [colours[name] for name in GROUNDS], TEXT)
    colours["muted"] = _readable(Oklch(muted, 0.015, hue), plain, TEXT)
    colours["control-border"] = _readable(Oklch(outline, 0.015, hue), plain, OUTLINE)
    for name, status_hue in STATUS_HUES.items():
        grounds = [*plain, colours[f"{name}-surface"]]
        colours[name] = _readable(Oklch(signal, 0.16, status_hue), grounds, TEXT)
    return colours


def _panel(background: str, dark: bool) -> Tokens:
    brand = parse(background)
    panel = background
    if dark and brand.lightness > DARK_PANEL[0]:
        panel = to_hex(Oklch(DARK_PANEL[0], min(brand.chroma, DARK_PANEL[1]), brand.hue))
    text = _on(panel)
    return {
        "brand": background,  # the background that the logo was designed for, even if the panel is darker
        "panel": panel,
        "panel-text": text,
        "panel-link": text,
        "panel-muted": _softened(text, panel),
        "panel-border": to_hex(_towards(parse(panel), parse(text), 0.18)),
    }


def _button(button: str, grounds: Sequence[str]) -> Tokens:
    button, text = _filled(button)
    brand = parse(button)
    hover = to_hex(brand._replace(lightness=brand.lightness + (0.05 if text == BLACK else -0.05)))
    link = _readable(brand, grounds, TEXT)
    return {
        "button": button,
        "button-text": text,
        # The hover colour moves away from the text's, which raises the contrast. At the end of the scale it does not change.
        "button-hover": hover if contrast(hover, text) >= TEXT else button,
        "button-border": _readable(brand, grounds, OUTLINE),
        "link": link,
        "focus": link,
        "focus-inner": grounds[0],
    }


def _filled(button: str) -> tuple[str, str]:
    """The colour of a filled button and of its text: white where the merchant's colour can carry it, hardly darkened."""
    brand = parse(button)
    for steps in range(round(MOST_DARKENED / STEP) + 1):
        darker = to_hex(brand._replace(lightness=brand.lightness - steps * STEP)) if steps else button
        if contrast(WHITE, darker) >= TEXT:
            return darker, WHITE
    return button, BLACK


def _on(ground: str) -> str:
    """Black or white, whichever has the higher contrast. On any colour one of them reaches at least 4.58."""
    return max(WHITE, BLACK, key=lambda pole: contrast(pole, ground))


def _readable(colour: Oklch, grounds: Sequence[str], ratio: float) -> str:
    """The colour with the nearest lightness that has this contrast ratio on every ground; black or white if none has.

    The grounds must be all light or all dark.
    """
    pole = _on(grounds[0])
    step = STEP if pole == WHITE else -STEP
    lightness = colour.lightness
    while 0 < lightness < 1:
        candidate = to_hex(colour._replace(lightness=lightness))
        if all(contrast(candidate, ground) >= ratio for ground in grounds):
            return candidate
        lightness += step
    return pole


def _softened(text: str, ground: str) -> str:
    """The text's colour, blended with its ground as far as it stays readable."""
    for share in (0.3, 0.22, 0.15, 0.08):
        softer = to_hex(_towards(parse(text), parse(ground), share))
        if contrast(softer, ground) >= TEXT:
            return softer
    return text


def _towards(start: Oklch, end: Oklch, share: float) -> Oklch:
    lightness = start.lightness + (end.lightness - start.lightness) * share
    coloured = max(start, end, key=lambda colour: colour.chroma)
    return Oklch(lightness, coloured.chroma * 0.5, coloured.hue)
