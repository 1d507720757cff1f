"""Pending lines are in an index of their own, so that SQLite does not look for a customer's among those of everybody."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

TABLE, COLUMNS = "invoice_line_items", ["invoice_id", "position"]
OLD, NEW = "uq_invoice_line_items_invoice_id_position", "uq_invoice_line_items_position"
IS_INVOICED = sa.text("invoice_id IS NOT NULL")


def upgrade() -> None:
    op.create_index(NEW, TABLE, COLUMNS, unique=True, sqlite_where=IS_INVOICED, postgresql_where=IS_INVOICED)
    op.drop_index(OLD, TABLE)


def downgrade() -> None:
    op.create_index(OLD, TABLE, COLUMNS, unique=True)
    op.drop_index(NEW, TABLE)
