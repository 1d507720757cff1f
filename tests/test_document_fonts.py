"""Fonts of documents: what is shipped, what the system has besides, and what `portal check` says is missing."""

import io
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fontTools.ttLib import TTFont
from PIL import Image

from portal_site.branding import logos
from portal_site.cli import checks
from portal_site.documents import fonts, text, typesetting, typst_runs
from portal_site.documents.typst_runs import Refused
from tests import pdf

ALPHABETS = {
    "Latin": "ÀßŁżőğĐ", "Vietnamese": "ệữằ", "Greek": "αΩῷ", "Cyrillic": "ЖыҐћ", "Arabic": "شٹپ", "Hebrew": "אש", "Thai": "กึ้",
    "Devanagari": "कर्त्", "money": "€£¥₹₽₺₩₫₴", "signs": "×−•…–—“”«»№™→✓",
}  # fmt: skip


@pytest.mark.parametrize("writing", ALPHABETS)
def test_fonts_are_shipped_for(writing: str) -> None:
    assert {sign for sign in ALPHABETS[writing] if ord(sign) not in fonts.characters()} == set()


def test_each_font_is_small_free_and_found_under_its_name() -> None:
    files = sorted(fonts.FOLDER.glob("*.ttf"))
    for path in files:
        assert path.stat().st_size < 1_000_000
        with TTFont(path, lazy=True) as font:
            licence = " ".join(name.toUnicode() for name in font["name"].names if name.nameID == 13)
        assert "SIL Open Font License" in licence
    assert set(fonts.shipped().families()) == {fonts.SERIF, fonts.SANS, *fonts.SCRIPTS}
    assert "SIL OPEN FONT LICENSE Version 1.1" in (fonts.FOLDER / "OFL.txt").read_text()


def test_what_the_system_has_is_used_and_what_nobody_has_is_not() -> None:
    georgian = {ord(sign) for sign in "საქართველო"}
    families, known = fonts.of_system(georgian, None)
    assert bool(families) == bool(known & georgian)
    assert len(families) <= fonts.MOST_EXTRA
    assert fonts.of_system({0x10FFFF}, "JP") == ((), frozenset())


def test_a_font_that_cannot_be_read_has_no_characters(tmp_path: Path) -> None:
    broken = tmp_path / "broken.ttf"
    broken.write_bytes(b"\0\1\0\0nothing")
    assert fonts._characters(str(broken), 0) == frozenset()
    assert fonts._characters(str(tmp_path / "none.ttf"), 0) == frozenset()


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        (["Chinese", "Korean"], "documents: no font for Chinese, Korean: such names are printed as “?”"),
        ([], "documents: fonts for all writings"),
    ],
)
def test_the_check_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], missing: list[str], said: str
) -> None:
    monkeypatch.setattr(fonts, "missing_writings", lambda: missing)
    checks._check_fonts()
    assert capsys.readouterr().out.startswith(said)


@pytest.mark.parametrize(
    ("typed", "printed"),
    [
        ("  a\x00\x1b[31mb\r\nc ", "a [31mb\nc"), ("\u202eevil\u2066\u200f", "evil"), ("e\u0301", "é"), ("\ud83d", "\ufffd"),
        ("\ud83d\ude80", "🚀"), ("क्\u200dष", "क्\u200dष"), ("❤\ufe0f", "❤"), ("a\u00adb\ufeff", "ab"), ("x" * 6000, "x" * 5000),
    ],
)  # fmt: skip
def test_what_has_no_shape_is_left_out(typed: str, printed: str) -> None:
    assert text.plain(typed).replace("  ", " ") == printed


def test_marks_that_are_missing_are_left_out_and_letters_are_said() -> None:
    assert text.printable("a\u0f18字", {ord("a")}) == ("a?", {"字"})


CONTENT = {
    "title": "Invoice 1", "seller": "Acme", "brand": "Acme", "date": [2026, 11, 26], "language": "en", "region": "US",
    "paper": "a4", "accent": "#7c5cff", "plate": "#12131f", "mark": "", "foot": "Acme · Invoice 1",
    "page": "Page {page} of {pages}",
    "parties": [{"label": "From", "lines": ["Acme"]}, {"label": "To", "lines": ["Hedda", "שלום"]}],
    "columns": ["Description", "Quantity", "Unit price", "Amount"], "amount": "€1.00", "state": "Not paid yet", "settled": False,
    "facts": [{"label": "Date", "value": "26 November 2026"}], "before": [], "after": [], "footer": "",
    "lines": [{"title": "Team", "detail": "", "quantity": "1", "unit": "€1.00", "amount": "€1.00"}],
    "sums": [{"label": "Total", "note": "", "amount": "€1.00", "total": True}],
}  # fmt: skip
SCRIPT = """
import hashlib
from portal_site.documents import typesetting
from tests.test_document_fonts import CONTENT
made = typesetting.render(CONTENT, None, serif=True, country=None, regret="?")
print(hashlib.sha256(made.data).hexdigest())
"""


