"""Sets a document as a tagged PDF/A that is the same, byte for byte, whenever its content is."""

import base64
import io
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from portal_site.documents import fonts, text, typst_runs
from portal_site.documents.typst_runs import Refused

log = logging.getLogger("portal_site")
TEMPLATE = Path(__file__).parent / "templates" / "document.typ"
STANDARDS: list[Any] = ["a-2a", "ua-1"]  # for archives, with text that can be searched; and for screen readers
# Where people print on US Letter, as CLDR has it.
LETTER = frozenset("BZ CA CL CO CR GT MX NI PA PH PR SV US VE".split())
LARGEST = (50, 10)  # millimetres of a logo
SHARP = (720, 144)  # the pixels that it needs for that, at 365 a inch
SVG = "image/svg+xml"


@dataclass(frozen=True)
class Picture:
    """A logo that was checked before."""

    content_type: str
    data: bytes
    width: int
    height: int

    @property
    def size(self) -> list[float]:
        """How large it is printed, in millimetres."""
        scale = min(most / max(side, 1) for most, side in zip(LARGEST, (self.width, self.height), strict=True))
        return [round(max(side * scale, 0.1), 2) for side in (self.width, self.height)]


@dataclass(frozen=True)
class Printed:
    """A document, the characters in its texts that no font here has, and whether it has all that it should."""

    data: bytes
    missing: frozenset[str]
    is_whole: bool


def paper(*countries: str | None) -> str:
    """The size of paper of the first country that is known."""
    country = next(filter(None, countries), "")
    return "us-letter" if country.upper() in LETTER else "a4"


def render(
    content: Mapping[str, Any], logo: Picture | None, *, serif: bool, country: str | None, regret: str
) -> Printed:
    """Print the content by the template; `regret` is what the document says where characters of its texts are missing.

    Nothing that people may have typed or uploaded keeps a document from being printed: where the typesetter refuses it, it is
    printed without its logo, and if that was not the reason, with the letters alone that every document has.
    """
    plain = text.each(dict(content), text.plain)
    families = fonts.families(serif)
    extra, known = _extra(plain, country)
    filled, missing = _fill(plain, fonts.characters() | known)
    said = regret if missing else ""
    tries = [(filled, logo, (*families, *extra), said), (filled, None, (*families, *extra), said)]
    for number, (texts, picture, used, words) in enumerate(tries):
        try:
            return Printed(_set(texts, picture, used, words), missing, is_whole=not (missing or number))
        except Refused as refusal:
            log.warning("a document is printed with less than it should have: %s", refusal)
    latin, _absent = _fill(plain, fonts.latin())
    return Printed(_set(latin, None, families, regret), missing, is_whole=False)


def _extra(plain: Any, country: str | None) -> tuple[tuple[str, ...], frozenset[int]]:
    """The system's families that this content needs besides."""
    seen: set[str] = set()
    text.each(plain, lambda value: seen.update(value) or value)  # type: ignore[func-returns-value]
    strange = {ord(sign) for sign in seen} - fonts.characters() - {ord("\n")}
    return fonts.of_system(strange, country) if strange else ((), frozenset())


def _fill(plain: Any, known: frozenset[int]) -> tuple[Any, frozenset[str]]:
    missing: set[str] = set()

    def printable(value: str) -> str:
        changed, absent = text.printable(value, known)
        missing.update(absent)
        return changed

    return text.each(plain, printable), frozenset(missing)


def _set(content: Any, logo: Picture | None, families: tuple[str, ...], regret: str) -> bytes:
    files = {"main": _template(), "content.json": b""}
    drawing = _drawing(logo) if logo else None
    if drawing:
        files["logo.svg"] = drawing
    shown = {"logo": "logo.svg" if drawing else None, "logo-size": logo.size if logo else None}
    whole = {**content, **shown, "families": families, "regret": regret}
    files["content.json"] = json.dumps(whole, ensure_ascii=False, sort_keys=True).encode()
    system = not set(families) <= {*fonts.families(serif=True)}
    if len(files["content.json"]) > typst_runs.LARGE:
        return typst_runs.compile_apart(files, fonts.FOLDER, STANDARDS, system=system)
    return typst_runs.compile_here(files, fonts.with_systems() if system else fonts.shipped(), STANDARDS)


@lru_cache(maxsize=1)
def _template() -> bytes:
    return TEMPLATE.read_bytes()


def _drawing(logo: Picture) -> bytes | None:
    """The logo as SVG, its pixels no more than can be seen. Typst takes no other bytes than those of a text."""
    if logo.content_type == SVG:
        return logo.data
    try:
        with Image.open(io.BytesIO(logo.data), formats=("PNG",)) as image:
            image.thumbnail(SHARP)
            buffer = io.BytesIO()
            image.save(buffer, "PNG")
            width, height = image.size
    except (UnidentifiedImageError, OSError, SyntaxError):
        return None
    pixels = base64.b64encode(buffer.getvalue()).decode()
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">'
        f'<image width="{width}" height="{height}" href="data:image/png;base64,{pixels}"/></svg>'
    ).encode()
