"""The `./portal` script: portable shell, and a message for everything that is missing."""

import os
import shutil
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest

from portal_site import locations

SCRIPT = locations.TEMPLATES.parent / "portal"
TOOLS = (
    "sh",
    "dirname",
    "readlink",
    "cat",
    "grep",
    "head",
    "tail",
    "mkdir",
    "rm",
    "uname",
    "id",
    "sleep",
    "sha256sum",
    "tr",
    "sed",
)


def _run(script: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    given = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", **environment}
    return subprocess.run([str(script), *words], env=given, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The script with its requirements, alone in a folder."""
    for name in ("portal", "requirements.txt", "requirements-test.txt"):
        shutil.copy(SCRIPT.parent / name, tmp_path)
    return tmp_path / "portal"


@pytest.fixture
def bare_path(tmp_path: Path) -> str:
    """A PATH with everyday tools and no Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        if found:
            (folder / tool).symlink_to(found)
    return str(folder)


def test_it_explains_itself() -> None:
    for words in ((), ("--help",), ("help",)):
        shown = _run(SCRIPT, *words)
        assert shown.returncode == 0
        assert "demo [--port N] [--data DIR]" in shown.stdout
        assert "test [PYTEST ARGUMENTS]" in shown.stdout


@pytest.mark.parametrize("shell", ["sh", "dash", "bash"])
def test_every_shell_reads_it(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell}")
    assert subprocess.run([shell, "-n", SCRIPT], check=False).returncode == 0


def test_without_python_it_says_how_to_get_it(copy: Path, bare_path: str) -> None:
    (Path(bare_path) / "apt-get").unlink(missing_ok=True)
    result = _run(copy, "check", PATH=bare_path)
    assert result.returncode == 1
    assert "Python 3.11 or newer" in result.stderr
    assert "sudo apt-get install python3-venv" in result.stderr
    assert not (copy.parent / ".venv").exists()
    assert not (copy.parent / ".venv.lock").exists()


def test_an_old_python_is_named(copy: Path, bare_path: str) -> None:
    old = Path(bare_path) / "python3"
    old.write_text('#!/bin/sh\n[ "$1" = -V ] && echo "Python 3.7.3" && exit\nexit 1\n')
    old.chmod(0o755)
    result = _run(copy, "check", PATH=bare_path)
    assert result.returncode == 1
    assert "only Python 3.7.3" in result.stderr


def test_the_named_python_comes_before_the_first_one(copy: Path, bare_path: str) -> None:
    """A Python that is new enough makes the environment, here in vain; one that is not is refused by its name."""
    for name, status in (("python3", 0), ("mine", 0), ("old", 1)):
        _program(Path(bare_path) / name, f'[ "$1" = -c ] && exit {status}\nexit 1')
    named = str(Path(bare_path) / "mine")
    assert f"{bare_path}/python3 cannot make" in _run(copy, "check", PATH=bare_path).stderr
    assert f"{named} cannot make" in _run(copy, "check", PATH=bare_path, PYTHON=named).stderr
    for name in (str(Path(bare_path) / "old"), "/not/there"):
        refused = _run(copy, "check", PATH=bare_path, PYTHON=name)
        assert (refused.returncode, refused.stderr) == (1, f"PYTHON={name} is not Python 3.11 or newer.\n")


def test_an_interrupted_installation_can_be_repeated(copy: Path) -> None:
    """No index, no files: pip's own words, then ours."""
    uv_less = os.environ["PATH"]
    result = _run(
        copy, "check", PATH=uv_less, PIP_NO_INDEX="1", PIP_CONFIG_FILE="/dev/null", UV_OFFLINE="1", UV_NO_CACHE="1"
    )
    assert result.returncode == 1
    assert "could not be installed" in result.stderr
    assert "Run this again to go on." in result.stderr
    assert not (copy.parent / ".venv" / "requirements.txt.stamp").exists()
    assert not (copy.parent / ".venv.lock").exists()


def test_other_arguments_are_passed_to_the_command(tmp_path: Path) -> None:
    if not (SCRIPT.parent / ".venv").exists():
        pytest.skip("this checkout is not set up by the script")
    result = _run(SCRIPT, "check", PORTAL_DATA_DIR=str(tmp_path))
    assert result.returncode == 1
    assert "PORTAL_SECRET_KEY is missing" in result.stderr
    assert "Traceback" not in result.stderr


def test_an_abandoned_set_up_is_taken_over(copy: Path, bare_path: str) -> None:
    lock = copy.parent / ".venv.lock"
    lock.mkdir()
    (lock / "owner").write_text(f"{os.uname().nodename} 999999999\n")
    result = _run(copy, "check", PATH=bare_path, PORTAL_SETUP_WAIT="2")
    assert "Python 3.11 or newer" in result.stderr
    assert not lock.exists()


def test_a_set_up_that_goes_on_elsewhere_is_waited_for(copy: Path, bare_path: str) -> None:
    lock = copy.parent / ".venv.lock"
    lock.mkdir()
    (lock / "owner").write_text(f"{os.uname().nodename} {os.getpid()}\n")
    result = _run(copy, "check", PATH=bare_path, PORTAL_SETUP_WAIT="1")
    assert result.returncode == 1
    assert "Another start is setting up" in result.stderr
    assert lock.exists()


@pytest.fixture
def set_up(copy: Path) -> Path:
    """The script in a folder that is set up, where Python only tells its environment."""
    python = copy.parent / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    _program(python, '[ "$1" = -V ] || env')
    for name in ("requirements.txt", "requirements-test.txt"):
        digest = sha256((copy.parent / name).read_bytes()).hexdigest()
        (copy.parent / ".venv" / f"{name}.stamp").write_text(f"{digest}  -\n")
    return copy


def _program(path: Path, words: str) -> None:
    path.write_text(f"#!/bin/sh\n{words}\n")
    path.chmod(0o755)


def test_the_tests_compile_each_module_once(set_up: Path) -> None:
    """Whatever the surroundings say: without bytecode, each start of the program takes two seconds more of a processor."""
    for word, kept in (("test", True), ("check", False)):
        given = _run(set_up, word, CHROMIUM="none", PYTHONDONTWRITEBYTECODE="1").stdout.splitlines()
        assert (f"PYTHONPYCACHEPREFIX={set_up.parent}/.venv/bytecode" in given) == kept
        assert ("PYTHONDONTWRITEBYTECODE=1" in given) != kept


def test_the_browser_without_windows_comes_first_and_the_named_one_before_it(set_up: Path, bare_path: str) -> None:
    driver = set_up.parent / ".venv" / "lib" / "python3" / "site-packages" / "playwright" / "driver"
    driver.mkdir(parents=True)
    programs = {name: Path(bare_path) / name for name in ("chromium", "chromium-headless-shell", "env")}
    programs["env"].symlink_to(shutil.which("env") or "")
    _program(driver / "node", "exit 0")
    _program(programs["chromium"], "exit 0")
    for there, named, chosen in (
        ("", "", "chromium"),
        ("chromium-headless-shell", "", "chromium-headless-shell"),
        ("chromium-headless-shell", "chromium", "chromium"),
    ):
        if there:
            _program(programs[there], "exit 0")
        given = _run(set_up, "test", PATH=bare_path, CHROMIUM=named).stdout.splitlines()
        assert f"PORTAL_TEST_CHROMIUM={programs[chosen]}" in given
