"""Which language a page speaks and which region's dates and amounts it writes."""

from flask import Flask, g, request, session
from flask_babel import Babel

from portal_site import resources

LANGUAGES = {"en": "English", "fr": "Français"}
# Regions whose dates, numbers and spelling differ; the first of a language is what its bare name means.
LOCALES = ("en", "en-AU", "en-CA", "en-GB", "en-IE", "en-IN", "en-NZ", "en-SG", "fr", "fr-CA")
DEFAULT = "en"


def init(app: Flask) -> None:
    """Bind Flask-Babel; the catalogues lie in the package."""
    app.config["BABEL_TRANSLATION_DIRECTORIES"] = str(resources.TRANSLATIONS)
    Babel(app, locale_selector=choose_locale, default_locale=DEFAULT)
    app.jinja_env.globals["languages"] = LANGUAGES


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
