"""Themes: a stylesheet contains valid values only, and its name depends on its content."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal_site import locations
from portal_site.branding import theme
from portal_site.branding.theme import Branding


def test_the_stylesheet_sets_tokens_and_nothing_else() -> None:
    css = theme.stylesheet(Branding(background="#12131f", button="#7c5cff", shape="pill"))
    assert "--panel:#12131f;" in css
    assert "--radius-control:1.375rem;" in css
    assert "@media screen and (prefers-color-scheme:dark)" in css  # paper is always light
    declarations = re.findall(r"([a-z-]+):[^;{]+;", css)
    assert {name for name in declarations if not name.startswith("--")} == {"color-scheme"}


def test_what_is_not_given_is_the_default() -> None:
    assert theme.parse(button="#FF2E88", font=None) == Branding(button="#ff2e88")


@pytest.mark.case("C7")
@pytest.mark.parametrize("member", ["background", "button", "font", "shape", "logo"])
@given(
    value=st.one_of(
        st.text(min_size=1, max_size=40),
        st.sampled_from(
            ["red;}body{background:url(//x)", "#12131f;", "#12131", "#12131g", "#12131f\n", "url(x)", "１２３"]
        ),
    )
)
def test_nothing_else_gets_in(member: str, value: str) -> None:
    try:
        branding = theme.parse(**{member: value})
    except ValueError:
        return
    assert re.fullmatch(r"#[0-9a-f]{6}", branding.background)
    assert re.fullmatch(r"#[0-9a-f]{6}", branding.button)
    assert branding.font in theme.FONTS
    assert branding.shape in theme.SHAPES


PANEL_IN_THE_DARK = ["box-shadow", "padding", "box-sizing", "background", "border-radius", "max-width"]


def test_a_dark_page_differs_from_a_light_one_in_colours_only() -> None:
    """So the browser tests hold dark pages to the rules on colours, and to all others in the light."""
    sheets = [path.read_text() for path in (locations.STATIC / "css").rglob("*.css")]
    sheets.append(theme.stylesheet(Branding(background="#12131f", button="#7c5cff")))
    dark = [rest for sheet in sheets for rest in re.split(r"@media[^{]*prefers-color-scheme[^{]*", sheet)[1:]]
    assert len(dark) == 3
    # The panel's stripe and the logo's ground are the brand's colour, and stand in no line of text.
    panel = next(rest for rest in dark if ".panel-head" in rest)
    assert re.findall(r"[\w-]+(?=: )", panel.partition("@media")[0]) == PANEL_IN_THE_DARK
    dark.remove(panel)
    colours = r"\{\s*:root\s*\{(\s*--[\w-]+:\s*#[0-9a-f]{3,8};?)+\s*\}\s*\}"
    assert all(re.match(colours, rest) for rest in dark)
