"""Two brand colours → every colour of a page, light and dark, with the contrast that people need to read it."""

from collections.abc import Sequence
from functools import lru_cache

from portal_site.branding.oklch import Oklch, contrast, parse, to_hex

TEXT, OUTLINE = 4.5, 3.0  # WCAG 2.2: 1.4.3 for text, 1.4.11 for what one must see to use a page
BLACK, WHITE = "#000000", "#ffffff"
STEP = 0.01
DIMMEST_PANEL = 0.36  # a panel as bright as a lamp beside a dark page would be what one dims the screen for
STATUS_HUES = {"danger": 25.0, "warning": 70.0, "success": 150.0, "info": 250.0}
STATUS_SURFACES = tuple(f"{name}-surface" for name in STATUS_HUES)
GROUNDS = ("surface", "surface-raised", *STATUS_SURFACES)
Tokens = dict[str, str]

# What stands on what, and the contrast that it must have: the promise that the sweep over all colours tests.
PAIRS: tuple[tuple[str, str, float], ...] = (
    ("panel-text", "panel", TEXT),
    ("panel-muted", "panel", TEXT),
    ("panel-link", "panel", TEXT),
    ("button-text", "button", TEXT),
    ("button-text", "button-hover", TEXT),
    ("muted", "surface", TEXT),
    ("muted", "surface-raised", TEXT),
    ("control-border", "surface", OUTLINE),
    ("control-border", "surface-raised", OUTLINE),
    ("focus-inner", "focus", OUTLINE),
    *((name, ground, TEXT) for name in ("text", "link") for ground in GROUNDS),
    *((name, ground, OUTLINE) for name in ("button-border", "focus") for ground in GROUNDS),
    *((name, ground, TEXT) for name in STATUS_HUES for ground in ("surface", "surface-raised", f"{name}-surface")),
)


def tokens(background: str, button: str, *, dark: bool) -> Tokens:
    """Every colour by its token's name, as `#rrggbb`. `background` and `button` are the merchant's `#rrggbb`."""
    neutral = _neutral(round(_tint(background)), dark)
    grounds = [neutral[name] for name in GROUNDS]
    return {**neutral, **_panel(background, dark), **_button(button, grounds)}


def _tint(background: str) -> float:
    asked = parse(background)
    return asked.hue if asked.chroma > 0.02 else 255.0


@lru_cache(maxsize=1024)
def _neutral(hue: int, dark: bool) -> Tokens:
    """The page itself: near-greys with a breath of the brand, and the four colours that signal."""

    def grey(lightness: float, chroma: float) -> str:
        return to_hex(Oklch(lightness, chroma, hue))

    if dark:
        found = {"surface": grey(0.19, 0.01), "surface-raised": grey(0.235, 0.012), "border": grey(0.34, 0.012)}
        text, muted, outline, signal, signal_ground = 0.95, 0.7, 0.55, 0.72, (0.27, 0.05)
    else:
        found = {"surface": grey(0.995, 0.002), "surface-raised": grey(0.975, 0.005), "border": grey(0.9, 0.008)}
        text, muted, outline, signal, signal_ground = 0.22, 0.52, 0.62, 0.5, (0.955, 0.025)
    for name, status_hue in STATUS_HUES.items():
        found[f"{name}-surface"] = to_hex(Oklch(signal_ground[0], signal_ground[1], status_hue))
    plain = [found["surface"], found["surface-raised"]]
    found["text"] = _readable(Oklch(text, 0.012, hue), [found[name] for name in GROUNDS], TEXT)
    found["muted"] = _readable(Oklch(muted, 0.015, hue), plain, TEXT)
    found["control-border"] = _readable(Oklch(outline, 0.015, hue), plain, OUTLINE)
    for name, status_hue in STATUS_HUES.items():
        grounds = [*plain, found[f"{name}-surface"]]
        found[name] = _readable(Oklch(signal, 0.16, status_hue), grounds, TEXT)
    return found


def _panel(background: str, dark: bool) -> Tokens:
    asked = parse(background)
    panel = background
    if dark and asked.lightness > DIMMEST_PANEL:
        panel = to_hex(asked._replace(lightness=DIMMEST_PANEL, chroma=min(asked.chroma, 0.14)))
    text = _on(panel)
    return {
        "brand": background,  # what a logo was drawn for, whatever becomes of the panel
        "panel": panel,
        "panel-text": text,
        "panel-link": text,
        "panel-muted": _softened(text, panel),
        "panel-border": to_hex(_towards(parse(panel), parse(text), 0.18)),
    }


def _button(button: str, grounds: Sequence[str]) -> Tokens:
    asked = parse(button)
    text = _on(button)
    hover = to_hex(asked._replace(lightness=asked.lightness + (0.05 if text == BLACK else -0.05)))
    link = _readable(asked, grounds, TEXT)
    return {
        "button": button,
        "button-text": text,
        # Away from its text, so that the words on it only get clearer; at the end of the scale it stays as it is.
        "button-hover": hover if contrast(hover, text) >= TEXT else button,
        "button-border": _readable(asked, grounds, OUTLINE),
        "link": link,
        "focus": link,
        "focus-inner": grounds[0],
    }


def _on(ground: str) -> str:
    """Black or white, whichever reads better: on any colour one of them reaches 4.58."""
    return max(WHITE, BLACK, key=lambda pole: contrast(pole, ground))


def _readable(asked: Oklch, grounds: Sequence[str], ratio: float) -> str:
    """The colour, or the nearest lightness of it that stands out from every ground. The grounds are all light, or all dark."""
    pole = _on(grounds[0])
    step = STEP if pole == WHITE else -STEP
    lightness = asked.lightness
    while 0 < lightness < 1:
        found = to_hex(asked._replace(lightness=lightness))
        if all(contrast(found, ground) >= ratio for ground in grounds):
            return found
        lightness += step
    return pole


def _softened(text: str, ground: str) -> str:
    """The text's colour let down towards its ground as far as it stays readable."""
    for share in (0.3, 0.22, 0.15, 0.08):
        softer = to_hex(_towards(parse(text), parse(ground), share))
        if contrast(softer, ground) >= TEXT:
            return softer
    return text


def _towards(start: Oklch, end: Oklch, share: float) -> Oklch:
    lightness = start.lightness + (end.lightness - start.lightness) * share
    coloured = max(start, end, key=lambda colour: colour.chroma)
    return Oklch(lightness, coloured.chroma * 0.5, coloured.hue)
