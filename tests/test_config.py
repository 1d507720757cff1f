"""Settings: all missing or invalid ones are reported at once, one sentence each, and the program does not start."""

from pathlib import Path

import pytest

from portal_site.config import Settings, SettingsError

GOOD = {
    "PORTAL_SECRET_KEY": "x" * 40,
    "PORTAL_BASE_URL": "https://billing.acme.example",
    "PORTAL_DATA_DIR": "/srv/portal",
}


def test_settings_are_read() -> None:
    settings = Settings.from_environment(GOOD)
    assert settings.database_url == "sqlite:////srv/portal/portal.db"
    assert settings.secure
    assert settings.port == 443
    assert settings.hosts == ["billing.acme.example"]
    assert settings.data_dir == Path("/srv/portal")


@pytest.mark.parametrize("url", ["https://shop.example/billing", "https://shop.example/billing/"])
def test_the_portal_can_be_mounted_below_a_path(url: str) -> None:
    settings = Settings.from_environment({**GOOD, "PORTAL_BASE_URL": url})
    assert (settings.base_url, settings.prefix) == ("https://shop.example/billing", "/billing")
    assert settings.hosts == ["shop.example"]
    assert Settings.from_environment({**GOOD, "PORTAL_BASE_URL": "https://shop.example/"}).prefix == ""


def test_requests_are_counted_in_the_database_but_in_the_demo() -> None:
    assert Settings.from_environment(GOOD).rate_limit_storage == "sql"
    demo = {**GOOD, "PORTAL_BASE_URL": "http://127.0.0.1:8000", "PORTAL_DEMO": "1"}
    assert Settings.from_environment(demo).rate_limit_storage == "memory"
    chosen = {**GOOD, "PORTAL_RATE_LIMIT_STORAGE": "redis://counts.example:6379/1"}
    assert Settings.from_environment(chosen).rate_limit_storage == "redis://counts.example:6379/1"


@pytest.mark.parametrize("url", ["postgres://u:p@db/x", "postgresql://u:p@db/x", "postgresql+psycopg://u:p@db/x"])
def test_every_way_to_write_postgresql_is_the_same(url: str) -> None:
    assert (
        Settings.from_environment({**GOOD, "PORTAL_DATABASE_URL": url}).database_url == "postgresql+psycopg://u:p@db/x"
    )


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("PORTAL_SECRET_KEY", "", "PORTAL_SECRET_KEY is missing"),
        ("PORTAL_SECRET_KEY", "short", "too short"),
        ("PORTAL_SECRET_KEY_FALLBACKS", "k" * 40 + " a secret with blanks, long enough", "a key that is too short"),
        ("PORTAL_BASE_URL", "", "PORTAL_BASE_URL is missing"),
        ("PORTAL_BASE_URL", "billing.acme.example", "must be http(s)"),
        ("PORTAL_BASE_URL", "ftp://billing.acme.example", "must be http(s)"),
        ("PORTAL_BASE_URL", "https://acme.example/billing/../x", "must be http(s)"),
        ("PORTAL_BASE_URL", "https://acme.example//billing", "must be http(s)"),
        ("PORTAL_BASE_URL", "https://acme.example/a b", "must be http(s)"),
        ("PORTAL_BASE_URL", "https://acme.example/?x", "must be http(s)"),
        ("PORTAL_BASE_URL", "https://acme.example:port", "must be http(s)"),
        ("PORTAL_BASE_URL", "https://user@acme.example", "must be http(s)"),
        ("PORTAL_DATABASE_URL", "nonsense", "not a database URL"),
        ("PORTAL_DATABASE_URL", "mysql://db/x", "use sqlite or postgresql"),
        ("PORTAL_DATABASE_URL", "sqlite://", "names no file"),
        ("PORTAL_TRUSTED_PROXIES", "many", "whole number from 0 to 10"),
        ("PORTAL_TRUSTED_PROXIES", "11", "whole number from 0 to 10"),
        ("PORTAL_TRUSTED_PROXIES", "٣", "whole number from 0 to 10"),
        ("PORTAL_GATEWAY", "paypal", "must be one of"),
        ("PORTAL_STRIPE_ADDRESS", "http://api.example", "must be https://"),
        ("PORTAL_STRIPE_ADDRESS", "https://api.example/v1", "without a path"),
        ("PORTAL_SMTP_URL", "http://relay.example", "PORTAL_SMTP_URL must be"),
        ("PORTAL_SMTP_URL", "smtp://", "PORTAL_SMTP_URL must be"),
        ("PORTAL_SMTP_URL", "smtp://relay.example:port", "PORTAL_SMTP_URL must be"),
        ("PORTAL_SMTP_URL", "smtp://relay.example/path", "PORTAL_SMTP_URL must be"),
        ("PORTAL_SMTP_URL", "smtp://relay.example", "PORTAL_MAIL_FROM is missing"),
        ("PORTAL_MAIL_FROM", "billing", "PORTAL_MAIL_FROM is not an e-mail address"),
        ("PORTAL_MAIL_FROM", "a@b.example\r\nBcc: c@d.example", "PORTAL_MAIL_FROM is not an e-mail address"),
        ("PORTAL_MAIL_SPF", "spf.relay.example", "PORTAL_MAIL_SPF must be SPF mechanisms"),
        ("PORTAL_MAIL_SPF", "include:spf.relay.example -all", "PORTAL_MAIL_SPF must be SPF mechanisms"),
        ("PORTAL_MAIL_SPF", "ip4:192.0.2.1,ip4:192.0.2.2", "PORTAL_MAIL_SPF must be SPF mechanisms"),
        ("PORTAL_RATE_LIMIT_STORAGE", "disk", "must be one of: sql, memory, none; or redis://"),
        ("PORTAL_RATE_LIMIT_STORAGE", "redis://", "or redis://"),
        ("PORTAL_RATE_LIMIT_STORAGE", "postgresql://db/x", "or redis://"),
        ("PORTAL_DEMO", "yes", "must be one of"),
    ],
)
def test_a_wrong_setting_is_a_sentence(name: str, value: str, said: str) -> None:
    sender = {"PORTAL_MAIL_FROM": "a@b.example"} if said.startswith("PORTAL_SMTP_URL") else {}
    with pytest.raises(SettingsError) as error:
        Settings.from_environment({**GOOD, **sender, name: value})
    assert said in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_all_faults_are_named_at_once() -> None:
    with pytest.raises(SettingsError) as error:
        Settings.from_environment({"PORTAL_DATABASE_URL": "nonsense"})
    assert len(str(error.value).splitlines()) == 3


def test_no_secret_has_a_default() -> None:
    with pytest.raises(SettingsError):
        Settings.from_environment({"PORTAL_BASE_URL": "https://billing.acme.example"})


@pytest.mark.parametrize(
    "around",
    [
        {"PORTAL_TRUSTED_PROXIES": "1", "PORTAL_BASE_URL": "http://127.0.0.1:8000"},
        {"PORTAL_BASE_URL": "https://billing.acme.example"},
        {"PORTAL_BASE_URL": "http://192.0.2.7:8000"},
    ],
)
def test_the_demo_is_on_loopback_only(around: dict[str, str]) -> None:
    demo = {"PORTAL_DEMO": "1", "PORTAL_BASE_URL": "http://localhost:8000"}
    assert Settings.from_environment({**GOOD, **demo}).demo
    with pytest.raises(SettingsError, match="cannot be on behind a proxy"):
        Settings.from_environment({**GOOD, **demo, **around})
