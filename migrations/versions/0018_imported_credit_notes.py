"""Credit notes may take off parts of a line without a period, and several times."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

TABLE = "credit_note_line_items"
ONCE = "uq_credit_note_line_items_invoice_line_item_id"
HAS_PERIOD = sa.text("period_start IS NOT NULL")


def upgrade() -> None:
    op.drop_index(ONCE, TABLE)
    with op.batch_alter_table(TABLE) as batch:
        for name in ("period_start", "period_end"):
            batch.alter_column(name, existing_type=sa.BigInteger(), nullable=True)
    op.create_index("ix_credit_note_line_items_invoice_line_item_id", TABLE, ["invoice_line_item_id"])
    op.create_index(
        ONCE, TABLE, ["invoice_line_item_id"], unique=True, sqlite_where=HAS_PERIOD, postgresql_where=HAS_PERIOD
    )


def downgrade() -> None:
    op.drop_index(ONCE, TABLE)
    op.drop_index("ix_credit_note_line_items_invoice_line_item_id", TABLE)
    op.execute("DELETE FROM credit_note_line_items WHERE period_start IS NULL")
    with op.batch_alter_table(TABLE) as batch:
        for name in ("period_start", "period_end"):
            batch.alter_column(name, existing_type=sa.BigInteger(), nullable=False)
    op.create_index(ONCE, TABLE, ["invoice_line_item_id"], unique=True)
