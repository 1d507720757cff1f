"""Records visitors' activity. Pages that only read do not wait for this, however long a billing run holds the database."""

import logging
import threading

from flask import Flask, current_app
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from portal_site.billing.portal_access import portal_sessions
from portal_site.db.faults import described

log = logging.getLogger("portal_site")
_lock = threading.Lock()
_pending: dict[
    str, tuple[str, int]
] = {}  # account id and instant, by the id of the visit; a thread runs while there is one


def note(account_id: str, visit_id: str, at: int) -> None:
    """Record a visit's activity: now if nobody else is writing, otherwise in a thread as soon as possible."""
    try:
        portal_sessions.note_activity(account_id, visit_id, at, wait=False)
    except OperationalError:
        app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
        with _lock:
            is_first = not _pending
            _pending[visit_id] = account_id, at
        if is_first:
            threading.Thread(target=_write_pending, args=(app,), name="activity", daemon=True).start()


def _write_pending(app: Flask) -> None:
    while True:
        with _lock:
            if not _pending:
                return
            visit_id, (account_id, at) = next(iter(_pending.items()))
        try:
            with app.app_context():
                portal_sessions.note_activity(account_id, visit_id, at)
        except SQLAlchemyError as error:  # the next click will be recorded
            log.error("an activity could not be noted: %s", described(error))
        with _lock:
            if _pending.get(visit_id) == (account_id, at):
                del _pending[visit_id]
