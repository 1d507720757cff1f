"""The structure of the code: who may import whom, what happens in one place only, and how large things may be."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from portal_site import locations

PACKAGE = Path(locations.__file__).parent
ROOT = PACKAGE.parent
ARCHITECTURE = ROOT / "docs" / "architecture.md"
SOURCES = sorted(PACKAGE.rglob("*.py"))
LIBRARIES = ("flask", "sqlalchemy")
FORBIDDEN = {
    "billing.rules": "flask sqlalchemy db ids clock web portal billing.models",
    "billing": "flask clock web branding staff mail portal dashboard api notices demo cli",
    "billing.resources": "sqlalchemy ids db.transactions db.bulk",
    "branding": "flask sqlalchemy billing web portal dashboard db",
    "documents": "flask sqlalchemy billing web portal dashboard db",
    "db": "billing web portal dashboard staff",
    "web": "clock mail staff portal dashboard api notices",
    "portal": "staff dashboard api notices billing.gateways.sandbox demo cli",
    "api": "staff portal dashboard billing.gateways.sandbox demo cli",
    "mail": "staff portal dashboard api notices billing.gateways.sandbox demo cli",
    "notices": "staff dashboard api billing.gateways.sandbox demo cli",
    "staff": "web portal dashboard api notices billing.gateways.sandbox demo cli",
    "dashboard": "api billing.gateways.sandbox demo cli",
    "domains": "clock mail staff portal dashboard api notices billing.gateways.sandbox demo cli",
    "deliveries": "portal dashboard api notices billing.gateways.sandbox demo cli",
    "samples": "flask clock web staff mail portal dashboard api notices billing.gateways.sandbox demo cli",
    "demo": "cli",
}
# The packages of billing, each importing only from those before it.
BILLING_ORDER = (
    "translation_marks", "errors", "rules.amounts", "rules.catalog", "rules.customers", "rules.portal", "rules.invoicing",
    "rules.subscriptions", "rules.payments", "rules.retention", "gateways", "models", "resources", "events", "loading",
    "catalog", "invoicing", "subscriptions", "changes", "cancellation", "customers", "portal_access", "api_access", "accounts",
    "webhooks", "gateways.stripe", "payments", "direct_payments", "billing_run", "importing", "migration",
)  # fmt: skip
WEB_MAY_USE = ("errors", "translation_marks", "models", "rules")  # of billing: no operation
SANDBOX = "gateways.sandbox"  # a payment provider: it has pages and tables of its own
MOST_FILES = 12  # in a package
LONGEST_FUNCTION, LONGEST_FILE = 50, 400
LONGEST = {".html": 100, ".css": 150, ".js": 60}
WIDEST_TEMPLATE, MOST_CONDITIONS = 120, 8  # columns; conditions in 100 lines of all templates together


def _module(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _breaches(path: Path) -> list[str]:
    banned = [
        name if name in LIBRARIES else f"portal_site.{name}"
        for package, names in FORBIDDEN.items()
        if f"{_module(path)}.".startswith(f"{package}.") and SANDBOX not in _module(path)
        for name in names.split()
    ]
    return [name for name in _imports(path) for one in banned if f"{name}.".startswith(f"{one}.")]


def test_each_package_imports_only_what_it_may() -> None:
    breaches = {_module(path): found for path in SOURCES if (found := _breaches(path))}
    assert breaches == {}


def test_a_forbidden_import_would_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = tmp_path / "billing" / "rules" / "bad.py"
    bad.parent.mkdir(parents=True)
    bad.write_text("from portal_site.db import transaction")
    monkeypatch.setattr("tests.test_architecture.PACKAGE", tmp_path)
    assert _breaches(bad) == ["portal_site.db.transaction"]


def _billing_package(name: str) -> str | None:
    """`subscriptions` of `portal_site.billing.subscriptions.schedules`, `rules.amounts` of what is below that."""
    parts = name.removeprefix("portal_site.").split(".")
    if parts[0] != "billing" or len(parts) < 2:
        return None
    found = [one for one in BILLING_ORDER if f"{'.'.join(parts[1:])}.".startswith(f"{one}.")]
    return max(found, key=len, default=None)


def test_the_packages_of_billing_import_in_one_direction() -> None:
    backwards = []
    for path in (PACKAGE / "billing").rglob("*.py"):
        package = _billing_package(_module(path))
        for name in _imports(path):
            used = _billing_package(name)
            if package and used and BILLING_ORDER.index(used) > BILLING_ORDER.index(package):
                backwards.append(f"{_module(path)} imports {name}")
    assert backwards == []


def test_web_uses_no_operation() -> None:
    found = [
        f"{_module(path)} imports {name}"
        for path in (PACKAGE / "web").glob("*.py")
        for name in _imports(path)
        if name.startswith("portal_site.billing.")
        and not name.removeprefix("portal_site.billing.").startswith(WEB_MAY_USE)
    ]
    assert found == []


def test_every_package_of_billing_has_its_place_in_the_order() -> None:
    folders = {path.parent for path in (PACKAGE / "billing").rglob("*.py")} - {
        PACKAGE / "billing",
        PACKAGE / "billing" / "rules",
    }
    assert [folder.name for folder in folders if _billing_package(_module(folder / "any.py")) is None] == []


def test_packages_stay_small() -> None:
    counts = {folder: len(list(folder.glob("*.py"))) for folder in {path.parent for path in SOURCES}}
    assert {str(folder): count for folder, count in counts.items() if count > MOST_FILES + 1} == {}


@pytest.mark.parametrize(
    ("pattern", "only"),
    [
        (r"\.commit\(", {"db/transactions.py"}),
        (r"HX-", {"web/htmx.py"}),
        (r"time\.time\(", {"clock.py"}),
        # Older exports are brought into the newest shape.
        (
            r"'object': '",
            {
                str(path.relative_to(PACKAGE))
                for part in ("resources", "importing/reading")
                for path in (PACKAGE / "billing" / part).iterdir()
            },
        ),
        (r"(insert\(session, |add\()Event\b", {"billing/events/emission.py"}),
        # The sandbox pretends to be a provider with pages of its own, and the demo is on loopback only.
        (
            r"_external=True",
            {"web/addresses.py", "billing/gateways/sandbox/__init__.py", "demo/__init__.py", "cli/demo_server.py"},
        ),
    ],
    ids=["commits", "htmx headers", "reads the clock", "shapes API objects", "stores events", "makes absolute URLs"],
)
def test_one_place_only(pattern: str, only: set[str]) -> None:
    found = {str(path.relative_to(PACKAGE)) for path in SOURCES if _uses(path, pattern)}
    assert found
    assert found <= only


def _uses(path: Path, pattern: str) -> bool:
    """Whether code, not a docstring, matches."""
    return bool(re.search(pattern, _code(path)))


@cache
def _code(path: Path) -> str:
    """A file without docstrings and comments."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


