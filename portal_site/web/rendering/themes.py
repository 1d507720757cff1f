"""Serves the merchant's stylesheet and logo. Both are public, and named by their content so that they can be cached."""

from flask import Flask, Response, abort, g, url_for
from sqlalchemy import bindparam, select

from portal_site.billing.models import BrandAsset
from portal_site.branding import logos, theme
from portal_site.branding.theme import Branding
from portal_site.db.transactions import reading
from portal_site.web.rendering import assets

NEUTRAL = Branding()
_ASSET = (
    select(BrandAsset.content_type, BrandAsset.data)
    .where(BrandAsset.id == bindparam("asset_id"))
    .execution_options(unscoped="a logo is for everybody who has its address")
)


def init(app: Flask) -> None:
    """Register the routes of themes and logos, and add `theme_address` to every template."""
    app.add_url_rule("/theme/<name>.css", "theme", show_theme)
    app.add_url_rule("/brand/<asset_id>", "brand_asset", show_asset)
    app.context_processor(lambda: {"theme_address": theme_address})


def theme_address() -> str:
    """The URL of the stylesheet for the visitor's branding.

    The file's name contains all of the branding, so the stylesheet can be generated without a database query.
    """
    visitor = g.get("visitor") or g.get("lost_visitor")
    branding = visitor.branding if visitor is not None else NEUTRAL
    return url_for("theme", name=f"{_slug(branding)}-{theme.name(branding)}")


def _slug(branding: Branding) -> str:
    colours = f"{branding.background.lstrip('#')}-{branding.button.lstrip('#')}"
    return f"{colours}-{branding.font}-{branding.shape}"


def show_theme(name: str) -> Response:
    """The stylesheet for the branding in its name, or 404 for an invalid name."""
    parts = name.split("-")
    if len(parts) != 5:
        abort(404)
    try:
        branding = theme.parse(background=f"#{parts[0]}", button=f"#{parts[1]}", font=parts[2], shape=parts[3])
    except ValueError:
        abort(404)
    if theme.name(branding) != parts[4]:
        abort(404)
    return assets.send(assets.Asset.of("theme.css", theme.stylesheet(branding).encode()))


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
