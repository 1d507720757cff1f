"""The start-up time and the memory of one worker process."""

import sys
from pathlib import Path

from bench import load, servers, stage, visits
from bench.databases import twin_variables
from bench.load import Question
from bench.report import Section
from bench.stage import OURS, TWIN, Stage

STARTS = 3
GUESTS = 50


def measure(on: Stage, folder: Path, twin_python: str, requests: int) -> list[Section]:
    """The start-up times of the portal and the twin, and with `requests` also their memory after so many requests."""
    ways = {
        OURS: ("bench.rungs:portal()", {"PORTAL_DATABASE_URL": on.url}, sys.executable),
        TWIN: (stage.TWIN_CALLABLE, twin_variables(on.url), twin_python),
    }
    starts, memory = [], []
    for name, (callable_, variables, python) in ways.items():
        seconds = []
        for _ in range(STARTS):
            with servers.serve(name, callable_, variables, folder, python) as server:
                seconds.append(server.start_seconds)
        starts.append([name, f"{min(seconds):.2f} s"])
        if requests:
            with servers.serve(name, callable_, variables, folder, python) as server:
                memory.append([name, *_memory(on, name, server, requests)])
    sections = [Section("From start to first answer", ("server", "best of three"), starts)]
    if requests:
        sections.append(Section("Memory of one worker", ("server", "at rest", f"after {requests:,} requests"), memory))
    return sections


def _memory(on: Stage, name: str, server: servers.Server, requests: int) -> list[str]:
    resting = server.worker.memory_info().rss
    guests = visits.invite(on.app, GUESTS)
    enter = visits.enter_portal(server.port, guests) if name == OURS else visits.enter_twin(on.app, server.port, guests)
    load.burst([Question.of(server.port, ticket) for ticket in enter], answers=requests)
    return [f"{size / 1e6:.0f} MB" for size in (resting, server.worker.memory_info().rss)]
