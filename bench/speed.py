"""Compares the overview with the reference apps and the Django twin, in rotating bursts, round by round."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench import agreement, load
from bench.report import Section, judged
from bench.stage import BARE, OURS, TEMPLATES, TWIN, Stage
from portal_site.cli import groups

AIMS = {"SQLite": {TEMPLATES: 0.55, TWIN: 3.0}, "PostgreSQL": {TEMPLATES: 0.35, TWIN: 2.5}}
ORDER = (OURS, BARE, TEMPLATES, TWIN)


@dataclass
class Tally:
    """The results of one server in all rounds."""

    rates: list[float] = field(default_factory=list)
    answers: int = 0
    cpu: float = 0.0
    database_cpu: float = 0.0

    @property
    def cost(self) -> float:
        """Seconds of CPU time per response, including the database's."""
        return (self.cpu + self.database_cpu) / self.answers

    def row(self, name: str) -> list[str]:
        """The server's row in the table."""
        cpu, database_cpu = (f"{seconds / self.answers * 1e6:,.0f}" for seconds in (self.cpu, self.database_cpu))
        return [name, f"{max(self.rates):,.0f}", f"{statistics.median(self.rates):,.0f}", cpu, database_cpu]


def measure(stage: Stage, rounds: int, seconds: float) -> list[Section]:
    """Two tables: each server's figures, and the ratios with their aims."""
    agreement.check(stage)
    tallies = {name: Tally() for name in ORDER}
    for name in ORDER:
        load.burst(stage.questions(name), seconds=seconds)
    with groups.steps(f"Rounds on {stage.kind.name}") as advance:
        for number in range(rounds):
            shift = number % len(ORDER)
            for name in ORDER[shift:] + ORDER[:shift]:
                _take_turn(stage, name, tallies[name], seconds)
            advance(number + 1, rounds)
    kind = stage.kind.name
    columns = ("server", "requests/s, best", "median", "CPU µs/request", "of the database")
    rates = Section(f"Overview on {kind}", columns, [tallies[name].row(name) for name in ORDER])
    ratios = Section(f"Ratios on {kind}", ("portal to", "median", "aim", "met", "by CPU time"), _ratios(kind, tallies))
    return [rates, ratios]


def _take_turn(stage: Stage, name: str, tally: Tally, seconds: float) -> None:
    server = stage.servers[name]
    cpu, database_cpu = server.cpu_seconds(), stage.kind.cpu_seconds()
    burst = load.burst(stage.questions(name), seconds=seconds)
    tally.cpu += server.cpu_seconds() - cpu
    tally.database_cpu += stage.kind.cpu_seconds() - database_cpu
    tally.answers += burst.answers
    tally.rates.append(burst.rate)


def _ratios(kind: str, tallies: dict[str, Tally]) -> list[Sequence[str]]:
    def median(name: str) -> float:
        pairs = zip(tallies[OURS].rates, tallies[name].rates, strict=True)
        return statistics.median(ours / theirs for ours, theirs in pairs)

    def by_cpu(name: str) -> str:
        """The ratio by CPU time, including the database's; a busy machine distorts it less than the request rate."""
        return f"{tallies[name].cost / tallies[OURS].cost:.2f}"

    rows = [[name, *judged(median(name), AIMS[kind][name]), by_cpu(name)] for name in (TEMPLATES, TWIN)]
    return [[BARE, f"{median(BARE):.2f}", "", "", by_cpu(BARE)], *rows]
