"""Selects a page's locale, and translates the templates' messages."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from babel.support import NullTranslations, Translations
from flask import Flask, g, request, session
from flask_babel import Babel
from markupsafe import Markup

from portal_site import locations

LANGUAGES = {"en": "English", "fr": "Français"}
# Locales that differ in dates, numbers or spelling. A language without a region is the first one of that language.
LOCALES = ("en", "en-AU", "en-CA", "en-GB", "en-IE", "en-IN", "en-NZ", "en-SG", "fr", "fr-CA")
DEFAULT = "en"


@dataclass(frozen=True)
class LocaleContext:
    """A locale in Babel's notation with its message catalogue."""

    locale: str
    gettext: Callable[[str], str]
    ngettext: Callable[[str, str, int], str]


def init(app: Flask) -> None:
    """Set up Flask-Babel, which Python code uses. Templates use `translate` and `translate_plural` of this module."""
    app.config["BABEL_TRANSLATION_DIRECTORIES"] = str(locations.TRANSLATIONS)
    Babel(app, locale_selector=choose_locale, default_locale=DEFAULT)
    # Flask-Babel looks up the catalogue for each message. With 60 messages, that is a sixth of a page's time.
    app.jinja_env.globals.update(_=translate, gettext=translate, ngettext=translate_plural, languages=LANGUAGES)


def current() -> LocaleContext:
    """The locale of this request, determined once per request."""
    own = g._get_current_object()  # once: a page asks 150 times, and the proxy `g` takes longer than all the rest
    try:
        context: LocaleContext = own.locale_context
    except AttributeError:
        context = own.locale_context = _context(choose_locale())
    return context


def context_for(*tags: str | None) -> LocaleContext:
    """The first of these locales that there is, else English: for texts that are for somebody else than this request's."""
    return _context(next(filter(None, map(match, tags)), DEFAULT))


@lru_cache(maxsize=64)
def _context(locale: str) -> LocaleContext:
    catalogue: NullTranslations | Translations = Translations.load(str(locations.TRANSLATIONS), [locale])
    return LocaleContext(locale, catalogue.ugettext, catalogue.ungettext)


def translate(message: str, **values: object) -> Markup:
    """A template's message in the page's language. The values are escaped."""
    text = Markup(current().gettext(message))  # noqa: S704 - messages are part of the program
    return text % values if values else text


def translate_plural(one: str, many: str, num: int, **values: object) -> Markup:
    """A message that depends on a number, in the page's language. The number is available as `num`."""
    # The messages are part of the program.
    return Markup(current().ngettext(one, many, num)) % {"num": num, **values}  # noqa: S704


def gettext(message: str, **values: object) -> str:
    """A message of Python code in the page's language, as plain text. Unlike Flask-Babel it looks up the catalogue only once."""
    text = current().gettext(message)
    return text % values if values else text


def ngettext(one: str, many: str, num: int, **values: object) -> str:
    """The same for a message that depends on a number."""
    return current().ngettext(one, many, num) % {"num": num, **values}


def choose_locale() -> str:
    """The page's locale in Babel's notation.

    In this order: the locale chosen on the page, the portal session's, the customer's preferred ones, the browser's, English.
    A session that is over, or was not looked at, has its locale too.
    """
    if known := g.get("locale_context"):  # decided for this request, whoever asks
        return str(known.locale)
    visitor = g.get("visitor") or g.get("lost_visitor")
    requested = [session.get("locale")]
    if visitor is not None:
        requested += [visitor.locale, *visitor.preferred_locales]
    for tag in [*requested, *request.accept_languages.values()]:
        locale = match(tag)
        if locale:
            return locale
    return DEFAULT


def match(tag: str | None) -> str | None:
    """The supported locale for a tag such as `fr`, `en_GB` or `fr-BE`, in Babel's notation, or None."""
    if not tag:
        return None
    normal = tag.replace("_", "-").lower()
    for locale in LOCALES:
        if locale.lower() == normal:
            return locale.replace("-", "_")
    language = normal.split("-")[0]
    return language if language in LANGUAGES else None
