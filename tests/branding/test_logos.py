"""Logos: an upload is sanitized, or refused with a message."""

import io
import struct
import zlib

import pytest
from PIL import Image

from portal_site.branding import logos

SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 120 40">{}</svg>'


def _png(width: int, height: int, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), "#7c5cff").save(buffer, "PNG", **options)
    return buffer.getvalue()


def test_a_drawing_keeps_its_shape() -> None:
    logo = logos.accept(SVG.format('<path d="M0 0h9v9z" fill="#123456"/>').encode())
    assert (logo.content_type, logo.width, logo.height) == ("image/svg+xml", 120, 40)
    assert b"M0 0h9v9z" in logo.data


@pytest.mark.case("C6")
@pytest.mark.parametrize(
    "inside",
    [
        "<script>alert(1)</script>",
        '<path d="M0 0" onload="alert(1)"/>',
        '<a href="javascript:alert(1)"><text>x</text></a>',
        "<foreignObject><body xmlns='http://www.w3.org/1999/xhtml'><iframe src='//evil.example'/></body></foreignObject>",
        '<image href="https://evil.example/pixel.png"/>',
        '<use href="https://evil.example/x.svg#a"/>',
        '<style>@import url("//evil.example/x.css");</style>',
    ],
)
def test_what_could_act_is_taken_out(inside: str) -> None:
    cleaned = logos.accept(SVG.format(inside).encode()).data.lower()
    for bad in (b"<script", b"onload", b"javascript:", b"foreignobject", b'="https://evil', b"@import", b"url("):
        assert bad not in cleaned


@pytest.mark.case("C6")
@pytest.mark.parametrize(
    "upload",
    [
        b"",
        b"not a picture",
        b"<svg",
        b"<html><script>alert(1)</script></html>",
        b"<?xml version='1.0'?><other/>",
        b'<!DOCTYPE svg [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><svg>&b;</svg>',
        b"<svg>" * 20_000,
        b"%PDF-1.7",
        b"\x00" * 1000,
        SVG.format("x" * (300 * 1024)).encode(),
    ],
    ids=["empty", "words", "cut off", "page", "other xml", "entities", "nesting", "pdf", "zeros", "too large"],
)
def test_what_is_no_logo_is_refused_in_a_sentence(upload: bytes) -> None:
    with pytest.raises(ValueError, match=r"^(This|The) .+\.$"):
        logos.accept(upload)


@pytest.mark.case("C6")
def test_a_picture_of_100_megapixels_is_refused_without_painting_it() -> None:
    header = struct.pack(">IIBBBBB", 10_000, 10_000, 8, 2, 0, 0, 0)
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))  # noqa: E731
    bomb = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )
    with pytest.raises(ValueError, match="four million pixels|picture that can be shown"):
        logos.accept(bomb)


@pytest.mark.case("C6")
def test_a_picture_is_painted_anew() -> None:
    hidden = b"<script>alert(1)</script>"
    logo = logos.accept(_png(1200, 300) + hidden)
    assert logo.content_type == "image/png"
    assert (logo.width, logo.height) == (960, 240)
    assert hidden not in logo.data


def test_a_logo_may_do_nothing_by_itself() -> None:
    assert "sandbox" in logos.HEADERS["Content-Security-Policy"]
    assert "default-src 'none'" in logos.HEADERS["Content-Security-Policy"]
