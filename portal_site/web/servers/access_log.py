"""The access log. It writes the route's pattern instead of the URL, so that no tokens or ids get into the log."""

import logging
import sys
import time

from flask import Flask, Response, g, request

log = logging.getLogger("portal_site.access")


def configure() -> None:
    """Write the access log to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False


def init(app: Flask) -> None:
    """Log each request with its status and duration."""

    @app.before_request
    def begin() -> None:
        g.began = time.perf_counter()

    @app.after_request
    def note(response: Response) -> Response:
        if log.isEnabledFor(logging.INFO):
            route = request.url_rule.rule if request.url_rule else "(no route)"
            duration = (time.perf_counter() - g.get("began", time.perf_counter())) * 1000
            log.info("%s %s %s %.1fms", request.method, route, response.status_code, duration)
        return response
