"""Sanitizes uploaded logos: SVG is filtered, and raster images are decoded and encoded again."""

import io
import re
import warnings
from dataclasses import dataclass
from xml.etree import ElementTree

from PIL import Image, UnidentifiedImageError
from py_svg_hush import filter_svg

MOST_BYTES = 256 * 1024
MOST_PIXELS = 4_000_000
LARGEST = (960, 480)  # pixels; logos are shown 40 CSS pixels high, so this is sharp on any screen and a few KB as PNG
PICTURES = ("PNG", "JPEG", "WEBP", "GIF")
SVG = "image/svg+xml"
WIDEST = 10_000.0  # of a drawing, in its own units
NUMBER = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)")
# Pages show a logo as <img>, where no script runs. These headers also disable scripts when it is opened by itself.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    "Content-Disposition": "inline",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True)
class Logo:
    """A logo that is safe to serve. The size is in pixels."""

    content_type: str
    data: bytes
    width: int
    height: int


def accept(data: bytes) -> Logo:
    """Sanitize an uploaded file. Raises ValueError with a message if it is too large, broken, or not an image."""
    if len(data) > MOST_BYTES:
        raise ValueError(f"The file is larger than {MOST_BYTES // 1024} KB.")
    start = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return _drawing(data) if start.startswith((b"<svg", b"<?xml", b"<!--", b"<!doctype")) else _picture(data)


def _drawing(data: bytes) -> Logo:
    try:
        cleaned = filter_svg(data)
        root = ElementTree.fromstring(cleaned)  # safe, because the filtered SVG has no entities
    except (ValueError, ElementTree.ParseError):
        raise ValueError("This SVG cannot be read. Export it again as plain SVG.") from None
    if not root.tag.endswith("svg"):
        raise ValueError("This SVG cannot be read. Export it again as plain SVG.")
    width, height = _size(root)
    return Logo(SVG, cleaned, width, height)


def _size(root: ElementTree.Element) -> tuple[int, int]:
    """The size from the viewBox, else from width and height, else 40 × 40."""
    box = root.get("viewBox", "").replace(",", " ").split()
    attributes = (root.get("width", ""), root.get("height", ""))
    matches = [NUMBER.match(text) for text in (box[2:] if len(box) == 4 else attributes)]
    if len(matches) != 2 or not all(matches):
        return 40, 40
    return tuple(round(min(max(1.0, float(match[1])), WIDEST)) for match in matches if match)  # type: ignore[return-value]


def _picture(data: bytes) -> Logo:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=PICTURES) as image:
                if image.width * image.height > MOST_PIXELS:
                    raise ValueError("The picture has more than four million pixels. Make it smaller.")
                # A new image without the file's metadata, trailing bytes and further frames.
                painted = image.convert("RGBA")
    except (UnidentifiedImageError, Image.DecompressionBombError, Image.DecompressionBombWarning, OSError, SyntaxError):
        raise ValueError("This is not a picture that can be shown. Use SVG, PNG, JPEG, WebP or GIF.") from None
    painted.thumbnail(LARGEST)
    buffer = io.BytesIO()
    painted.save(buffer, "PNG", optimize=True)
    return Logo("image/png", buffer.getvalue(), painted.width, painted.height)
