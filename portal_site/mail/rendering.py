"""A message as text and as HTML, in the account's colours and the reader's language."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import css_inline
from flask import current_app, g

from portal_site.branding import palette
from portal_site.branding.theme import FONTS, Branding
from portal_site.mail.messages import Message
from portal_site.web.rendering import filters, i18n


class HasLanguage(Protocol):
    """Somebody with a language and a time zone."""

    @property
    def locale(self) -> str | None: ...
    @property
    def timezone(self) -> str: ...
    @property
    def customer_timezone(self) -> str | None: ...
    @property
    def preferred_locales(self) -> tuple[str, ...]: ...


@dataclass(frozen=True)
class Reader:
    """Whom a message is for: language and time zone, as pages have them of the visitor."""

    locale: str | None
    timezone: str
    customer_timezone: str | None = None
    preferred_locales: tuple[str, ...] = ()


@dataclass(frozen=True)
class Content:
    """A finished message. `unsubscribe` is the URL where its kind can be stopped, if it can."""

    subject: str
    text: str
    html: str
    unsubscribe: str = ""


@contextmanager
def in_language_of(reader: HasLanguage) -> Iterator[None]:
    """Within the block, sentences, amounts and dates are in the reader's language and time zone, whoever's request this is."""
    before = {name: g.get(name) for name in ("visitor", "locale_context")}
    g.visitor, g.locale_context = reader, i18n.context_for(reader.locale, *reader.preferred_locales)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                g.pop(name, None)
            else:
                setattr(g, name, value)


def language() -> str:
    """The language that sentences are in, such as `en`, whatever the region. Call it inside `in_language_of`."""
    return i18n.current().locale.partition("_")[0]


def render(message: Message, business: str, branding: Branding) -> Content:
    """The message as text and HTML. Call it inside `in_language_of`."""
    given: dict[str, Any] = {"message": message, "business": business, **_colours(branding)}
    # Without the variables that pages get: a message is for somebody else than the request's visitor.
    html = _inliner().inline(current_app.jinja_env.get_template("mail/message.html").render(given))
    return Content(message.subject, as_text(message, business), html, message.unsubscribe)


def as_text(message: Message, business: str) -> str:
    """The same as text, with everything that the HTML has."""
    rows = "\n".join(filters.labelled(label, value) for label, value in message.rows)
    buttons = [message.button] if message.button else []
    links = [f"{filters.labelled(link.words, '')}\n{link.address}" for link in (*buttons, *message.links)]
    above = [business, message.heading, *message.opening, *message.paragraphs, message.code, rows]
    parts = [*above, *links[: len(buttons)], *message.notes, *links[len(buttons) :]]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


@lru_cache(maxsize=1)
def _inliner() -> css_inline.CSSInliner:
    # What depends on the mail program's dark mode cannot be inline, and stays in the head.
    return css_inline.CSSInliner(keep_style_tags=False, keep_at_rules=True, load_remote_stylesheets=False)


@lru_cache(maxsize=512)
def _colours(branding: Branding) -> dict[str, Any]:
    light, dark = (palette.tokens(branding.background, branding.button, dark=is_dark) for is_dark in (False, True))
    return {"light": light, "dark": dark, "font": FONTS[branding.font].replace('"', "'")}
