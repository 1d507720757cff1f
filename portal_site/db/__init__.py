"""The database and the base class of all models. Writes go through `transactions`; pages read through `page_query`."""

from typing import Any

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import MetaData, event
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


db = SQLAlchemy(model_class=Base, session_options={"expire_on_commit": False})


event.listen(db.session, "do_orm_execute", scoping.check_orm)
