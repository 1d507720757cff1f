"""The directories of templates, static files and migrations: in the installed package, or at the top of a checkout."""

from pathlib import Path

_PACKAGE = Path(__file__).parent


def folder(name: str) -> Path:
    """The path of `templates`, `static` or `migrations`."""
    installed = _PACKAGE / name
    return installed if installed.is_dir() else _PACKAGE.parent / name


TEMPLATES = folder("templates")
STATIC = folder("static")
MIGRATIONS = folder("migrations")
TRANSLATIONS = _PACKAGE / "translations"
