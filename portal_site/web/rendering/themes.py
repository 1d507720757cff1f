"""Serves the merchant's stylesheet and logo. Both are public, and named by their content so that they can be cached."""

import re
from functools import lru_cache
from html import escape
from typing import Any
from urllib.parse import quote

from flask import Flask, Response, abort, g, url_for
from sqlalchemy import bindparam, select

from portal_site.billing.models import BrandAsset
from portal_site.branding import logos, palette, theme
from portal_site.branding.theme import Branding
from portal_site.db.transactions import reading
from portal_site.web.rendering import assets

NEUTRAL = Branding()
BOTH, LIGHT, DARK = "", "light", "dark"  # pages follow the reader's system, but previews can show either
_IF_DARK = re.compile(rb"\(prefers-color-scheme: ?dark\)")
_ASSET = (
    select(BrandAsset.content_type, BrandAsset.data)
    .where(BrandAsset.id == bindparam("asset_id"))
    .execution_options(unscoped="a logo is for everybody who has its address")
)


def init(app: Flask) -> None:
    """Register the routes of themes and logos, and add `theme_address` to every template."""
    app.add_url_rule("/theme/<name>.css", "theme", show_theme)
    app.add_url_rule("/brand/<asset_id>", "brand_asset", show_asset)
    app.context_processor(
        lambda: {"theme_address": theme_address, "theme_colours": theme_colours, "favicon": favicon, "owner": owner()}
    )


def owner() -> Any:
    """Whose page this is, where that is known: of the visitor, or of one whose session is over."""
    return g.get("visitor") or g.get("lost_visitor")


def theme_colours() -> tuple[str, str]:
    """The panel's colour in light and dark mode, for the browser's toolbar on phones."""
    return palette.panels(_branding().background)


def favicon() -> str:
    """The merchant's icon, else the first letter of its name on its colour, which needs no request."""
    visitor = owner()
    if visitor is None:
        return "data:,"
    if visitor.icon_id:
        return url_for("brand_asset", asset_id=visitor.icon_id)
    return _initial(visitor.business_name.strip()[:1].upper(), visitor.branding)


@lru_cache(maxsize=512)
def _initial(letter: str, branding: Branding) -> str:
    tokens = palette.tokens(branding.background, branding.button, dark=False)
    box = f"<rect width='32' height='32' rx='7' fill='{tokens['panel']}'/>"
    text = f"<text x='16' y='23' text-anchor='middle' font-family='sans-serif' font-size='20' fill='{tokens['panel-text']}'>"
    drawing = f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'>{box}{text}{escape(letter)}</text></svg>"
    return f"data:image/svg+xml,{quote(drawing, safe=' =/:')}"


def _branding() -> Branding:
    visitor = owner()
    return visitor.branding if visitor is not None else NEUTRAL


def theme_address() -> str:
    """The URL of the stylesheet for the visitor's branding.

    The file's name contains all of the branding, so the stylesheet can be generated without a database query.
    """
    return url_for("theme", name=_name(_branding(), g.get("scheme", BOTH)))


@lru_cache(maxsize=128)
def _stylesheet(branding: Branding, scheme: str) -> assets.Asset:
    """The styles of all pages with the theme. In two files they would need a second connection, which phones wait for."""
    styles = assets.styles() + theme.stylesheet(branding).encode()
    if scheme != BOTH:  # a condition that is always true, or never
        styles = _IF_DARK.sub(b"(min-width:0)" if scheme == DARK else b"(max-width:0)", styles)
        styles = styles.replace(b"color-scheme:light dark", f"color-scheme:{scheme}".encode())
    return assets.Asset.of("theme.css", styles)


def _name(branding: Branding, scheme: str) -> str:
    """The branding, the scheme if it is fixed, and the hash of the file."""
    return "-".join(filter(None, (_slug(branding), scheme, _stylesheet(branding, scheme).fingerprint)))


def _slug(branding: Branding) -> str:
    colours = f"{branding.background.lstrip('#')}-{branding.button.lstrip('#')}"
    return f"{colours}-{branding.font}-{branding.shape}"


def show_theme(name: str) -> Response:
    """The stylesheet for the branding in its name, or 404 for an invalid name."""
    parts = name.split("-")
    scheme = parts.pop(4) if len(parts) == 6 else BOTH
    if len(parts) != 5 or scheme not in (BOTH, LIGHT, DARK):
        abort(404)
    try:
        branding = theme.parse(background=f"#{parts[0]}", button=f"#{parts[1]}", font=parts[2], shape=parts[3])
    except ValueError:
        abort(404)
    if _name(branding, scheme) != name:
        abort(404)
    return assets.send(_stylesheet(branding, scheme))


def show_asset(asset_id: str) -> Response:
    """A logo or icon, with a content security policy that disables all active content in it."""
    with reading() as connection:  # no PageQuery, because JSON has no binary type
        row = connection.execute(_ASSET, {"asset_id": asset_id}).one_or_none()
    if row is None:
        abort(404)
    response = Response(row.data, content_type=row.content_type)
    response.headers.update(logos.HEADERS)
    response.headers["Cache-Control"] = assets.IMMUTABLE
    return response
