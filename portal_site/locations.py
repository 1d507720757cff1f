"""Where files are: the program's own, in the installed package or at the top of a checkout, and private ones with data."""

import os
from contextlib import suppress
from pathlib import Path

_PACKAGE = Path(__file__).parent
_OTHERS = 0o077  # the rights of the group and of everybody


def folder(name: str) -> Path:
    """The path of `templates`, `static` or `migrations`."""
    installed = _PACKAGE / name
    return installed if installed.is_dir() else _PACKAGE.parent / name


TEMPLATES = folder("templates")
STATIC = folder("static")
MIGRATIONS = folder("migrations")
TRANSLATIONS = _PACKAGE / "translations"


def make_private_folder(path: Path) -> None:
    """Make a folder that only this user can look into, unless it exists. Raises OSError."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)


def make_private_file(path: Path) -> None:
    """Make an empty file that only this user can read, and its folder, unless they exist. Raises OSError.

    SQLite gives the files that it puts beside a database the same rights. A file that exists is not even opened: closing it
    would take all locks of this process off it, and another process would then delete a write-ahead log that is in use.
    """
    make_private_folder(path.parent)
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def opened_to_others(path: Path) -> str | None:
    """The command that closes a file to other users of this machine, if they can read it; None if they cannot.

    A file that is open itself is out of their reach in a folder that is not.
    """
    try:
        modes = [place.stat().st_mode & _OTHERS for place in (path, path.parent)]
    except OSError:
        return None
    return f"chmod 600 {path}*" if os.name == "posix" and all(modes) else None
