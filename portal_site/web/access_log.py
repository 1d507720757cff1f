"""One line for each request, with the route's pattern in place of its address: tokens and ids never get into a log."""

import logging
import sys
import time

from flask import Flask, Response, g, request

log = logging.getLogger("portal_site.access")


def configure() -> None:
    """Write the program's own lines to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False


def init(app: Flask) -> None:
    """Time each request and note how it was answered."""

    @app.before_request
    def begin() -> None:
        g.began = time.perf_counter()

    @app.after_request
    def note(response: Response) -> Response:
        if log.isEnabledFor(logging.INFO):
            where = request.url_rule.rule if request.url_rule else "(no route)"
            spent = (time.perf_counter() - g.get("began", time.perf_counter())) * 1000
            log.info("%s %s %s %.1fms", request.method, where, response.status_code, spent)
        return response
