"""Logos as merchants upload them, made harmless: drawings are cleaned, pictures are painted anew."""

import io
import re
import warnings
from dataclasses import dataclass
from xml.etree import ElementTree

from PIL import Image, UnidentifiedImageError
from py_svg_hush import filter_svg

MOST_BYTES = 256 * 1024
MOST_PIXELS = 4_000_000
LARGEST = (960, 480)  # shown at 40 CSS pixels high; this is sharp on any screen and a few KB as PNG
PICTURES = ("PNG", "JPEG", "WEBP", "GIF")
SVG = "image/svg+xml"
NUMBER = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)")
# A logo is only ever an <img>, where no script runs; opened by itself it may do nothing at all.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    "Content-Disposition": "inline",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True)
class Logo:
    """A logo that may be served: its bytes, their type, and its size in pixels."""

    content_type: str
    data: bytes
    width: int
    height: int


def accept(data: bytes) -> Logo:
    """Clean an upload. Raises ValueError with a sentence for what is too large, broken, or not a picture."""
    if len(data) > MOST_BYTES:
        raise ValueError(f"The file is larger than {MOST_BYTES // 1024} KB.")
    start = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return _drawing(data) if start.startswith((b"<svg", b"<?xml", b"<!--", b"<!doctype")) else _picture(data)


def _drawing(data: bytes) -> Logo:
    try:
        cleaned = filter_svg(data)
        root = ElementTree.fromstring(cleaned)  # safe: what the filter lets through has no entities
    except (ValueError, ElementTree.ParseError):
        raise ValueError("This SVG cannot be read. Export it again as plain SVG.") from None
    if not root.tag.endswith("svg"):
        raise ValueError("This SVG cannot be read. Export it again as plain SVG.")
    width, height = _size(root)
    return Logo(SVG, cleaned, width, height)


def _size(root: ElementTree.Element) -> tuple[int, int]:
    box = root.get("viewBox", "").replace(",", " ").split()
    wanted = (root.get("width", ""), root.get("height", ""))
    found = [NUMBER.match(text) for text in (box[2:] if len(box) == 4 else wanted)]
    if len(found) != 2 or not all(found):
        return 40, 40
    return tuple(max(1, round(float(size[1]))) for size in found if size)  # type: ignore[return-value]


def _picture(data: bytes) -> Logo:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=PICTURES) as image:
                if image.width * image.height > MOST_PIXELS:
                    raise ValueError("The picture has more than four million pixels. Make it smaller.")
                # A new picture with nothing of the old file in it: no metadata, no trailing bytes, one frame.
                painted = image.convert("RGBA")
    except (UnidentifiedImageError, Image.DecompressionBombError, Image.DecompressionBombWarning, OSError, SyntaxError):
        raise ValueError("This is not a picture that can be shown. Use SVG, PNG, JPEG, WebP or GIF.") from None
    painted.thumbnail(LARGEST)
    buffer = io.BytesIO()
    painted.save(buffer, "PNG", optimize=True)
    return Logo("image/png", buffer.getvalue(), painted.width, painted.height)
