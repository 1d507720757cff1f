"""Which language a page speaks and which region's dates and amounts it writes."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from babel.support import NullTranslations, Translations
from flask import Flask, g, request, session
from flask_babel import Babel
from markupsafe import Markup

from portal_site import locations

LANGUAGES = {"en": "English", "fr": "Français"}
# Regions whose dates, numbers and spelling differ; the first of a language is what its bare name means.
LOCALES = ("en", "en-AU", "en-CA", "en-GB", "en-IE", "en-IN", "en-NZ", "en-SG", "fr", "fr-CA")
DEFAULT = "en"


@dataclass(frozen=True)
class LocaleContext:
    """One locale, as Babel writes it, with its catalogue."""

    locale: str
    gettext: Callable[[str], str]
    ngettext: Callable[[str, str, int], str]


def init(app: Flask) -> None:
    """Bind Flask-Babel, which code speaks through; templates speak through the functions below."""
    app.config["BABEL_TRANSLATION_DIRECTORIES"] = str(locations.TRANSLATIONS)
    Babel(app, locale_selector=choose_locale, default_locale=DEFAULT)
    # Flask-Babel looks the catalogue up for each sentence anew: sixty times a page, a sixth of the page's time.
    app.jinja_env.globals.update(_=translate, gettext=translate, ngettext=translate_plural, languages=LANGUAGES)


def current() -> LocaleContext:
    """The locale of this request, found once."""
    speech: LocaleContext | None = g.get("speech")
    if speech is None:
        speech = g.speech = _context(choose_locale())
    return speech


@lru_cache(maxsize=64)
def _context(locale: str) -> LocaleContext:
    found: NullTranslations | Translations = Translations.load(str(locations.TRANSLATIONS), [locale])
    return LocaleContext(locale, found.ugettext, found.ungettext)


def translate(message: str, **values: object) -> Markup:
    """A sentence of a template in the page's language; what is put into it is escaped."""
    text = Markup(current().gettext(message))  # noqa: S704 - our own words
    return text % values if values else text


def translate_plural(one: str, many: str, num: int, **values: object) -> Markup:
    """The same for a sentence that depends on a number, which it may name as `num`."""
    return Markup(current().ngettext(one, many, num)) % {"num": num, **values}  # noqa: S704 - our own words


def gettext(message: str, **values: object) -> str:
    """A sentence of code in the page's language, as plain text: Flask-Babel's, but for finding the catalogue only once."""
    text = current().gettext(message)
    return text % values if values else text


def ngettext(one: str, many: str, num: int, **values: object) -> str:
    """The same for a sentence that depends on a number."""
    return current().ngettext(one, many, num) % {"num": num, **values}


def choose_locale() -> str:
    """What the customer chose here, else the session's, else what the customer prefers, else the browser's; else English."""
    visitor = g.get("visitor")
    wishes = [session.get("locale")]
    if visitor is not None:
        wishes += [visitor.locale, *visitor.preferred_locales]
    for wish in [*wishes, *request.accept_languages.values()]:
        locale = match(wish)
        if locale:
            return locale
    return DEFAULT


def match(wish: str | None) -> str | None:
    """The locale that fits a wish such as `fr`, `en_GB` or `fr-BE`, as Babel writes it, or None."""
    if not wish:
        return None
    wanted = wish.replace("_", "-").lower()
    for locale in LOCALES:
        if locale.lower() == wanted:
            return locale.replace("-", "_")
    language = wanted.split("-")[0]
    return language if language in LANGUAGES else None
