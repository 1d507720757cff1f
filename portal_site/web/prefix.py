"""The path below which the portal is mounted, where `PORTAL_BASE_URL` has one. The proxy passes it on unchanged."""

from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

OUTSIDE = "portal.outside_prefix"  # in the environment of a request for a path that is not the portal's


class Prefix:
    """Takes the prefix off each path, so that routes are the same with and without one, and marks what lies outside.

    A path without the prefix is not taken for one from which a proxy has stripped it: a page would have two addresses then, and
    the cookie is sent to one of them only.
    """

    def __init__(self, app: WSGIApplication, prefix: str) -> None:
        self.app, self.prefix = app, prefix

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        path = environ.get("PATH_INFO", "")
        environ["SCRIPT_NAME"] = self.prefix
        if path == self.prefix or path.startswith(f"{self.prefix}/"):
            environ["PATH_INFO"] = path[len(self.prefix) :]
        else:
            environ[OUTSIDE] = True
        return self.app(environ, start_response)
