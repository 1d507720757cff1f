"""The names of users, for what they did."""

from collections.abc import Collection

from sqlalchemy import select

from portal_site.db.transactions import reading
from portal_site.staff.models import User


def names(user_ids: Collection[str]) -> dict[str, str]:
    """The names of these users by id."""
    if not user_ids:
        return {}
    with reading() as reader:
        return {row.id: row.name for row in reader.execute(select(User.id, User.name).where(User.id.in_(user_ids)))}
