"""The merchant's look as a stylesheet and its logo as a file, both named by their content and open to everybody."""

from flask import Flask, Response, abort, g, url_for
from sqlalchemy import bindparam, select

from portal_site.billing.models import BrandAsset
from portal_site.branding import logos, theme
from portal_site.branding.theme import Branding
from portal_site.db.transactions import reading
from portal_site.web import assets

NEUTRAL = Branding()
_ASSET = (
    select(BrandAsset.content_type, BrandAsset.data)
    .where(BrandAsset.id == bindparam("asset_id"))
    .execution_options(unscoped="a logo is for everybody who has its address")
)


def init(app: Flask) -> None:
    """Serve themes and logos; every template has `branding`, the visitor's or a neutral one."""
    app.add_url_rule("/theme/<name>.css", "theme", show_theme)
    app.add_url_rule("/brand/<asset_id>", "brand_asset", show_asset)
    app.context_processor(lambda: {"theme_address": theme_address})


def theme_address() -> str:
    """Where the visitor's stylesheet is. Its name says all that is in it, so nothing need be looked up to make it."""
    visitor = g.get("visitor") or g.get("lost_visitor")
    branding = visitor.branding if visitor is not None else NEUTRAL
    return url_for("theme", name=f"{_slug(branding)}-{theme.name(branding)}")


def _slug(branding: Branding) -> str:
    colours = f"{branding.background.lstrip('#')}-{branding.button.lstrip('#')}"
    return f"{colours}-{branding.font}-{branding.shape}"


def show_theme(name: str) -> Response:
    """The stylesheet of that name, or 404 for one that no branding makes."""
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
    """A logo, under a policy that lets nothing inside it act."""
    with reading() as connection:  # not a Reading: bytes do not travel as JSON
        row = connection.execute(_ASSET, {"asset_id": asset_id}).one_or_none()
    if row is None:
        abort(404)
    response = Response(row.data, content_type=row.content_type)
    response.headers.update(logos.HEADERS)
    response.headers["Cache-Control"] = assets.IMMUTABLE
    return response
