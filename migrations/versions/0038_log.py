"""The events of people are a log: each has a hash of itself and of the entry before it."""

import sqlalchemy as sa
from alembic import op

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None


INDEXES = {
    "ix_events_log": ["account_id", "sequence"],
    "ix_events_log_actor_type": ["account_id", "actor_type", "sequence"],
    "ix_events_log_actor_id": ["account_id", "actor_id", "sequence"],
}


def upgrade() -> None:
    for table in ("events", "event_counter"):
        op.add_column(table, sa.Column("log_hash", sa.String()))
    where = sa.text("log_hash IS NOT NULL")
    for name, columns in INDEXES.items():
        op.create_index(name, "events", columns, sqlite_where=where, postgresql_where=where)


def downgrade() -> None:
    for name in INDEXES:
        op.drop_index(name, "events")
    for table in ("event_counter", "events"):
        op.drop_column(table, "log_hash")
