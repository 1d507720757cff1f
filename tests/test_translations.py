"""Every message is translated into every language with its placeholders, and the compiled catalogues are current."""

import re
import unicodedata
from io import BytesIO
from pathlib import Path

import pytest
from babel.messages.catalog import Message
from babel.messages.mofile import write_mo

from portal_site import locations
from portal_site.translations import update
from portal_site.web.rendering.i18n import LANGUAGES

PLACE = re.compile(r"%\(\w+\)[sd]")
# Not among them: what Canadian banks call their debits.
TWO_SPELLINGS = re.compile(
    r"cancell?(?:ed|ing)|(?:col|fav|hon|behavi|lab)ou?r(?!at)|licen[cs]e|cheque|cent(?:re|er)\b|catalogu?e|enrol|fulfil"
    r"|(?<!Pre-)(?:author|organ|recogn|real|minim|maxim|custom)i[sz]|travell?(?:ed|er)|e-mail|\bgr[ae]y",
    re.IGNORECASE,
)
each_catalogue = pytest.mark.parametrize("path", list(update.catalogues()), ids=lambda path: path.parent.parent.name)


def _both(message: Message) -> list[tuple[str, str]]:
    sources = message.id if isinstance(message.id, tuple) else (message.id,)
    targets = message.string if isinstance(message.string, tuple) else (message.string,)
    return list(zip((*sources, *sources[-1:] * len(targets)), targets, strict=False))


def test_each_language_has_its_catalogue() -> None:
    assert {path.parent.parent.name for path in update.catalogues()} == set(LANGUAGES) - {"en"}


@each_catalogue
def test_every_sentence_is_translated_and_none_is_obsolete(path: Path) -> None:
    wanted = {(message.id, message.context) for message in update.extracted() if message.id}
    catalogue = update.read(path)
    there = {(m.id, m.context) for m in catalogue if m.id and all(text for _, text in _both(m)) and not m.fuzzy}
    assert sorted(map(str, wanted - there)) == [], "run python -m portal_site.translations.update, then translate these"
    assert sorted(map(str, there - wanted)) == []


def test_no_english_sentence_is_spelled_in_one_country_only() -> None:
    """One English catalogue serves them all, so its sentences do without words that Britain and America spell in two ways."""
    extracted = (message.id for message in update.extracted() if message.id)
    sentences = [text for each in extracted for text in (each if isinstance(each, tuple) else (each,))]
    assert len(sentences) > 500
    assert [text for text in sentences if TWO_SPELLINGS.search(text)] == []


@each_catalogue
def test_the_places_for_names_and_amounts_are_kept(path: Path) -> None:
    broken = [
        (source, target)
        for message in update.read(path)
        for source, target in _both(message)
        if message.id and sorted(PLACE.findall(source)) != sorted(PLACE.findall(target))
    ]
    assert broken == []


@each_catalogue
def test_compiled_catalogues_are_up_to_date(path: Path) -> None:
    buffer = BytesIO()
    write_mo(buffer, update.read(path))
    assert buffer.getvalue() == path.with_suffix(".mo").read_bytes()


def test_templates_have_no_untranslated_text() -> None:
    """Words between tags stand in a call of `_`; the sandbox's and the demo's pages are for developers."""
    silent = []
    for path in locations.TEMPLATES.rglob("*.html"):
        if path.relative_to(locations.TEMPLATES).parts[0] in update.ENGLISH_ONLY:
            continue
        plain = re.sub(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}", "", path.read_text(), flags=re.DOTALL)
        words = re.sub(r"<[^>]*>", " ", plain)
        silent += [(path.name, word) for word in re.findall(r"[^\W\d_]{3,}", words) if word != "data"]
    assert silent == []


def test_french_punctuation_does_not_wrap() -> None:
    """A no-break space stands before ; : ! ? and » and after «, and apostrophes are typographic."""
    french = update.read(next(path for path in update.catalogues() if path.parent.parent.name == "fr"))
    wrong = [
        target
        for message in french
        for _, target in _both(message)
        if message.id and re.search(r"[^\u00a0\d][;:!?»]|«[^\u00a0]|'", re.sub(r"https?://", "", target))
    ]
    assert wrong == []


@pytest.mark.parametrize("path", update.catalogues(), ids=lambda path: path.parent.parent.name)
def test_no_sentence_has_a_character_that_nobody_sees(path: Path) -> None:
    odd = [
        target
        for message in update.read(path)
        for _, target in _both(message)
        if message.id and any(unicodedata.category(c) in ("Cc", "Cf", "Co", "Cn") for c in target)
    ]
    assert odd == []
