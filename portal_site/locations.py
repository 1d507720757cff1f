"""Where the files that are not code lie: beside the package when installed, at the top of a checkout otherwise."""

from pathlib import Path

_PACKAGE = Path(__file__).parent


def folder(name: str) -> Path:
    """`templates`, `static` or `migrations`."""
    installed = _PACKAGE / name
    return installed if installed.is_dir() else _PACKAGE.parent / name


TEMPLATES = folder("templates")
STATIC = folder("static")
MIGRATIONS = folder("migrations")
TRANSLATIONS = _PACKAGE / "translations"
