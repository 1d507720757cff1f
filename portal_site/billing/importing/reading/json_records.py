"""Finds the API objects in a JSON text of any size, one by one, with their places in the file.

A text is an object with a list for each type, a list object as the API answers it, a list of objects, or any number of these
and of single objects one after another (JSON lines). Only one object, or one document of up to `SMALL` characters, is in memory.
"""

import json
from codecs import getincrementaldecoder
from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from json.decoder import JSONDecodeError
from typing import Any, BinaryIO

from portal_site.billing.errors import ImportRefused
from portal_site.db.json_columns import JsonObject

CHUNK = 1 << 20
SMALL = 4 << 20  # a document that is not longer is looked at as a whole to tell what it is
LARGEST = 64 << 20  # of an object
NO_OBJECTS = 'The file must hold an object with a list of objects for each type, as {"customer": […]}.'
_SPACE = " \t\n\r"
_OF_A_LIST = ("object", "url", "has_more", "total_count", "next_page", "count")


@dataclass(frozen=True, slots=True)
class Found:
    """An object with its place in the file, in bytes. `group` is the name that its list has in the file, if it has one."""

    group: str | None
    document: Any
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Page:
    """A list without its objects: what it lists, and whether it goes on behind the last object that is here."""

    group: str | None
    url: str | None
    has_more: bool
    last_id: str | None


def members(pairs: list[tuple[str, Any]]) -> JsonObject:
    """An object's members. Raises ImportRefused for a duplicate name; json.loads would silently keep the last value."""
    found = dict(pairs)
    if len(found) < len(pairs):
        name = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise ImportRefused(f"{found.get('id', 'The file')} has the member “{name}” more than once.")
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=members)


