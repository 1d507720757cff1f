"""`./bench/run`: runs the selected benchmarks on each database and prints tables; --write puts them into the README."""

import argparse
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from bench import (
    api,
    collecting,
    databases,
    growth,
    lighthouse,
    mails,
    quoting,
    renewing,
    report,
    sessions,
    sizes,
    speed,
    stage,
    tools,
    worker,
)
from bench.report import Section


def main() -> None:
    """Parse the arguments, measure and print. If a measurement fails, the results so far are still printed."""
    options = _options()
    sections: list[Section] = []
    try:
        _measure(options, sections)
    finally:
        report.show(sections)
    if options.write:
        report.write(sections)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./bench/run", description="Measures the customer's overview page.")
    parser.add_argument("--on", choices=[*databases.KINDS, "both"], default="both", help="which database")
    parser.add_argument("--rounds", type=int, default=7, help="rounds over all servers (7)")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of a burst (1)")
    parser.add_argument("--customers", type=int, default=2000, help="customers in the database (2000)")
    parser.add_argument(
        "--history", type=int, default=growth.HISTORY, help="invoices of one customer (100000), 0 for none"
    )
    parser.add_argument(
        "--times", type=int, default=300, help="how often a page of the growth tables is asked for (300)"
    )
    parser.add_argument("--large", action="store_true", help="also compare with a database of a million invoices")
    parser.add_argument("--large-invoices", type=int, default=growth.LARGE, help="how many those are (1000000)")
    parser.add_argument("--memory", action="store_true", help="also the memory of a worker after 10,000 requests")
    parser.add_argument("--lighthouse", action="store_true", help="also Lighthouse's scores; needs npm and Chromium")
    parser.add_argument("--billing", action="store_true", help="the billing engine instead of the overview")
    parser.add_argument("--due", type=int, default=100_000, help="subscriptions that are due at once (100000)")
    parser.add_argument("--collect", type=int, default=0, help="instead collect so many invoices over the network")
    parser.add_argument("--write", action="store_true", help="put the figures into bench/README.md")
    return parser.parse_args()


def _measure(options: argparse.Namespace, sections: list[Section]) -> None:
    twin_python = "" if options.collect else tools.twin_python()
    kinds = list(databases.KINDS) if options.on == "both" else [options.on]
    folder = Path(tempfile.mkdtemp(prefix="portal-bench-"))
    folder.chmod(0o755)  # PostgreSQL does not run as root, and its own user needs access
    try:
        for name in kinds:
            with databases.KINDS[name](folder) as kind:
                if options.collect:
                    sections += collecting.measure(kind, folder, options.collect, seconds=20)
                    continue
                if options.billing:
                    sections += _billing(kind, folder, twin_python, options, first=name == kinds[0])
                    continue
                with stage.set_up(kind, folder, twin_python, options.customers, guests=200) as on:
                    sections += speed.measure(on, options.rounds, options.seconds)
                    sections += sessions.measure(on, options.rounds, options.seconds)
                    sections += api.measure(on, options.rounds, options.seconds)
                    if name == kinds[0]:
                        sections += _once(on, folder, twin_python, options)
                sections += mails.measure(kind, mails.COUNT)
                if options.history:
                    sections += growth.measure_history(kind, folder, options.history, options.times)
                if options.large:
                    sections += growth.measure_large(kind, folder, options.large_invoices, options.times)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _billing(
    kind: databases.Kind, folder: Path, twin_python: str, options: argparse.Namespace, first: bool
) -> list[Section]:
    """The sections for quotes, for renewals, and for the portal during a billing run."""
    sections = quoting.measure_rule() if first else []
    with stage.set_up(kind, folder, twin_python, 400, guests=60) as on:
        sections += quoting.measure_fragment(on, options.rounds, options.seconds)
    sections += renewing.measure_ratio(kind, 2000 * options.rounds, options.rounds)
    sections += renewing.measure_beside(kind, folder, 200_000, seconds=20)
    return sections + renewing.measure_many(kind, folder, options.due)


def _once(on: stage.Stage, folder: Path, twin_python: str, options: argparse.Namespace) -> list[Section]:
    """The sections that do not depend on the database."""
    sections = sizes.measure(on)
    sections += worker.measure(on, folder, twin_python, requests=10_000 if options.memory else 0)
    if options.lighthouse:
        try:
            sections += lighthouse.measure(on)
        except RuntimeError as fault:
            print(f"Lighthouse was left out: {fault}", file=sys.stderr)
    return sections


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that all started servers are stopped
    main()
