"""Runs Typst: here for a usual document, in a process of its own for a large one.

Typst remembers what it has laid out for ten documents, which is what makes the next one quick. Of one with 2,000 lines that is
130 MB; in a process of its own the memory is given back, and a time limit can end it.
"""

import base64
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import typst

LARGE = 50_000  # bytes of all texts; some 350 lines
SECONDS = 60
_few_at_once = threading.BoundedSemaphore(2)
PANIC = "pyo3_runtime"


class Refused(Exception):
    """Typst did not set this document."""


def compile_here(files: dict[str, bytes], fonts: typst.Fonts, standards: list[Any]) -> bytes:
    """The document as PDF. Raises Refused."""
    compile_files: Any = typst.compile  # its types know of no files by name
    try:
        data = compile_files(files, font_paths=fonts, ignore_system_fonts=True, pdf_standards=standards)
    except RuntimeError as refusal:  # a TypstError is one too
        raise Refused(str(refusal)) from refusal
    except BaseException as failure:  # a panic of Typst is no Exception
        if type(failure).__module__ != PANIC:
            raise
        raise Refused(str(failure)) from failure
    assert isinstance(data, bytes)
    return data


def compile_apart(files: dict[str, bytes], folder: Path, standards: list[Any], *, system: bool) -> bytes:
    """The same in a process of its own, which knows no secrets. Raises Refused."""
    coded = {name: base64.b64encode(data).decode() for name, data in files.items()}
    order = json.dumps({"files": coded, "folder": str(folder), "standards": standards, "system": system}).encode()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PORTAL_")}
    command = [sys.executable, str(Path(__file__))]
    with _few_at_once:
        try:
            done = subprocess.run(  # noqa: S603 - this very file
                command, input=order, env=environment, capture_output=True, timeout=SECONDS, check=False
            )
        except subprocess.TimeoutExpired as late:
            raise Refused(f"it took longer than {SECONDS} seconds") from late
    if done.returncode:
        raise Refused(done.stderr.decode(errors="replace").strip()[-500:])
    return done.stdout


def main() -> None:
    """Set the document that standard input describes, to standard output."""
    order = json.load(sys.stdin.buffer)
    fonts = typst.Fonts(
        include_system_fonts=order["system"], include_embedded_fonts=False, font_paths=[order["folder"]]
    )
    files = {name: base64.b64decode(data) for name, data in order["files"].items()}
    sys.stdout.buffer.write(compile_here(files, fonts, order["standards"]))


if __name__ == "__main__":
    main()
