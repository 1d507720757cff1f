"""Idempotency keys: the same request twice has one effect and one answer, for a day.

The row of the key, the effect and the answer are one transaction. So a request that is cut off has had no effect, or its answer
is stored; and one that is sent a second time meanwhile waits for the first, then gets its answer. Without a key, too, all that a
request does is one transaction.
"""

import hashlib
import json
import logging
from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import Response, current_app, g, request
from sqlalchemy import bindparam, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session
from werkzeug.exceptions import HTTPException

from portal_site import encryption
from portal_site.api import answers, parameters
from portal_site.api.answers import IDEMPOTENCY, ApiError
from portal_site.billing.errors import BillingError
from portal_site.billing.models import IdempotentRequest
from portal_site.db.json_columns import JsonObject
from portal_site.db.transactions import joined_transaction, transaction

log = logging.getLogger("portal_site")
LONGEST = 255
PATIENCE = "5s"  # how long a request waits for another one with its key, on PostgreSQL
PURPOSE = "idempotent answer"
LOCK_NOT_AVAILABLE = "55P03"
View = Callable[..., Response]
_TABLE: Any = IdempotentRequest.__table__
# Statements are made once: they take longer to make than to execute.


def _bounded_insert(patience: str) -> Any:
    """For PostgreSQL: the insert itself bounds how long it waits, which saves the round trip of a statement for that."""
    values = (bindparam(column.name, type_=column.type) for column in _TABLE.c)
    row = select(*values).where(func.set_config("lock_timeout", patience, True) != "")
    names = [column.name for column in _TABLE.c]
    return postgresql.insert(_TABLE).from_select(names, row).on_conflict_do_nothing().returning(_TABLE.c.key)


_INSERTS = {
    "sqlite": sqlite.insert(_TABLE).on_conflict_do_nothing().returning(_TABLE.c.key),
    "postgresql": _bounded_insert(PATIENCE),
}
_OWN = (
    _TABLE.c.account_id == bindparam("owner"), _TABLE.c.livemode == bindparam("mode"), _TABLE.c.key == bindparam("name"),
)  # fmt: skip
_FIND = select(_TABLE).where(*_OWN)
_FORGET = delete(_TABLE).where(*_OWN)
_ANSWER = update(_TABLE).where(*_OWN).values(status=bindparam("code"), answer=bindparam("text"))


def idempotent(view: View) -> View:
    """A route whose request may have an idempotency key. The view reads its parameters, then calls operations.

    They are one transaction, so no provider outside of this program's database may be called: the sandbox is not.
    """

    @wraps(view)
    def once(*args: Any, **kwargs: Any) -> Response:
        key = request.headers.get("Idempotency-Key")
        if not key:
            with joined_transaction():
                return view(*args, **kwargs)
        if len(key) > LONGEST or "\0" in key:
            raise ApiError(400, f"An idempotency key has at most {LONGEST} characters.", kind=IDEMPOTENCY)
        response = _answer(key, lambda: view(*args, **kwargs))
        response.headers["Idempotency-Key"] = key
        return response

    return once


def _answer(key: str, act: Callable[[], Response]) -> Response:
    fingerprint = _fingerprint()
    try:
        with joined_transaction() as session:
            stored = _claim(session, key, fingerprint)
            if stored is not None:
                return _replayed(stored, fingerprint)
            response = act()
            _store(session, key, response)
            return response
    except BillingError as refusal:
        response = answers.refused(refusal).answer()
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) == LOCK_NOT_AVAILABLE:
            raise _in_use() from None
        raise
    except (ApiError, HTTPException, DBAPIError):
        raise  # nothing had begun, or the database failed: the key is still free
    except Exception:
        log.exception("a request of the API failed")
        response = answers.fault()
        response.headers["Stripe-Should-Retry"] = "false"
    # The effect was rolled back with the key's row. The answer stays as it is, as at Stripe, even if the cause is gone.
    with transaction() as session:
        if _claim(session, key, fingerprint) is None:
            _store(session, key, response)
    return response


def _fingerprint() -> str:
    sent = json.dumps([request.method, request.path, parameters.decoded()], sort_keys=True)
    return hashlib.sha256(sent.encode()).hexdigest()


def _owned(key: str) -> JsonObject:
    return {"owner": g.caller.account_id, "mode": g.caller.livemode, "name": key}


def _claim(session: Session, key: str, fingerprint: str) -> Any:
    """Insert the key's row, and return None; or return the one that is there, after waiting for its transaction."""
    connection = session.connection()
    row = {
        "account_id": g.caller.account_id, "livemode": g.caller.livemode, "key": key, "created": g.now,
        "fingerprint": fingerprint, "request_id": g.request_id, "status": 0, "answer": "",
    }  # fmt: skip
    insert = _INSERTS[connection.dialect.name]
    if connection.execute(insert, row).first():
        return None
    stored = connection.execute(_FIND, _owned(key)).one()
    if stored.created > g.now - IdempotentRequest.KEPT:
        return stored
    connection.execute(_FORGET, _owned(key))
    connection.execute(insert, row)
    return None


def _store(session: Session, key: str, response: Response) -> None:
    answer = encryption.encrypt(PURPOSE, response.get_data(as_text=True))
    session.connection().execute(_ANSWER, {**_owned(key), "code": response.status_code, "text": answer})


def _replayed(stored: Any, fingerprint: str) -> Response:
    """The stored answer. Raises ApiError if the key was used for another request."""
    if stored.fingerprint != fingerprint:
        raise ApiError(
            400,
            "Keys for idempotent requests can only be used with the same parameters they were first used with.",
            kind=IDEMPOTENCY,
        )
    answer = encryption.decrypt(PURPOSE, stored.answer)
    if answer is None:
        raise ApiError(409, "The answer to this request can no longer be read. Use another key.", kind=IDEMPOTENCY)
    response = current_app.response_class(answer, stored.status, content_type="application/json")
    response.headers["Idempotent-Replayed"] = "true"
    response.headers["Original-Request"] = stored.request_id
    return response


def _in_use() -> ApiError:
    sentence = "There is currently another in-progress request using this idempotency key. Try again in a moment."
    return ApiError(409, sentence, "idempotency_key_in_use", kind=IDEMPOTENCY)