def test_the_same_content_is_the_same_file_in_every_process() -> None:
    runs = [
        subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=60).stdout
        for _ in range(2)
    ]
    assert runs[0] == runs[1] != ""


def test_what_the_typesetter_refuses_is_printed_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    logo = typesetting.Picture(typesetting.SVG, b"<svg", 10, 10)
    monkeypatch.setattr(fonts, "characters", lambda: frozenset(range(0x110000)))  # a font that promises too much
    made = typesetting.render({**CONTENT, "brand": "字"}, logo, serif=False, country=None, regret="Not all.")
    words = pdf.text(made.data)
    assert "Hedda" in words
    assert "Not all." in words
    assert not made.is_whole


def test_a_logo_that_is_refused_takes_nothing_else_with_it() -> None:
    logo = typesetting.Picture(typesetting.SVG, b"<svg", 10, 10)
    made = typesetting.render(CONTENT, logo, serif=False, country=None, regret="Not all.")
    assert "Not all." not in pdf.text(made.data)
    assert set("שלום") <= set(pdf.letters(made.data))
    assert (made.missing, made.is_whole) == (frozenset(), False)


def test_a_large_document_is_the_same_from_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    here = typesetting.render(CONTENT, None, serif=False, country=None, regret="").data
    monkeypatch.setattr(typst_runs, "LARGE", 0)
    monkeypatch.setattr(typst_runs, "compile_here", None)
    assert typesetting.render(CONTENT, None, serif=False, country=None, regret="").data == here


def test_a_large_document_that_takes_too_long_or_fails_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"main": b"#panic(1)"}
    with pytest.raises(Refused, match="panicked"):
        typst_runs.compile_apart(files, fonts.FOLDER, [], system=False)
    monkeypatch.setattr(typst_runs, "SECONDS", 0.01)
    with pytest.raises(Refused, match="longer"):
        typst_runs.compile_apart(files, fonts.FOLDER, [], system=False)


def test_a_panic_of_the_typesetter_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    panic = type("PanicException", (BaseException,), {"__module__": typst_runs.PANIC})

    def fails(*_args: object, **_options: object) -> None:
        raise panic("at the disco")

    monkeypatch.setattr(typst_runs.typst, "compile", fails)
    with pytest.raises(Refused, match="disco"):
        typst_runs.compile_here({}, fonts.shipped(), [])


def _png(width: int, height: int) -> typesetting.Picture:
    """A picture of noise, half of it transparent, as an upload leaves it."""
    dice, buffer = random.Random(1), io.BytesIO()
    Image.frombytes("RGBA", (width, height), dice.randbytes(width * height * 4)).save(buffer, "PNG")
    logo = logos.accept(buffer.getvalue()) if buffer.tell() < logos.MOST_BYTES else None
    data, size = (logo.data, (logo.width, logo.height)) if logo else (buffer.getvalue(), (width, height))
    return typesetting.Picture("image/png", data, *size)


@pytest.mark.parametrize(("width", "height"), [(1, 400), (4000, 10), (1, 1), (960, 480)])
def test_a_picture_is_printed_no_larger_than_one_can_see(width: int, height: int) -> None:
    logo = _png(width, height)
    made = typesetting.render(CONTENT, logo, serif=False, country=None, regret="Not all.")
    assert made.is_whole
    shown = pdf.pixels(made.data)
    assert shown
    assert all(across <= typesetting.SHARP[0] and down <= typesetting.SHARP[1] for across, down in shown)


def test_documents_are_printed_side_by_side() -> None:
    def printed(number: int) -> bytes:
        content = {**CONTENT, "title": f"Invoice {number}"}
        return typesetting.render(content, None, serif=False, country=None, regret="").data

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(printed, [1, 2, 3, 4] * 5))
    assert [pdf.claims(data)["title"] for data in found[:4]] == [f"Invoice {number}" for number in (1, 2, 3, 4)]
    assert found == found[:4] * 5


@pytest.mark.parametrize(("size", "printed"), [((184, 40), [46, 10]), ((1, 400), [0.1, 10]), ((4000, 100), [50, 1.25])])
def test_a_logo_fits_into_its_place(size: tuple[int, int], printed: list[float]) -> None:
    assert typesetting.Picture(typesetting.SVG, b"", *size).size == printed