@cache
def _tree(path: Path) -> ast.Module:
    """A file as parsed, which must not be changed."""
    return ast.parse(path.read_text())


def test_functions_and_files_stay_small() -> None:
    large = [
        f"{_module(path)}.{node.name}"
        for path in SOURCES
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno >= LONGEST_FUNCTION
    ]
    large += [_module(path) for path in SOURCES if len(path.read_text().splitlines()) > LONGEST_FILE]
    folders = (locations.TEMPLATES, locations.STATIC)
    others = (path for folder in folders for path in folder.rglob("*.*") if "vendor" not in path.parts)
    large += [path.name for path in others if len(path.read_text().splitlines()) > LONGEST.get(path.suffix, 100)]
    assert large == []


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        _module(path)
        for path in SOURCES
        if path.read_text().strip() and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert silent == []


def test_every_template_says_what_it_expects() -> None:
    silent = [path.name for path in locations.TEMPLATES.rglob("*.html") if not path.read_text().startswith("{#")]
    assert silent == []


def test_a_page_includes_the_partial_that_its_fragment_is() -> None:
    """One source for both: whatever a view renders as a fragment is included by a page too."""
    rendered = set()
    for path in (PACKAGE / "portal").glob("*.py"):
        rendered |= set(re.findall(r'"(portal/[a-z_]+/_[a-z_]+\.html)"', path.read_text()))
    included = set()
    for path in locations.TEMPLATES.rglob("*.html"):
        included |= set(re.findall(r'include "([^"]+)"', path.read_text()))
    assert rendered
    assert rendered <= included


def test_templates_have_few_conditionals() -> None:
    """Sentences that depend on something are made in portal_site/portal/wording."""
    texts = [path.read_text() for path in locations.TEMPLATES.rglob("*.*")]
    lines = [line for text in texts for line in text.splitlines()]
    assert [line for line in lines if len(line) > WIDEST_TEMPLATE] == []
    assert sum(map(_conditions, texts)) * 100 <= MOST_CONDITIONS * len(lines)


def test_conditions_of_a_template_are_counted() -> None:
    text = "{% if a %}{{ b if c else d }}{% elif e %}{% set f = g if h %}{% endif %}{# if #} if {% for i in j if k %}"
    assert _conditions(text) == 5


def _conditions(template: str) -> int:
    plain = re.sub(r"\{#.*?#\}", "", template, flags=re.DOTALL)
    tags = re.findall(r"\{\{.*?\}\}|\{%.*?%\}", plain, re.DOTALL)
    return sum(len(re.findall(r"\b(?:if|elif)\b", re.sub(r'"[^"]*"', "", tag))) for tag in tags)


def test_the_table_of_places_names_what_there_is() -> None:
    """Each path of the page's last table exists, and each name after it is in that file."""
    rows = re.findall(r"^\| [^|]+ \| (`[^|]+) \|$", ARCHITECTURE.read_text(), re.MULTILINE)
    assert len(rows) > 30
    for row in rows:
        file = None
        for name in re.findall(r"`([^`]+)`", row):
            if re.search(r"/|\.py$", name):
                there = [folder / name for folder in (ROOT, PACKAGE, PACKAGE / "billing") if (folder / name).exists()]
                assert there, f"{name} does not exist"
                file = there[0]
            elif file is not None and file.is_file() and name.isidentifier():
                assert name in file.read_text(), f"{file} has no {name}"
