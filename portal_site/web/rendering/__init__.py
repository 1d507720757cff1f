"""What templates use: languages, formats, themes, components and assets."""

from flask import Flask


def init(app: Flask) -> None:
    """Set up all but the components, which need the globals that other parts add."""
    from portal_site.web.rendering import assets, filters, i18n, themes

    for part in (i18n, filters, assets, themes):
        part.init(app)
