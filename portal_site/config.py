"""Typed settings from the environment. The program does not start with an invalid setting."""

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from urllib.parse import urlsplit

from email_validator import EmailNotValidError, validate_email
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

SECRET_KEY_LENGTH = 32
QUEUES = ("sqlite", "redis", "rediss", "postgres", "postgresql", "postgresql+psycopg")
GATEWAYS = ("sandbox", "stripe")
COUNTED_IN = ("sql", "memory", "none")
LOOPBACK = ("127.0.0.1", "localhost", "::1")
NOBODY = "billing@localhost"  # the sender in the demo
SMTP_FORM = (
    "PORTAL_SMTP_URL must be smtp://user:password@host:587, smtps://…, or smtp://host?tls=none on the same machine."
)
DRIVERS = {
    "sqlite": "sqlite",
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
}


MECHANISM = re.compile(r"(include|exists|a|mx|ip4|ip6):[A-Za-z0-9_.:/%{}-]+")  # of SPF
PREFIX = re.compile(r"(/[A-Za-z0-9][A-Za-z0-9._~-]*)*")  # the path of PORTAL_BASE_URL, without a slash at its end


Network = IPv4Network | IPv6Network
LOOPBACK_NETWORKS: tuple[Network, ...] = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))


class SettingsError(Exception):
    """One or more settings are missing or invalid. The message has one line for each."""


@dataclass(frozen=True)
class Settings:
    """The settings from the environment. Limits and durations that need no configuration are constants in the modules."""

    database_url: str
    secret_key: str
    base_url: str
    data_dir: Path
    secret_key_fallbacks: tuple[str, ...] = ()
    trusted_proxies: int = 0
    gateways: tuple[str, ...] = ("sandbox",)  # the first that an account has takes new payment methods
    stripe_address: str = "https://api.stripe.com"  # where Stripe's API is
    queue: str = ""
    smtp_url: str = ""
    mail_from: str = NOBODY
    mail_spf: tuple[str, ...] = ()
    demo: bool = False
    rate_limit_storage: str = "sql"
    webhook_networks: tuple[Network, ...] = ()  # private networks that events may be sent to

    @property
    def secure(self) -> bool:
        """Whether customers reach this portal over HTTPS."""
        return self.base_url.startswith("https://")

    @property
    def takes_live_mode(self) -> bool:
        """Whether there is a payment provider that moves money."""
        return bool(self.live_gateways)

    @property
    def live_gateways(self) -> frozenset[str]:
        """The payment providers that move money."""
        return frozenset(self.gateways) - {"sandbox"}

    @property
    def queue_url(self) -> str:
        """The URL of the workers' queue: the setting, else a SQLite file in the data directory."""
        return self.queue or f"sqlite:///{self.data_dir / 'queue.db'}"

    @property
    def sends_mail(self) -> bool:
        """Whether e-mails are sent; in the demo they go into a folder."""
        return bool(self.smtp_url) or self.demo

    @property
    def mail_folder(self) -> Path:
        """Where the demo's e-mails go."""
        return self.data_dir / "mail"

    @property
    def port(self) -> int:
        """The port in `base_url`, or the scheme's default port."""
        return urlsplit(self.base_url).port or (443 if self.secure else 80)

    @property
    def prefix(self) -> str:
        """The path below which the portal is mounted, such as `/billing`; empty at the top of its host."""
        return urlsplit(self.base_url).path

    @property
    def hosts(self) -> list[str]:
        """The portal's own host names, the one in `base_url` first. Custom domains are in the database."""
        host = urlsplit(self.base_url).hostname or ""
        return [host, "localhost"] if host == "127.0.0.1" else [host]

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "Settings":
        """Read the `PORTAL_*` variables. Raises SettingsError, which lists all faults."""
        reader = _Reader(environ)
        data_dir = Path(environ.get("PORTAL_DATA_DIR") or "var").absolute()
        demo = reader.choice("PORTAL_DEMO", ("0", "1")) == "1"
        settings = cls(
            data_dir=data_dir,
            database_url=reader.database_url(f"sqlite:///{data_dir / 'portal.db'}"),
            secret_key=reader.secret_key(),
            secret_key_fallbacks=reader.former_keys(),
            base_url=reader.base_url(),
            trusted_proxies=reader.count("PORTAL_TRUSTED_PROXIES", most=10),
            queue=reader.queue_url(),
            gateways=reader.choices("PORTAL_GATEWAY", GATEWAYS),
            stripe_address=reader.stripe_address(),
            smtp_url=reader.smtp_url(),
            mail_from=reader.mail_from(),
            mail_spf=reader.mail_spf(),
            demo=demo,
            rate_limit_storage=reader.rate_limit_storage("memory" if demo else "sql"),
            webhook_networks=reader.webhook_networks(LOOPBACK_NETWORKS if demo else ()),
        )
        if settings.demo and (settings.trusted_proxies or settings.hosts[0] not in LOOPBACK):
            reader.faults.append(
                "PORTAL_DEMO lets everybody into every portal: it cannot be on behind a proxy or on a domain."
            )
        if reader.faults:
            raise SettingsError("\n".join(reader.faults))
        return settings


