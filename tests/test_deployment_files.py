"""The files in deploy/: what they name exists, what they run is understood, and they agree with each other and the README."""

import re
import shlex
import shutil
import subprocess
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from portal_site import cli
from portal_site.config import Settings
from tests.conftest import SECRET

TOP = Path(__file__).parent.parent
DEPLOY = TOP / "deploy"
UNITS = ("portal.service", "portal-worker.service")
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
VARIABLE = re.compile(r"\$\{(\w+)(?::[-?]([^}]*))?\}")


def _is_understood(words: list[str]) -> bool:
    """Whether the command line knows the command and each of its options."""
    names = [word.partition("=")[0] for word in words if word.startswith("--")]
    shown = CliRunner().invoke(cli.main, [words[0], "--help"])
    return shown.exit_code == 0 and all(name in shown.stdout for name in names)


def test_a_command_with_an_unknown_option_would_be_found() -> None:
    assert _is_understood(["run", "--host", "0.0.0.0"])
    assert not _is_understood(["run", "--hosts", "0.0.0.0"])
    assert not _is_understood(["runs"])


def test_the_image_has_what_the_program_needs() -> None:
    copied = re.findall(r"^COPY (\S+) (\S+)$", DOCKERFILE, re.MULTILINE)
    assert {source for source, _ in copied} >= {"requirements.txt", "portal_site", "templates", "static", "migrations"}
    assert [source for source, _ in copied if not (TOP / source).exists()] == []
    version = re.search(r"^FROM python:(\d\.\d+)-slim$", DOCKERFILE, re.MULTILINE)
    assert version is not None
    assert (
        f">={version[1]}" in (TOP / "pyproject.toml").read_text()
    )  # the oldest, for which the requirements are compiled
    words = {
        name: yaml.safe_load(rest)
        for name, rest in re.findall(r"^(ENTRYPOINT|CMD) (\[.*\])$", DOCKERFILE, re.MULTILINE)
    }
    assert words["ENTRYPOINT"] == ["python", "-m", "portal_site.cli"]
    assert _is_understood(words["CMD"])
    assert re.search(r"^USER portal$", DOCKERFILE, re.MULTILINE)


def test_the_services_fit_together() -> None:
    services = COMPOSE["services"]
    assert set(services) == {"postgres", "migrate", "portal", "worker", "caddy"}
    for name, service in services.items():
        assert set(service.get("depends_on", ())) <= set(services), name
        for volume in service["volumes"]:
            source = volume.partition(":")[0]
            assert source in COMPOSE["volumes"] or (DEPLOY / source).is_file(), volume
        if "build" in service:
            assert (DEPLOY / service["build"]["context"]).resolve() == TOP
            assert (TOP / service["build"]["dockerfile"]).is_file()
            assert _is_understood(service.get("command") or ["run"])
    upstream = services["caddy"]["environment"]["PORTAL_UPSTREAM"]
    assert upstream == f"portal:{re.findall(r'^EXPOSE (.+)$', DOCKERFILE, re.MULTILINE)[0]}"
    used = set(re.findall(r"\{\$(\w+)", (DEPLOY / "Caddyfile").read_text()))
    assert used == set(services["caddy"]["environment"])


def test_the_settings_of_the_services_are_accepted() -> None:
    given = {
        "PORTAL_HOST": "billing.example.com", "PORTAL_SECRET_KEY": SECRET, "POSTGRES_PASSWORD": "a1b2c3",
        "PORTAL_SMTP_URL": "smtp://relay.example:25?tls=none", "PORTAL_MAIL_FROM": "billing@example.com",
        "PORTAL_MAIL_SPF": "include:spf.relay.example",
    }  # fmt: skip
    asked = set(re.findall(r"^(\w+)=", (DEPLOY / "env.example").read_text(), re.MULTILINE))
    assert asked == set(given) == {name for name, _ in VARIABLE.findall((DEPLOY / "compose.yaml").read_text())}
    written = COMPOSE["services"]["portal"]["environment"]
    environment = {name: VARIABLE.sub(lambda found: given[found[1]], value) for name, value in written.items()}
    settings = Settings.from_environment(environment)
    assert (settings.base_url, settings.trusted_proxies) == ("https://billing.example.com", 1)
    assert settings.database_url == "postgresql+psycopg://portal:a1b2c3@postgres/portal"
    without = {name: "" if "SMTP" in name or "MAIL" in name else value for name, value in environment.items()}
    assert not Settings.from_environment(without).sends_mail


@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_runs_commands_that_there_are(unit: str) -> None:
    parser = ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(DEPLOY / unit)
    service = parser["Service"]
    assert service["User"] == "portal"
    commands = [shlex.split(service[name]) for name in ("ExecStartPre", "ExecStart") if name in service]
    for python, *words in commands:
        assert python == f"{service['WorkingDirectory']}/.venv/bin/python"
        assert words[:2] == ["-m", "portal_site.cli"]
        assert _is_understood(words[2:])
    assert service["StateDirectory"] == "portal"
    assert "PORTAL_DATA_DIR=/var/lib/portal" in service["Environment"]


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_understands_the_unit(unit: str, tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd is not installed here")
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(shutil.which("true") or "/bin/true")
    for name in UNITS:
        (tmp_path / name).write_text((DEPLOY / name).read_text().replace("/srv/portal", str(tmp_path)))
    result = subprocess.run(
        ["systemd-analyze", "verify", str(tmp_path / unit)], capture_output=True, text=True, check=False, timeout=60
    )
    assert [line for line in result.stderr.splitlines() if unit in line] == []


def test_the_page_on_deployment_names_each_file() -> None:
    page = (TOP / "docs" / "deployment.md").read_text()
    missing = [path.name for path in DEPLOY.iterdir() if path.name not in page]
    assert missing == []
    for name in re.findall(r"\]\(((?:\.\./)?[\w/.-]+)\)", page):
        assert (TOP / "docs" / name).resolve().exists(), name
