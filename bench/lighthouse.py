"""Lighthouse's scores of the overview on an emulated mid-range phone."""

import json
import os
import subprocess
from typing import Any

from bench import tools
from bench.report import Section
from bench.stage import OURS, Stage

CATEGORIES = ("performance", "accessibility", "best-practices", "seo")
# A page for one customer must not be indexed, and says so.
SKIPPED = "is-crawlable"
FIGURES = ("largest-contentful-paint", "cumulative-layout-shift")
RUNS = 3
TRIES = 3


def measure(stage: Stage) -> list[Section]:
    """The median scores of a few runs. Raises RuntimeError if Lighthouse is not available or fails."""
    program, browser = tools.lighthouse()
    ticket = stage.tickets[OURS][0]
    command = [
        program, f"http://127.0.0.1:{stage.servers[OURS].port}/", f"--only-categories={','.join(CATEGORIES)}",
        f"--skip-audits={SKIPPED}", "--output=json", "--quiet", "--chrome-flags=--headless=new --no-sandbox --disable-gpu",
        f"--extra-headers={json.dumps({'Cookie': ticket.cookies})}",
    ]  # fmt: skip
    scores: dict[str, list[float]] = {name: [] for name in CATEGORIES}
    figures: dict[str, list[float]] = {name: [] for name in FIGURES}
    missed: dict[str, str] = {}
    for _ in range(RUNS):
        result = _run(command, browser)
        for name in CATEGORIES:
            scores[name].append(result["categories"][name]["score"] * 100)
            missed |= _missed(result, name)
        for name, values in figures.items():
            values.append(result["audits"][name]["numericValue"])
    rows = [[name, f"{sorted(scores[name])[RUNS // 2]:.0f}"] for name in CATEGORIES]
    paint, shift = (sorted(values)[RUNS // 2] for values in figures.values())
    rows += [["largest contentful paint", f"{paint / 1000:.2f} s (aim 1.2)"], ["layout shift", f"{shift:.3f} (aim 0)"]]
    rows += [[f"missed: {title}", score] for title, score in missed.items()]
    return [Section("Lighthouse, mobile", ("category", "score"), rows)]


def _run(command: list[str], browser: str) -> dict[str, Any]:
    fault = ""
    for _ in range(TRIES):  # on a busy machine, the browser sometimes returns no trace
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=240, check=False, env=os.environ | {"CHROME_PATH": browser}
        )
        result: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {}
        if result and not result.get("runtimeError") and result["finalDisplayedUrl"] == command[1]:
            return result
        fault = done.stderr[-700:] or f"it saw {result.get('finalDisplayedUrl')}: {result.get('runtimeError')}"
    raise RuntimeError(f"lighthouse failed: {fault}")


def _missed(result: dict[str, Any], category: str) -> dict[str, str]:
    """The audits of a category with a score below 90, by title."""
    weighted = {part["id"] for part in result["categories"][category]["auditRefs"] if part["weight"]}
    audits = (result["audits"][name] for name in sorted(weighted))
    return {a["title"]: f"{a['score'] * 100:.0f}" for a in audits if a["score"] is not None and a["score"] < 0.9}
