"""Refunds of payments, and customers' balances in other currencies."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

PENDING = sa.text("status = 'pending'")


def upgrade() -> None:
    op.create_table(
        "refunds",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("customer_id", sa.String(), nullable=False),
        sa.Column("invoice_id", sa.String(), nullable=False),
        sa.Column("payment_attempt_id", sa.String(), nullable=False),
        sa.Column("livemode", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("idempotency_key", sa.String(), nullable=False),
        sa.Column("gateway_reference", sa.String(), nullable=True),
        sa.Column("checked_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_refunds_account_id_accounts")),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], name=op.f("fk_refunds_customer_id_customers")),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoices.id"], name=op.f("fk_refunds_invoice_id_invoices")),
        sa.ForeignKeyConstraint(
            ["payment_attempt_id"], ["payment_attempts.id"], name=op.f("fk_refunds_payment_attempt_id_payment_attempts")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refunds")),
        sa.UniqueConstraint("customer_id", "idempotency_key", name=op.f("uq_refunds_customer_id_idempotency_key")),
    )
    op.create_index(op.f("ix_refunds_payment_attempt_id"), "refunds", ["payment_attempt_id"])
    op.create_index("ix_refunds_pending", "refunds", ["created"], sqlite_where=PENDING, postgresql_where=PENDING)
    op.add_column("invoices", sa.Column("amount_refunded", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("customers", sa.Column("other_balances", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("customers", "other_balances")
    op.drop_column("invoices", "amount_refunded")
    op.drop_table("refunds")