class _Reader:
    """Reads settings and collects all faults, so that an operator can fix them in one go."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.faults: list[str] = []

    def _fault(self, sentence: str) -> str:
        self.faults.append(sentence)
        return ""

    def database_url(self, default: str) -> str:
        raw = self.environ.get("PORTAL_DATABASE_URL") or default
        try:
            url = make_url(raw)
        except ArgumentError:
            return self._fault("PORTAL_DATABASE_URL is not a database URL: write sqlite:////path or postgresql://….")
        driver = DRIVERS.get(url.drivername)
        if driver is None:
            return self._fault(f"PORTAL_DATABASE_URL names “{url.drivername}”: use sqlite or postgresql.")
        if driver == "sqlite" and not url.database:
            return self._fault("PORTAL_DATABASE_URL names no file: write sqlite:////path/to/portal.db.")
        return url.set(drivername=driver).render_as_string(hide_password=False)

    def queue_url(self) -> str:
        raw = self.environ.get("PORTAL_QUEUE_URL", "")
        scheme, separator, rest = raw.partition("://")
        if raw and not (separator and rest and scheme in QUEUES):
            return self._fault("PORTAL_QUEUE_URL must be sqlite:////path, redis://… or postgresql://….")
        return raw

    def stripe_address(self) -> str:
        raw = self.environ.get("PORTAL_STRIPE_ADDRESS", "").rstrip("/") or "https://api.stripe.com"
        url = urlsplit(raw)
        if url.path or not (url.scheme == "https" or (url.scheme == "http" and url.hostname in LOOPBACK)):
            return self._fault("PORTAL_STRIPE_ADDRESS must be https://…, or http:// on this machine, without a path.")
        return raw

    def rate_limit_storage(self, default: str) -> str:
        raw = self.environ.get("PORTAL_RATE_LIMIT_STORAGE") or default
        scheme, separator, rest = raw.partition("://")
        if raw not in COUNTED_IN and not (separator and rest and scheme in ("redis", "rediss")):
            return self._fault(f"PORTAL_RATE_LIMIT_STORAGE must be one of: {', '.join(COUNTED_IN)}; or redis://….")
        return raw

    def webhook_networks(self, default: tuple[Network, ...]) -> tuple[Network, ...]:
        try:
            found = tuple(
                ipaddress.ip_network(each) for each in self.environ.get("PORTAL_WEBHOOK_NETWORKS", "").split()
            )
        except ValueError:
            self._fault(
                "PORTAL_WEBHOOK_NETWORKS must be networks, separated by blanks, such as 127.0.0.0/8 ::1 10.1.0.0/16."
            )
            return default
        return found or default

    def secret_key(self) -> str:
        key = self.environ.get("PORTAL_SECRET_KEY", "")
        if not key:
            return self._fault(
                "PORTAL_SECRET_KEY is missing: set it to a long random value, for example "
                "`python3 -c 'import secrets; print(secrets.token_urlsafe(48))'`."
            )
        if len(key) < SECRET_KEY_LENGTH:
            return self._fault(f"PORTAL_SECRET_KEY is too short: use at least {SECRET_KEY_LENGTH} random characters.")
        return key

    def former_keys(self) -> tuple[str, ...]:
        keys = tuple(self.environ.get("PORTAL_SECRET_KEY_FALLBACKS", "").split())
        if any(len(key) < SECRET_KEY_LENGTH for key in keys):
            self._fault(
                "PORTAL_SECRET_KEY_FALLBACKS has a key that is too short: write whole keys, separated by blanks; "
                "one that has blanks in it cannot be used any more."
            )
        return keys

    def base_url(self) -> str:
        raw = self.environ.get("PORTAL_BASE_URL", "")
        if not raw:
            return self._fault(
                "PORTAL_BASE_URL is missing: set the address customers use, as https://billing.example.com."
            )
        try:
            parts = urlsplit(raw)
            is_valid = bool(parts.hostname) and (parts.port is None or parts.port > 0)
        except ValueError:
            is_valid = False
        if (
            not is_valid
            or parts.scheme not in ("http", "https")
            or not PREFIX.fullmatch(parts.path.rstrip("/"))
            or parts.query
            or parts.fragment
            or parts.username
        ):
            return self._fault("PORTAL_BASE_URL must be http(s)://host[:port], with a path such as /billing at most.")
        return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"

    def smtp_url(self) -> str:
        raw = self.environ.get("PORTAL_SMTP_URL", "")
        try:
            parts = urlsplit(raw)
            is_valid = (
                parts.scheme in ("smtp", "smtps") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
            )
        except ValueError:
            return self._fault(SMTP_FORM)
        if raw and not (is_valid and not parts.path.strip("/") and parts.query in ("", "tls=none")):
            return self._fault(SMTP_FORM)
        return raw

    def mail_from(self) -> str:
        raw = self.environ.get("PORTAL_MAIL_FROM", "")
        if not raw and self.environ.get("PORTAL_SMTP_URL"):
            return self._fault("PORTAL_MAIL_FROM is missing: set the address that e-mails come from.")
        try:
            return validate_email(raw, check_deliverability=False, test_environment=True).normalized if raw else NOBODY
        except EmailNotValidError:
            return self._fault("PORTAL_MAIL_FROM is not an e-mail address, such as billing@example.com.")

    def mail_spf(self) -> tuple[str, ...]:
        mechanisms = tuple(self.environ.get("PORTAL_MAIL_SPF", "").split())
        if not all(MECHANISM.fullmatch(each) for each in mechanisms):
            self._fault(
                "PORTAL_MAIL_SPF must be SPF mechanisms, separated by blanks, such as include:spf.relay.example "
                "ip4:192.0.2.1."
            )
        return mechanisms

    def count(self, name: str, most: int) -> int:
        raw = self.environ.get(name) or "0"
        if raw.isascii() and raw.isdigit() and int(raw) <= most:
            return int(raw)
        self._fault(f"{name} must be a whole number from 0 to {most}.")
        return 0

    def choice(self, name: str, allowed: tuple[str, ...]) -> str:
        raw = self.environ.get(name) or allowed[0]
        return raw if raw in allowed else self._fault(f"{name} must be one of: {', '.join(allowed)}.")

    def choices(self, name: str, allowed: tuple[str, ...]) -> tuple[str, ...]:
        """Several of the allowed, in the order given, separated by commas; the first of the allowed when nothing is."""
        chosen = tuple(word.strip() for word in (self.environ.get(name) or allowed[0]).split(","))
        if not set(chosen) <= set(allowed):
            self._fault(f"{name} must be one of: {', '.join(allowed)}; or several, separated by commas.")
        return chosen
