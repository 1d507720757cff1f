"""Contrast: text is readable with every brand colour that a merchant can choose."""

from collections.abc import Iterator
from itertools import product

import pytest
from coloraide import Color
from hypothesis import given
from hypothesis import strategies as st

from portal_site.branding import oklch, palette

COLOURS = st.integers(0, 0xFFFFFF).map(lambda value: f"#{value:06x}")


def _sweep() -> Iterator[str]:
    steps = [f"{value:02x}" for value in range(0, 256, 17)]
    return (f"#{red}{green}{blue}" for red, green, blue in product(steps, steps, steps))


@pytest.mark.case("C7")
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_pair_of_every_one_of_4096_colours_is_readable(dark: bool) -> None:
    failures = []
    for colour in _sweep():
        tokens = palette.tokens(colour, colour, dark=dark)
        light = {name: oklch.luminance(value) + 0.05 for name, value in tokens.items()}
        for name, ground, ratio in palette.PAIRS:
            one, other = light[name], light[ground]
            if max(one, other) / min(one, other) < ratio:
                failures.append((colour, name, ground))
    assert failures == []


@given(COLOURS, COLOURS)
def test_two_different_colours_are_readable_too(background: str, button: str) -> None:
    for dark in (False, True):
        tokens = palette.tokens(background, button, dark=dark)
        assert all(oklch.contrast(tokens[name], tokens[ground]) >= ratio for name, ground, ratio in palette.PAIRS)


def test_the_merchants_own_colours_are_used_as_they_are() -> None:
    tokens = palette.tokens("#12131f", "#1f4fd8", dark=False)
    assert (tokens["panel"], tokens["button"], tokens["button-text"]) == ("#12131f", "#1f4fd8", "#ffffff")


@pytest.mark.parametrize(
    ("chosen", "used", "text"),
    [
        ("#7c5cff", "#7959fb", "#ffffff"),
        ("#ff2e88", "#e02276", "#ffffff"),
        ("#ffe000", "#ffe000", "#000000"),
        ("#ff8c00", "#ff8c00", "#000000"),
        ("#33dd55", "#33dd55", "#000000"),
    ],
)
def test_white_stands_on_a_button_that_is_hardly_darkened_for_it(chosen: str, used: str, text: str) -> None:
    tokens = palette.tokens("#12131f", chosen, dark=False)
    assert tokens["button-text"] == text
    assert abs(oklch.parse(tokens["button"]).lightness - oklch.parse(used).lightness) < 0.012


def test_a_bright_panel_becomes_a_neutral_one_in_the_dark() -> None:
    assert oklch.parse(palette.panels("#ffe000")[1]).chroma < 0.015
    assert palette.panels("#12131f") == ("#12131f", "#12131f")


@given(COLOURS)
def test_conversion_agrees_with_a_library(colour: str) -> None:
    lightness, chroma, hue = Color(colour).convert("oklch").coords(nans=False)
    ours = oklch.parse(colour)
    assert ours.lightness == pytest.approx(lightness, abs=2e-3)
    assert ours.chroma == pytest.approx(chroma, abs=2e-3)
    if chroma > 0.01:
        assert abs((ours.hue - hue + 180) % 360 - 180) < 1.5


@given(COLOURS)
def test_a_colour_survives_the_way_there_and_back(colour: str) -> None:
    back = oklch.to_hex(oklch.parse(colour))
    assert all(abs(a - b) <= 1 for a, b in zip(oklch.channels(colour), oklch.channels(back), strict=True))


@given(COLOURS, COLOURS)
def test_contrast_agrees_with_a_library(one: str, other: str) -> None:
    assert oklch.contrast(one, other) == pytest.approx(Color(one).contrast(Color(other), method="wcag21"), rel=1e-3)
