"""Rewrite pending updates as documents of version 2, which say which items a change adds and removes."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

SUBSCRIPTIONS = sa.table(
    "subscriptions", sa.column("id", sa.String), sa.column("pending_update", sa.JSON(none_as_null=True))
)
ADDED = ("version", "removed_items")


def upgrade() -> None:
    """Complete the documents of version 1: every change that waits keeps the items that it names."""
    _rewrite(
        lambda document: {
            "item_anchors": {},
            "attempt": "",
            "replaces_plan": False,
            **document,
            "subscription_items": [{"created": None, **item} for item in document["subscription_items"]],
            "removed_items": [],
            "version": 2,
        }
    )


def downgrade() -> None:
    """Version 1 ignores further members, so it is enough to remove the new ones."""
    _rewrite(lambda document: {name: value for name, value in document.items() if name not in ADDED})


def _rewrite(change) -> None:
    connection = op.get_bind()
    waiting = sa.select(SUBSCRIPTIONS).where(SUBSCRIPTIONS.c.pending_update.is_not(None))
    for row_id, document in connection.execute(waiting).all():
        update = sa.update(SUBSCRIPTIONS).where(SUBSCRIPTIONS.c.id == row_id)
        connection.execute(update.values(pending_update=change(document)))
