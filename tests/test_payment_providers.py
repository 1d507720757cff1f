"""Which payment providers a portal has: those of its setting, the sandbox only where it is named or a demo runs."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask

from portal_site import create_app, payment_providers
from portal_site.billing.gateways import sandbox
from portal_site.config import Settings
from tests.conftest import SECRET


def _app(folder: Path, **members: Any) -> Flask:
    known = {"database_url": f"sqlite:///{folder / 'portal.db'}", "secret_key": SECRET, "data_dir": folder}
    return create_app(Settings(base_url="http://127.0.0.1:8000", **known, **members))


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A second provider that the setting may name."""
    made = SimpleNamespace(name="stub")
    monkeypatch.setattr(payment_providers, "FACTORIES", {"sandbox": sandbox.init, "stub": lambda app: made})
    return made


@pytest.mark.parametrize(
    ("members", "default", "has_sandbox"),
    [
        ({}, "sandbox", True),
        ({"gateways": ("stub",)}, "stub", False),
        ({"gateways": ("stub", "sandbox")}, "stub", True),
        ({"gateways": ("stub",), "demo": True}, "stub", True),
    ],
)
def test_the_setting_chooses_the_provider(
    tmp_path: Path, stub: SimpleNamespace, members: dict[str, Any], default: str, has_sandbox: bool
) -> None:
    app = _app(tmp_path, **members)
    gateways = app.extensions["gateways"]
    assert gateways.names[0] == default
    assert ("sandbox" in gateways.names) == has_sandbox
    assert any(rule.endpoint.startswith("sandbox.") for rule in app.url_map.iter_rules()) == has_sandbox
    assert gateways.for_method(SimpleNamespace(gateway="stub")) is (stub if default == "stub" else None)
