"""What the bench needs beyond the checkout's own packages, made on first use in a folder that git ignores."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from importlib.metadata import version
from pathlib import Path

from bench.servers import CHECKOUT

VAR = CHECKOUT / "var"
TWIN_VENV = VAR / "bench-venv"
RULES_VENV = VAR / "bench-rules-venv"
LIGHTHOUSE = VAR / "bench-lighthouse"
LIGHTHOUSE_VERSION = "12.8.2"
BROWSERS = ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome")
REQUIREMENTS = Path(__file__).parent / "requirements.txt"
RULES_REQUIREMENTS = Path(__file__).parent / "requirements-rules.txt"


def twin_python() -> str:
    """The Python that has Django, in an environment of its own. Raises RuntimeError when it cannot be made."""
    python = TWIN_VENV / "bin" / "python"
    # The same server and the same driver as ours, so that what differs is the page.
    shared = [f"gunicorn=={version('gunicorn')}", f"psycopg[binary]=={version('psycopg')}"]
    wanted = REQUIREMENTS.read_text() + "\n".join(shared)
    stamp = TWIN_VENV / "bench.stamp"
    if stamp.exists() and stamp.read_text() == wanted:
        return str(python)
    print("Setting up Django for the twin, about a minute …", file=sys.stderr)
    venv.create(TWIN_VENV, clear=True, with_pip=True)
    install = [str(python), "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]
    done = subprocess.run([*install, "-r", str(REQUIREMENTS), *shared], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"Django could not be installed:\n{done.stderr[-1500:]}")
    stamp.write_text(wanted)
    return str(python)


def rules_python() -> str:
    """The Python that measures the tests, which has the checkout's packages too. Raises RuntimeError as the twin's does."""
    python = RULES_VENV / "bin" / "python"
    wanted = RULES_REQUIREMENTS.read_text() + sys.prefix
    stamp = RULES_VENV / "bench.stamp"
    if stamp.exists() and stamp.read_text() == wanted:
        return str(python)
    print("Setting up coverage and mutmut, about a minute …", file=sys.stderr)
    venv.create(RULES_VENV, clear=True, with_pip=True)
    site = next((RULES_VENV / "lib").glob("python*/site-packages"))
    (site / "checkout.pth").write_text(sysconfig.get_path("purelib"))
    install = [str(python), "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]
    done = subprocess.run([*install, "-r", str(RULES_REQUIREMENTS)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"coverage and mutmut could not be installed:\n{done.stderr[-1500:]}")
    stamp.write_text(wanted)
    return str(python)


def lighthouse() -> tuple[str, str]:
    """The lighthouse program and a browser for it. Raises RuntimeError that says what is missing."""
    browser = os.environ.get("CHROME_PATH") or next((path for path in BROWSERS if Path(path).exists()), None)
    if browser is None:
        raise RuntimeError("there is no Chromium: install it, or set CHROME_PATH")
    program = LIGHTHOUSE / "node_modules" / ".bin" / "lighthouse"
    if not program.exists():
        npm = shutil.which("npm")
        if npm is None:
            raise RuntimeError("there is no npm: install Node")
        LIGHTHOUSE.mkdir(parents=True, exist_ok=True)
        command = [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(LIGHTHOUSE)]
        done = subprocess.run(
            [*command, f"lighthouse@{LIGHTHOUSE_VERSION}"], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"npm could not install lighthouse {LIGHTHOUSE_VERSION}: {done.stderr[-500:]}")
    return str(program), browser
