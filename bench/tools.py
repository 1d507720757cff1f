"""Installs additional tools for the benchmarks on first use, in a folder that git ignores."""

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
    """The Python of a virtual environment with Django. Raises RuntimeError if the packages cannot be installed."""
    python = TWIN_VENV / "bin" / "python"
    # The same versions of server and driver as the portal's, so that only the page differs.
    shared = [f"gunicorn=={version('gunicorn')}", f"psycopg[binary]=={version('psycopg')}"]
    requirements = REQUIREMENTS.read_text() + "\n".join(shared)
    stamp = TWIN_VENV / "bench.stamp"
    if stamp.exists() and stamp.read_text() == requirements:
        return str(python)
    print("Setting up Django for the twin, about a minute …", file=sys.stderr)
    venv.create(TWIN_VENV, clear=True, with_pip=True)
    install = [str(python), "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]
    done = subprocess.run([*install, "-r", str(REQUIREMENTS), *shared], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"Django could not be installed:\n{done.stderr[-1500:]}")
    stamp.write_text(requirements)
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
    """The paths of Lighthouse and of a browser. Raises RuntimeError, naming what is missing."""
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
