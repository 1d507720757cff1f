"""Reads PDF files as the tests need them: their text, their fonts, and what they say of themselves."""

import io
import unicodedata
from collections import Counter
from typing import Any

import pikepdf
from pdfminer.high_level import extract_text
from pdfminer.layout import LAParams

BREAKS = "\u200b"  # where a word that is longer than a line may be broken


def text(data: bytes) -> str:
    """The text with single blanks, without breaks inside words."""
    # Without ordering the boxes of a page, which takes quadratic time and which no test depends on.
    found = extract_text(io.BytesIO(data), laparams=LAParams(all_texts=True, boxes_flow=None))
    return " ".join(unicodedata.normalize("NFKC", found.replace(BREAKS, "")).split())


def letters(data: bytes) -> Counter[str]:
    """How often each character is in the text, whatever their order: that of right-to-left texts is the printer's."""
    return Counter(text(data).replace(" ", ""))


def pages(data: bytes) -> int:
    """How many there are."""
    with pikepdf.open(io.BytesIO(data)) as document:
        return len(document.pages)


def size(data: bytes) -> tuple[int, int]:
    """The paper in points."""
    with pikepdf.open(io.BytesIO(data)) as document:
        box = [float(side) for side in document.pages[0].mediabox]  # type: ignore[union-attr]
    return round(box[2]), round(box[3])


def pixels(data: bytes) -> set[tuple[int, int]]:
    """The sizes of the pictures in it."""
    with pikepdf.open(io.BytesIO(data)) as document:
        streams = [part for part in document.objects if isinstance(part, pikepdf.Stream)]
        return {(int(part.Width), int(part.Height)) for part in streams if part.get("/Subtype") == "/Image"}


def roles(data: bytes) -> Counter[str]:
    """How often each kind of element is in its structure, which screen readers follow."""
    found: Counter[str] = Counter()
    with pikepdf.open(io.BytesIO(data)) as document:
        parts = [document.Root.StructTreeRoot]
        while parts:
            part = parts.pop()
            if isinstance(part, pikepdf.Dictionary):
                found.update([str(part.get("/S", ""))])
                kids = part.get("/K", [])
                parts += list(kids) if isinstance(kids, pikepdf.Array) else [kids]  # type: ignore[call-overload]
    return found


def claims(data: bytes) -> dict[str, Any]:
    """Title, language, standards, and whether it is marked and shows its title."""
    with pikepdf.open(io.BytesIO(data)) as document, document.open_metadata() as told:
        return {
            "title": str(told["dc:title"]),
            "language": str(document.Root.Lang),
            "archive": f"{told['pdfaid:part']}{told['pdfaid:conformance']}",
            "accessible": str(told["pdfuaid:part"]),
            "marked": bool(document.Root.MarkInfo.Marked),
            "shows_title": bool(document.Root.ViewerPreferences.DisplayDocTitle),
            "script": "/JavaScript" in document.Root or "/OpenAction" in document.Root or "/AA" in document.Root,
        }


def fonts(data: bytes) -> dict[str, tuple[bool, bool]]:
    """Whether each font is embedded, and whether its signs can be read as text."""
    found = {}
    with pikepdf.open(io.BytesIO(data)) as document:
        for page in document.pages:
            for font in page.get("/Resources", {}).get("/Font", {}).values():
                descendants = font.get("/DescendantFonts")
                described = (descendants[0] if descendants is not None else font).get("/FontDescriptor", {})
                embedded = any(f"/FontFile{kind}" in described for kind in ("", "2", "3"))
                found[str(font.BaseFont)] = embedded, "/ToUnicode" in font
    return found
