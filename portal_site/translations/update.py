"""`python -m portal_site.translations.update`: brings every catalogue up to date with the code and compiles it.

New sentences come in untranslated, and a test fails until they are not.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from babel.messages.catalog import Catalog
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from portal_site import locations

FOLDER = Path(__file__).parent
# The demo's page is for developers and stays in English.
ENGLISH_ONLY = ("demo", "dashboard")
KEYWORDS: dict[str, Any] = {**DEFAULT_KEYWORDS, "NN_": (1, 2), "_l": None}
METHODS = [("**.py", "python"), ("**.html", "jinja2"), ("**.txt", "jinja2")]
JINJA = {"trimmed": "true", "extensions": "jinja2.ext.i18n"}
OPTIONS = {"**.html": JINJA, "**.txt": JINJA}


def extracted() -> Catalog:
    """All sentences of code and templates."""
    catalog = Catalog(project="Portal Site", charset="utf-8")
    for folder in (FOLDER.parent, locations.TEMPLATES):
        for name, _line, message, comments, context in extract_from_dir(folder, METHODS, OPTIONS, KEYWORDS):
            if not name.startswith(ENGLISH_ONLY):
                catalog.add(message, auto_comments=comments, context=context, locations=[(name, 1)])
    return catalog


def catalogues() -> Iterator[Path]:
    """The catalogues that there are."""
    yield from sorted(FOLDER.glob("*/LC_MESSAGES/messages.po"))


def read(path: Path) -> Catalog:
    """A catalogue from its file."""
    with path.open("rb") as file:
        return read_po(file, locale=path.parent.parent.name)


def main() -> None:
    """Merge and compile."""
    template = extracted()
    for path in catalogues():
        catalog = read(path)
        catalog.update(template, no_fuzzy_matching=True)
        catalog.obsolete.clear()
        with path.open("wb") as file:
            write_po(file, catalog, width=130, sort_output=True, no_location=True, omit_header=False)
        with path.with_suffix(".mo").open("wb") as file:
            write_mo(file, catalog)


if __name__ == "__main__":
    main()
