"""Wheel and source archive contain everything that the program needs, and work outside of a checkout."""

import os
import re
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

from portal_site import locations
from tests.conftest import SECRET

TOP = locations.TEMPLATES.parent
NEEDED = (
    "templates/portal/overview/show.html",
    "static/css/base.css",
    "static/js/vendor/htmx.js",
    "migrations/versions/0001_first_schema.py",
    "migrations/env.py",
    "portal_site/translations/fr/LC_MESSAGES/messages.mo",
    "portal_site/documents/templates/document.typ",
    "portal_site/documents/fonts/NotoSans-Regular.ttf",
    "portal_site/documents/fonts/OFL.txt",
)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the source archive."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(TOP)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return folder


def test_the_wheel_holds_everything(built: Path) -> None:
    names = set(zipfile.ZipFile(next(built.glob("*.whl"))).namelist())
    for needed in NEEDED:
        assert (needed if needed.startswith("portal_site/") else f"portal_site/{needed}") in names
    assert not [name for name in names if name.startswith(("tests/", "bench/")) or name.endswith((".db", ".po"))]


def test_the_source_archive_holds_everything(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for needed in (*NEEDED, "wsgi.py", "pyproject.toml", "README.md", "NOTICE"):
        assert needed in names


@pytest.mark.slow
def test_the_wheel_works_outside_the_checkout(built: Path, tmp_path: Path) -> None:
    """Installed in an environment of its own (which borrows the tests' libraries), it migrates and finds its pages."""
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    site = next((tmp_path / "venv" / "lib").glob("python*/site-packages"))
    zipfile.ZipFile(next(built.glob("*.whl"))).extractall(site)
    borrowed = next(path for path in map(Path, sys.path) if path.name == "site-packages")
    (site / "borrowed.pth").write_text(str(borrowed))
    environment = {"PATH": os.environ["PATH"], "PORTAL_SECRET_KEY": SECRET, "PORTAL_DATA_DIR": str(tmp_path),
                   "PORTAL_BASE_URL": "http://127.0.0.1:8000"}  # fmt: skip
    script = (
        "import portal_site, portal_site.db.migrations as m\n"
        f"assert portal_site.__file__.startswith({str(tmp_path)!r}), portal_site.__file__\n"
        "app = portal_site.create_app(); m.upgrade(app); client = app.test_client()\n"
        "page = client.get('/logged-out', headers={'Accept-Language': 'fr'})\n"
        "assert page.status_code == 200 and 'Session fermée' in page.text, page.text\n"
        "import re; found = re.findall(r'/(?:static/site|theme/)[^\"]+', page.text)\n"
        "assert any('theme' in one for one in found), found\n"
        "assert [client.get(one).status_code for one in found] == [200] * len(found)\n"
    )
    result = subprocess.run(
        [python, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.case("F17")
def test_the_requirements_are_the_projects_and_pinned_by_hash() -> None:
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    listed = {line.split("#")[0].strip() for line in (TOP / "requirements.in").read_text().splitlines()} - {""}
    assert set(project["dependencies"]) == listed
    for name in ("requirements.txt", "requirements-test.txt"):
        pinned = (TOP / name).read_text()
        packages = re.split(r"\n(?=[A-Za-z0-9])", re.sub(r"^\s*#.*\n", "", pinned, flags=re.MULTILINE))
        names = {re.split(r"[\[=]", package)[0].lower() for package in packages}
        assert {re.split(r"[\[<>=]", one)[0].lower() for one in listed} <= names
        assert not [
            package
            for package in packages
            if not re.match(r"\S+==\S+ .*?--hash=sha256:[0-9a-f]{64}", package, re.DOTALL)
        ]
        assert "://" not in pinned


@pytest.mark.case("C21")
def test_no_secret_and_no_database_is_in_the_repository() -> None:
    listed = subprocess.run(["git", "ls-files", "-s"], cwd=TOP, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a checkout")
    files = [Path(TOP, line.split("\t")[1]) for line in listed.stdout.splitlines()]
    assert not [path for path in files if path.suffix in (".db", ".pem", ".key", ".env", ".sqlite")]
    assert not [path for path in files if path.exists() and path.stat().st_size > 1_000_000]
    secret = re.compile(rb"sk_live_[A-Za-z0-9]{10}|-----BEGIN [A-Z ]*PRIVATE KEY-----|AKIA[0-9A-Z]{16}")
    assert not [
        path
        for path in files
        if path.is_file() and path.name != "test_packaging.py" and secret.search(path.read_bytes())
    ]
