"""Fonts of documents: those that are shipped, and the system's for characters that these do not have."""

from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import typst
from fontTools.ttLib import TTFont, TTLibError

FOLDER = Path(__file__).parent / "fonts"
SERIF, SANS = "Noto Serif", "Noto Sans"
# For whatever the first does not have, in this order.
SCRIPTS = (
    "Noto Sans Arabic", "Noto Sans Hebrew", "Noto Sans Thai", "Noto Sans Devanagari", "Noto Sans Math", "Noto Sans Symbols",
    "Noto Sans Symbols2",
)  # fmt: skip
# A character of each writing for which no font is shipped because one would be larger than all others together.
LARGE = {"Chinese": "\u4e2d", "Japanese": "\u3042", "Korean": "\ud55c"}
# The shapes of Chinese characters differ between countries; fonts have a name for each.
CHINESE = {"JP": "JP", "KR": "KR", "TW": "TC", "HK": "HK", "MO": "HK"}
MOST_EXTRA = 6  # families of the system in one document
MOST_LOOKED_INTO = 150  # families of the system; reading the characters of one takes some ten milliseconds, once
NORMAL = 400


def families(serif: bool) -> tuple[str, ...]:
    """The families that are shipped, in the order in which a text looks for its characters."""
    return (SERIF, SANS, *SCRIPTS) if serif else (SANS, *SCRIPTS)


@lru_cache(maxsize=1)
def shipped() -> typst.Fonts:
    """The fonts that are shipped, read once: finding them takes longer than a document does."""
    return typst.Fonts(include_system_fonts=False, include_embedded_fonts=False, font_paths=[str(FOLDER)])


@lru_cache(maxsize=1)
def with_systems() -> typst.Fonts:
    """The same with those of the system."""
    return typst.Fonts(include_system_fonts=True, include_embedded_fonts=False, font_paths=[str(FOLDER)])


@lru_cache(maxsize=1)
def characters() -> frozenset[int]:
    """What the shipped fonts can print."""
    return frozenset().union(*(_characters(str(path), 0) for path in sorted(FOLDER.glob("*.ttf"))))


@lru_cache(maxsize=256)
def _characters(path: str, index: int) -> frozenset[int]:
    """The characters of a font; none of one that cannot be read, or whose characters are pictures."""
    try:
        with TTFont(path, fontNumber=index, lazy=True) as font:
            has_outlines = "glyf" in font or "CFF " in font
            return frozenset(font.getBestCmap() or ()) if has_outlines else frozenset()
    except (OSError, TTLibError, AssertionError, KeyError, ValueError):
        return frozenset()


def of_system(wanted: Collection[int], country: str | None) -> tuple[tuple[str, ...], frozenset[int]]:
    """Families of the system that have some of these characters, and all that they can print."""
    left, known = set(wanted), set[int]()
    chosen: list[str] = []
    for family, found in _systems(CHINESE.get(country or "", "SC")):
        if len(chosen) < MOST_EXTRA and left & found:
            chosen.append(family)
            left -= found
            known |= found
        if not left:
            break
    return tuple(chosen), frozenset(known)


def _systems(region: str) -> Iterator[tuple[str, frozenset[int]]]:
    """The families of the system with their characters: Noto first, of these the one for the region."""
    own = set(shipped().families())
    faces: dict[str, tuple[str, int]] = {}
    for face in with_systems().fonts():
        if face.path and face.family not in own and face.weight == NORMAL and face.style == "normal":
            faces.setdefault(face.family, (face.path, face.index))
    for family in sorted(
        faces, key=lambda name: (not name.startswith("Noto"), not name.endswith(f"CJK {region}"), name)
    ):
        yield family, _characters(*faces[family])


def missing_writings() -> Sequence[str]:
    """The writings that documents cannot print on this machine."""
    known = of_system([ord(sign) for sign in LARGE.values()], None)[1] | characters()
    return [name for name, sign in LARGE.items() if ord(sign) not in known]


@lru_cache(maxsize=1)
def latin() -> frozenset[int]:
    """What every document can print: Latin, Greek and Cyrillic."""
    return _characters(str(FOLDER / "NotoSans-Regular.ttf"), 0)
