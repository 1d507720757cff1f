"""Rate limits, by Flask-Limiter: `rules` says who may ask for what how often, `storages` where it is counted.

A request is counted before anything else is done for it. What the processes share is counted in a storage that may be away; then
each counts for itself until the storage is back.
"""

import logging
import math
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from flask import Flask, Response, g, request
from flask_limiter import ExemptionScope, Limit, Limiter, RateLimitExceeded, RequestLimit
from werkzeug.exceptions import TooManyRequests

from portal_site import clock
from portal_site.config import Settings, SettingsError
from portal_site.rate_limits import rules
from portal_site.rate_limits.rules import REFUSED_EVENTS, RULES, WRONG_KEYS
from portal_site.rate_limits.storages import LocalStorage, SqlStorage
from portal_site.web.networks import client_network

MEMORY, SQL, NONE = "memory", "sql", "none"  # values of the setting; everything else is Redis
PATIENCE = 1  # seconds for an answer of Redis
NOWHERE = "nowhere"  # the name of addresses that do not exist
log = logging.getLogger("portal_site")


class RateLimits:
    """The limits of an app."""

    def __init__(self, storage: str) -> None:
        self._working_keys: set[str] = set()  # hashes of API keys that this process has let in
        self._limits: dict[str, list[Any]] = {}
        for name, rule in RULES.items():
            self.set_rate(name, rule.rate)
        self.limiters = [_limiter(f"{LocalStorage.STORAGE_SCHEME[0]}://", self._find)]
        if storage != MEMORY:
            address = f"{SqlStorage.STORAGE_SCHEME[0]}://" if storage == SQL else storage
            self.limiters.append(_limiter(address, self._find_shared, can_fail=True))
            self.limiters[1].request_filter(lambda: not self._find_shared())  # most requests, which are done with then

    def set_rate(self, name: str, rate: str) -> None:
        """Change the rate of a rule."""
        options: dict[str, dict[str, Any]] = {
            WRONG_KEYS: {"deduct_when": self._has_wrong_key, "exempt_when": self._has_working_key},
            REFUSED_EVENTS: {"deduct_when": _is_refused},
        }
        self._limits[name] = list(Limit(rate, RULES[name].who, name, shared=True, **options.get(name, {})))

    def _find(self) -> list[Any]:
        found: list[Any] = []
        for name in rules.of_request():
            found += self._limits[name]
        return found

    def _find_shared(self) -> list[Any]:
        return [limit for name in rules.of_request() if RULES[name].shared for limit in self._limits[name]]

    def _has_working_key(self) -> bool:
        return rules.caller() in self._working_keys

    def _has_wrong_key(self, response: Response) -> bool:
        if "caller" in g:
            self._working_keys.add(rules.caller())
        return response.status_code == 401

    def reset(self) -> None:
        """Forget what this process has counted."""
        self.limiters[0].reset()
        self._working_keys.clear()


def _is_refused(response: Response) -> bool:
    return response.status_code in (400, 404)


def _limiter(address: str, find: Callable[[], list[Any]], *, can_fail: bool = False) -> Limiter:
    is_redis = address.startswith("redis")
    limiter = Limiter(
        client_network,
        storage_uri=address,
        storage_options={"socket_timeout": PATIENCE, "socket_connect_timeout": PATIENCE} if is_redis else {},
        on_breach=_refuse,
        request_identifier=lambda: request.endpoint or NOWHERE,
        in_memory_fallback_enabled=can_fail,
    )
    limiter.logger = log
    limiter.request_filter(_is_exempt)
    # All limits are in the table. To look for decorators and exemptions of routes would take half as long again.
    manager: Any = limiter.limit_manager
    manager.resolve_limits = lambda *_: (find(), [])
    manager.exemption_scope = lambda *_: ExemptionScope.NONE
    return limiter


def _is_exempt() -> bool:
    """Whether a request's client has no address to count by. One for an unknown host does not come so far (`web.hosts`)."""
    return not request.remote_addr


class Refused(RateLimitExceeded):
    """The library's error with the seconds until the next try, which it does not know."""

    def __init__(self, limit: RequestLimit) -> None:
        wait = math.ceil(limit.window.reset_time - clock.now())
        TooManyRequests.__init__(self, retry_after=min(max(1, wait), limit.limit.get_expiry()))


def _refuse(limit: RequestLimit) -> None:
    raise Refused(limit)


def init(app: Flask, settings: Settings) -> None:
    """Count each request. Raises SettingsError if Redis is to count and its library is not installed."""
    storage = settings.rate_limit_storage
    if storage == NONE:
        return
    if storage not in (MEMORY, SQL) and find_spec("redis") is None:
        raise SettingsError("PORTAL_RATE_LIMIT_STORAGE names Redis: run `pip install portal-site[redis]` for it.")
    limits = RateLimits(storage)
    app.extensions["rate_limits"] = limits
    for limiter in limits.limiters:
        limiter.init_app(app)
