"""Bundled stylesheets and scripts. They are compressed, named by their content's hash, and cached for a year."""

import gzip
import hashlib
import re
from dataclasses import dataclass
from functools import cache, cached_property
from mimetypes import guess_type
from pathlib import Path

import brotli
from flask import Flask, Response, abort, g, request, url_for

from portal_site import locations
from portal_site.web.security import YEAR

# The styles of all pages, in the order of their cascade layers. They are sent with the merchant's theme, in one file.
STYLES = ("css/tokens.css", "css/base.css", "css/layout.css", "css/components/*.css", "css/utilities.css")
BUNDLES = {
    "site.js": ("js/vendor/htmx.js", "js/behaviours/*.js"),
    "lost-forms.js": ("js/lost_forms.js",),
    "passkeys.js": ("js/passkeys.js",),
    "sandbox.css": ("css/sandbox.css",),
    "dashboard.css": ("css/dashboard.css",),
}
COMMENT = re.compile(rb"/\*.*?\*/", re.DOTALL)
LINE_COMMENT = re.compile(rb"^\s*//.*\n", re.MULTILINE)
BLANK = re.compile(rb"\n\s*")
# Stricter and shorter than the pages' policy: an asset that is opened by itself loads nothing.
POLICY = "default-src 'none'"
IMMUTABLE = f"public, max-age={YEAR}, immutable"
COMPRESSIBLE = ("text/css", "text/javascript", "image/svg+xml")


@dataclass(frozen=True)
class Asset:
    """A file to be served: uncompressed, and with Brotli and gzip if its type is compressible."""

    name: str
    content_type: str
    plain: bytes
    fingerprint: str

    @classmethod
    def of(cls, name: str, data: bytes) -> "Asset":
        content_type = guess_type(name)[0] or "application/octet-stream"
        stem, _, ending = name.rpartition(".")
        fingerprint = hashlib.sha256(data).hexdigest()[:12]
        return cls(f"{stem}-{fingerprint}.{ending}", content_type, data, fingerprint)

    @cached_property
    def encodings(self) -> dict[str, bytes]:
        """The compressed data by encoding; made for the first request, since commands and workers start without one."""
        if self.content_type not in COMPRESSIBLE:
            return {}
        return {"br": brotli.compress(self.plain, quality=11), "gzip": gzip.compress(self.plain, 9, mtime=0)}


def init(app: Flask) -> None:
    """Load all assets, and add the function `asset` to templates: `asset("site.js")` is the file's URL."""
    by_name = {name: Asset.of(name, _bundle(locations.STATIC, patterns)) for name, patterns in BUNDLES.items()}
    by_address = {asset.name: asset for asset in by_name.values()}

    def address(name: str) -> str:
        return url_for("asset", name=by_name[name].name)

    def show(name: str) -> Response:
        if name not in by_address:
            abort(404)
        return send(by_address[name])

    app.add_url_rule("/static/<name>", "asset", show)
    app.jinja_env.globals.update(asset=address, scripts=scripts)


def scripts() -> tuple[str, ...]:
    """The scripts of a page. A preview has none: nothing can be done there."""
    return () if g.get("previewed") else ("site.js",)


@cache
def styles() -> bytes:
    """The styles of all pages, without a theme."""
    return _bundle(locations.STATIC, STYLES)


def _bundle(folder: Path, patterns: tuple[str, ...]) -> bytes:
    files = [path for pattern in patterns for path in sorted(folder.glob(pattern))]
    return b"\n".join(_smaller(path) for path in files)


def _smaller(path: Path) -> bytes:
    """The file without comments and indentation. Our scripts have neither in the middle of a text of several lines."""
    data = path.read_bytes()
    if "vendor" in path.parts:
        return data
    return BLANK.sub(b"\n", (COMMENT if path.suffix == ".css" else LINE_COMMENT).sub(b"", data))


def send(asset: Asset) -> Response:
    """A response with the asset, in the best encoding that the browser accepts."""
    for encoding, data in asset.encodings.items():
        if request.accept_encodings[encoding]:
            response = Response(data, content_type=_typed(asset))
            response.headers["Content-Encoding"] = encoding
            break
    else:
        response = Response(asset.plain, content_type=_typed(asset))
    if asset.encodings:
        response.vary.add("Accept-Encoding")
    response.headers["Cache-Control"] = IMMUTABLE
    response.headers.setdefault("Content-Security-Policy", POLICY)
    return response


def _typed(asset: Asset) -> str:
    return f"{asset.content_type}; charset=utf-8" if asset.content_type in COMPRESSIBLE else asset.content_type