class _Text:
    """A window on the file's text that moves on. `at` is the position in the window; `began` is where the last value began."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._decoder, self._ended = file, getincrementaldecoder("utf-8")(), False
        self.text, self.at, self.began = "", 0, 0
        # The position in the window whose place in bytes is known, so that each character is counted only once.
        self._mark, self._place = 0, 3 if file.read(3) == b"\xef\xbb\xbf" else file.seek(0)

    def _more(self) -> bool:
        """Read another chunk, and forget what lies before `at`; False at the end."""
        if self._ended:
            return False
        self._advance()
        chunk = self._file.read(max(CHUNK, len(self.text)))
        self._ended = not chunk
        self.text = self.text[self.at :] + self._decoder.decode(chunk, final=not chunk)
        self.at = self._mark = 0
        return not self._ended

    def _advance(self) -> int:
        """The place of `at` in bytes."""
        self._place += _size(self.text[self._mark : self.at])
        self._mark = self.at
        return self._place

    def skip(self) -> str:
        """Move to the next character that is no white space, and return it; empty at the end."""
        while True:
            while self.at < len(self.text) and self.text[self.at] in _SPACE:
                self.at += 1
            if self.at < len(self.text):
                return self.text[self.at]
            if not self._more():
                return ""

    def expect(self, characters: str) -> str:
        """Move past the next character, which must be one of these."""
        found = self.skip()
        if not found or found not in characters:
            raise JSONDecodeError(f"Expecting {' or '.join(characters)}", self.text, self.at)
        self.at += 1
        return found

    def value(self, most: int = LARGEST) -> tuple[Any, int, int]:
        """The next value, with its place and length in bytes, moving past it. Raises _TooLong if it has more characters."""
        self.skip()
        while True:
            try:
                value, end = _DECODER.raw_decode(self.text, self.at)
                if end < len(self.text) or not self._more():  # a number may go on in the next chunk
                    place, size = self._advance(), _size(self.text[self.at : end])
                    self.began, self.at = self.at, end
                    return value, place, size
            except JSONDecodeError as error:
                if len(self.text) - self.at > most:
                    raise _TooLong(error.msg, error.doc, error.pos) from None
                if not self._more():
                    raise

    def repeat(self) -> None:
        """Move back to where the last value began."""
        self.at = self.began


class _TooLong(JSONDecodeError):
    """A value has more characters than are looked at."""


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def read(file: BinaryIO) -> Iterator[Found | Page]:
    """The objects and the lists of a file. Raises ImportRefused if it is not JSON, or nothing that holds objects."""
    text = _Text(file)
    try:
        found_any = False
        while text.skip():
            found_any = True
            yield from _document(text)
        if not found_any:
            raise JSONDecodeError("Expecting value", text.text, 0)
    except (ValueError, RecursionError) as error:
        reason = (str(error).splitlines() or [""])[0][:120]
        raise ImportRefused(f"The file is not JSON: {type(error).__name__}, {reason}.") from None


def _document(text: _Text) -> Iterator[Found | Page]:
    first = text.skip()
    try:
        document, place, size = text.value(SMALL)
    except _TooLong:
        yield from _container(text, first)
        return
    if isinstance(document, dict) and _is_object(document):
        yield Found(None, document, place, size)
    elif document or isinstance(document, str | int):
        text.repeat()
        yield from _container(text, first)
    elif document != {}:
        raise ImportRefused(NO_OBJECTS)


def _is_object(document: JsonObject) -> bool:
    """Whether a document is one object of the API, and not lists of them."""
    named = isinstance(document.get("object"), str) or isinstance(document.get("id"), str)
    return named and not isinstance(document.get("data"), list)


def _container(text: _Text, first: str) -> Iterator[Found | Page]:
    """The objects of a document without looking at it as a whole: lists by type, or one list."""
    if first == "[":
        yield from _elements(text, None)
    elif first == "{":
        yield from _members_of(text)
    else:
        raise ImportRefused(NO_OBJECTS)


def _members_of(text: _Text) -> Iterator[Found | Page]:
    """The lists of an object by type; or, if it is itself a list object, its elements."""
    page: JsonObject = {}
    seen: set[str] = set()
    for name in _names(text):
        if name in seen:
            raise ImportRefused(f"The file has the member “{name}” more than once.")
        seen.add(name)
        opening = text.skip()
        if opening == "[":
            last = yield from _elements(text, None if name == "data" else name)
            page["last_id"] = last
        elif opening == "{":
            yield from _list_object(text, name)
        else:
            page[name] = text.value()[0]
            _check_text(page[name])
            if name not in _OF_A_LIST:
                raise ImportRefused(f"“{name}” is not a list of objects.")
    if "data" in seen:
        yield Page(None, page.get("url"), bool(page.get("has_more")), page.get("last_id"))


def _list_object(text: _Text, group: str) -> Iterator[Found | Page]:
    """The elements of a list object below a type's name."""
    page: JsonObject = {}
    for name in _names(text):
        if name == "data" and text.skip() == "[":
            page["last_id"] = yield from _elements(text, group)
        else:
            page[name] = text.value()[0]
    if "last_id" not in page:
        raise ImportRefused(f"“{group}” is not a list of objects.")
    yield Page(group, page.get("url"), bool(page.get("has_more")), page["last_id"])


def _names(text: _Text) -> Iterator[str]:
    """The names of an object's members; the caller moves past each value."""
    text.expect("{")
    if text.skip() == "}":
        text.at += 1
        return
    while True:
        name = text.value()[0]
        if not isinstance(name, str):
            raise JSONDecodeError("Expecting property name", text.text, text.at)
        text.expect(":")
        yield name
        if text.expect(",}") == "}":
            return


def _elements(text: _Text, group: str | None) -> Generator[Found, None, str | None]:
    """The elements of a list. The value of this generator is the id of the last one, as far as it has one."""
    last = None
    text.expect("[")
    if text.skip() == "]":
        text.at += 1
        return last
    while True:
        document, offset, length = text.value()
        yield Found(group, document, offset, length)
        last = document.get("id") if isinstance(document, dict) else None
        if text.expect(",]") == "]":
            return last


def _check_text(value: object) -> None:
    """Raise UnicodeEncodeError for half a character, which JSON can escape and no text can hold."""
    if isinstance(value, str):
        value.encode()
