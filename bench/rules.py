"""`./bench/coverage` and `./bench/mutation`: how well the tests hold the pure rules. See README.md."""

import argparse
import os
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

from bench import report, tools
from bench.servers import CHECKOUT

RULES = [
    f"portal_site/billing/rules/{name}.py"
    for name in (
        *(
            f"amounts/{name}"
            for name in ("money", "proration", "periods", "taxes", "allocation", "pricing", "discounts")
        ),
        "invoicing/invoices",
    )
]
# The tests of amounts that need no database: each fault that they miss has run through all of them.
TESTS = [
    f"tests/billing/test_{name}.py"
    for name in ("money", "proration", "periods", "taxes", "pricing", "items", "invoices", "plan_change", "add_ons")
]
COPY = tools.VAR / "bench-mutation"
# One process and the same examples each time; what is computed without a database needs no second one.
PYTEST = ["-n0", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0", "-k", "not postgresql"]
CAUGHT = ("killed", "timeout", "caught by type check", "segfault")


def main() -> None:
    """Measure the one or the other."""
    options = _options()
    python = tools.rules_python()
    if options.what == "coverage":
        sys.exit(_coverage(python, options.modules, options.tests or ["tests/billing", "tests/scenarios"]))
    sys.exit(_mutation(python, options))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./bench")
    parser.add_argument("what", choices=["coverage", "mutation"])
    parser.add_argument("modules", nargs="*", default=RULES, help="files of the program (the pure rules of money)")
    parser.add_argument("--tests", nargs="+", help="files or folders of tests (see README.md)")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="faults that are tried at once")
    parser.add_argument("--survivors", action="store_true", help="show each fault that was not found")
    options = parser.parse_args()
    if missing := [name for name in options.modules if not (CHECKOUT / name).is_file()]:
        parser.error(f"there is no {', '.join(missing)}: name the modules")
    return options


def _environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(folder)}


def _coverage(python: str, modules: list[str], tests: list[str]) -> int:
    data, only = f"--data-file={tools.VAR / 'bench-coverage'}", f"--include={','.join(modules)}"
    run = [python, "-m", "coverage", "run", "--branch", data, only, "-m", "pytest", *PYTEST, *tests]
    code = subprocess.run(run, cwd=CHECKOUT, env=_environment(CHECKOUT), check=False).returncode
    subprocess.run([python, "-m", "coverage", "report", "--show-missing", data, only], cwd=CHECKOUT, check=True)
    return code


def _mutation(python: str, options: argparse.Namespace) -> int:
    _copy(options.modules, options.tests or TESTS)
    mutmut = [python, "-m", "mutmut"]

    def ask(*words: str) -> str:
        asked = [*mutmut, *words]
        return subprocess.run(
            asked, cwd=COPY, env=_environment(COPY), capture_output=True, text=True, check=True
        ).stdout

    run = [*mutmut, "run", "--max-children", str(options.processes)]
    code = subprocess.run(run, cwd=COPY, env=_environment(COPY), check=False).returncode
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for line in ask("results", "--all", "true").splitlines():
        name, _, status = line.strip().partition(": ")
        module = name.rpartition(".")[0]
        found[module]["faults"] += 1
        found[module]["caught"] += status in CAUGHT
        found[module]["timeouts"] += status == "timeout"
        if status not in CAUGHT:
            print(ask("show", name) if options.survivors else f"{status}: {name}")
    report.show([_table(found)])
    return code


def _copy(modules: list[str], tests: list[str]) -> None:
    """Copy the checkout as it is, since mutmut keeps what it plants beside the program, with its settings."""
    shutil.rmtree(COPY, ignore_errors=True)
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.splitlines():
        if (CHECKOUT / name).is_file():
            (COPY / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(CHECKOUT / name, COPY / name)
    beside = sorted(path.name for path in COPY.iterdir() if path.name not in ("portal_site", "tests", "pyproject.toml"))
    with (COPY / "pyproject.toml").open("a") as settings:
        settings.write(
            f'\n[tool.mutmut]\nsource_paths = ["portal_site"]\nonly_mutate = {modules}\nalso_copy = {beside}\n'
            f"pytest_add_cli_args = {PYTEST}\npytest_add_cli_args_test_selection = {tests}\n"
        )


def _table(found: dict[str, Counter[str]]) -> report.Section:
    total = sum(found.values(), Counter())
    rows = [
        [
            name.rpartition(".")[2],
            str(n["faults"]),
            str(n["caught"]),
            str(n["timeouts"]),
            f"{n['caught'] / n['faults']:.0%}",
        ]
        for name, n in [*sorted(found.items()), ("all", total)]
        if n["faults"]
    ]
    return report.Section(
        "Faults planted into the rules", ["module", "faults", "caught", "of these by time", "score"], rows
    )


if __name__ == "__main__":
    main()
