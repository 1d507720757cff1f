"""A merchant's own words in e-mails, in the place of the program's: what they may be, and how they are filled in.

They are plain text with names in braces, such as {amount}. Nothing else in them means anything: a value that is filled in is not
looked at again, and the templates escape it all.
"""

import re
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import replace
from string import Template
from typing import Any

from portal_site.mail.messages import LONGEST_NAME, Message, one_line

SUBJECT, INTRODUCTION, BUTTON = "subject", "introduction", "button"
LONGEST: Mapping[str, int] = {SUBJECT: 100, INTRODUCTION: 2000, BUTTON: 40}
_PARAGRAPHS = re.compile(r"\n\s*\n")
_BLANKS = re.compile(r"[ \n]+")  # not those at which no line may end, as in amounts


class _Words(Template):
    """Text with names in braces. Any other brace is a mistake, so that none is sent to customers."""

    flags = re.ASCII
    pattern = r"""
        \{(?P<named>[a-z]+(?:_[a-z]+)*)\} | (?P<invalid>[{}]) | (?P<escaped>(?!)) | (?P<braced>(?!))
    """  # type: ignore[assignment] # compiled by the base class


def tidy(typed: str | None) -> str:
    """What was typed, in NFC, without blanks around it and without what cannot be shown; lines end with line feeds."""
    lines = (typed or "").replace("\r\n", "\n").replace("\r", "\n").replace("\t", " ")
    return unicodedata.normalize("NFC", "".join(c for c in lines if not _is_hidden(c))).strip()


def _is_hidden(character: str) -> bool:
    return character != "\n" and unicodedata.category(character) in ("Cc", "Cs", "Co", "Cn")


def refusal(field: str, text: str, names: Collection[str]) -> str:
    """Why words cannot stand in a field of an e-mail that has these names; empty if they can."""
    if len(text) > LONGEST[field]:
        return f"Use at most {LONGEST[field]} characters."
    if field != INTRODUCTION and len(text.splitlines()) > 1:
        return "Write one line only."
    if any(map(_is_hidden, text)):
        return "There is a character in it that cannot be shown."
    words = _Words(text)
    if not words.is_valid():
        return "A brace must belong to a name, such as {business_name}."
    unknown = [name for name in words.get_identifiers() if name not in names]
    if unknown:
        there_are = ", ".join(f"{{{name}}}" for name in names)
        return f"This email has no {{{unknown[0]}}}. It has {there_are}."
    return ""


def filled(text: str, values: Mapping[str, str]) -> str | None:
    """The text with its values, each on one line; None if it cannot be filled in, such as one of another version."""
    try:
        return _Words(text).substitute({name: one_line(value)[:LONGEST_NAME] for name, value in values.items()})
    except (KeyError, ValueError):
        return None


def of(document: Mapping[str, Any] | None, kind: str, language: str) -> Mapping[str, str]:
    """The own words for a kind of e-mail in a language by field, from `Account.email_texts`."""
    found: Mapping[str, str] = ((document or {}).get(kind) or {}).get(language) or {}
    return found


def put_in(message: Message, words: Mapping[str, str], values: Mapping[str, str]) -> Message:
    """The message with a merchant's own words. Where there are none, and where they cannot be filled in, its own ones stay.

    They stand in the place of the subject, the opening and the words of the button. What a customer has to be told is in the
    other parts, and stays.
    """
    own = {name: text for name in LONGEST if name in words and (text := filled(words[name], values))}
    if SUBJECT in own:
        message = replace(message, subject=own[SUBJECT])
    if INTRODUCTION in own:
        opening = (_BLANKS.sub(" ", part).strip() for part in _PARAGRAPHS.split(own[INTRODUCTION]))
        message = replace(message, opening=tuple(filter(None, opening)))
    if BUTTON in own and message.button is not None:
        message = replace(message, button=replace(message.button, words=own[BUTTON]))
    return message
