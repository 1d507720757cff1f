"""Documents as they were printed, and the address of the merchant on its account and its invoices."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

TABLE = "printed_documents"


def upgrade() -> None:
    op.add_column("accounts", sa.Column("address", sa.JSON(none_as_null=True)))
    op.add_column("invoices", sa.Column("account_address", sa.JSON(none_as_null=True)))
    op.create_table(
        TABLE,
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("customer_id", sa.String(), nullable=False),
        sa.Column("invoice_id", sa.String(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_printed_documents_account_id_accounts")),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customers.id"], name=op.f("fk_printed_documents_customer_id_customers")
        ),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoices.id"], name=op.f("fk_printed_documents_invoice_id_invoices")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_printed_documents")),
    )
    op.create_index(op.f("ix_printed_documents_customer_id"), TABLE, ["customer_id"])


def downgrade() -> None:
    op.drop_table(TABLE)
    op.drop_column("invoices", "account_address")
    op.drop_column("accounts", "address")
