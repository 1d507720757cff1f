"""The database and the base class of all models. Writes go through `transactions`; pages read through `page_query`."""

from contextvars import ContextVar
from typing import Any

from flask_sqlalchemy import SQLAlchemy
from flask_sqlalchemy.session import Session
from sqlalchemy import Connection, Engine, MetaData, event
from sqlalchemy.orm import DeclarativeBase, registry
from sqlalchemy.types import BigInteger

from portal_site.db import scoping

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """The base of every model. Integers are 64 bits wide, because times and amounts overflow 32."""

    id: Any  # every billing table has one; declared here for code that handles rows of any table

    registry = registry(metadata=MetaData(naming_convention=NAMES), type_annotation_map={int: BigInteger})


# The connection whose uncommitted rows everything sees, within `transactions.provisional_rows`.
provisional_connection: ContextVar[Connection | None] = ContextVar("provisional_connection", default=None)


class AppSession(Session):
    """The session of the app; within `provisional_rows`, on the connection of that."""

    def get_bind(self, *args: Any, **kwargs: Any) -> Engine | Connection:
        """The connection or the engine that statements go to."""
        return provisional_connection.get() or super().get_bind(*args, **kwargs)


# On a connection with a transaction of its own, as within `provisional_rows`, a session rolls back only what it did itself.
OPTIONS = {"class_": AppSession, "expire_on_commit": False, "join_transaction_mode": "create_savepoint"}
db = SQLAlchemy(model_class=Base, session_options=OPTIONS)


event.listen(db.session, "do_orm_execute", scoping.check_orm)
