"""gunicorn reads this file of the folder in which it is started, and gives each of its workers the bounds of `portal run`."""

from typing import Any


def post_worker_init(worker: Any) -> None:
    """Called in a new worker process. The import stays in it, so that `kill -HUP` brings the program as it is then."""
    from portal_site.web.servers import gunicorn_worker

    gunicorn_worker.bound(worker)
