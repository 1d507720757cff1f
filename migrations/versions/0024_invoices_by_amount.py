"""Customers find an invoice by its amount."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

IS_SHOWN = sa.text("status <> 'draft'")


def upgrade() -> None:
    columns = ["customer_id", "total", "created", "id"]
    op.create_index("ix_invoices_amount", "invoices", columns, sqlite_where=IS_SHOWN, postgresql_where=IS_SHOWN)


def downgrade() -> None:
    op.drop_index("ix_invoices_amount", "invoices")
