"""The code is formatted, linted and typed, and so are the templates, but for the types."""

import subprocess
import sys

import pytest

from portal_site import locations

TOP = locations.TEMPLATES.parent


@pytest.mark.long
@pytest.mark.parametrize(
    "command",
    [
        ("ruff", "check", "."),
        ("ruff", "format", "--check", "."),
        ("mypy",),
        ("djlint", "--check", "templates"),
        ("djlint", "--lint", "templates"),
    ],
    ids=["lint", "format", "types", "format of templates", "lint of templates"],
)
def test_linters_and_type_checker_pass(command: tuple[str, ...]) -> None:
    result = subprocess.run([sys.executable, "-m", *command], cwd=TOP, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[-3000:]
