"""What it costs to know whose a host is."""

import pytest
from flask import Flask

from portal_site.db import db
from portal_site.web import hosts
from portal_site.web.hosts import Lookups
from tests import world
from tests.conftest import Recorder
from tests.domains.conftest import HOST, OWN, proven
from tests.domains.name_server import NameServer

THERE, HOME = f"http://{HOST}", f"http://{OWN}"


def _lookups(recorder: Recorder) -> int:
    found = [statement for statement in recorder.statements if "custom_domains" in statement]
    recorder.statements.clear()
    return len(found)


def test_a_host_is_looked_up_once_in_some_seconds_and_the_own_one_never(
    app: Flask, dns: NameServer, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    account_id = world.scene().account_id
    proven(dns, account_id)
    now = [100.0]
    monkeypatch.setitem(app.extensions, "lookups", Lookups(lambda: now[0]))
    recorder.statements.clear()
    client = app.test_client()
    for place, count in (
        (HOME, 0),
        (HOME, 0),
        (THERE, 1),
        (THERE, 0),
        ("http://evil.example", 1),
        ("http://evil.example", 0),
    ):
        client.get("/logged-out", base_url=place)
        assert _lookups(recorder) == count, place
    now[0] += hosts.KEPT
    client.get("/logged-out", base_url=THERE)
    assert _lookups(recorder) == 1
    for number in range(hosts.MOST_KEPT + 10):
        hosts.lookups()._known[f"x{number}", "y"] = now[0], None
    client.get("/logged-out", base_url="http://other.example")
    assert len(hosts.lookups()._known) == 1


def test_the_look_up_goes_by_the_index(lite_app: Flask) -> None:
    sql = str(hosts._OWNER.compile(dialect=db.engine.dialect, compile_kwargs={"literal_binds": False}))
    with db.engine.connect() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", ("x.example",)).all()
    assert "uq_custom_domains_host" in str(plan)
