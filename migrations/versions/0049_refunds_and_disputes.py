"""Credit notes of refunds, disputes, missed events, wallets and mandates, and accounts that get what is sold for them."""

import sqlalchemy as sa
from alembic import op

revision = "0049"
down_revision = "0048"
branch_labels = None
depends_on = None
AMOUNTS = ("refunds_credited", "amount_disputed")
COLUMNS = (("memo", sa.Text()), ("refund_id", sa.String()), ("voided_at", sa.BigInteger()), ("idempotency_key", sa.String()))
METHOD_COLUMNS = (("wallet", sa.String()), ("mandate_reference", sa.String()), ("mandate_url", sa.Text()))
KEY = "uq_credit_notes_customer_id_idempotency_key"


def upgrade() -> None:
    for name in AMOUNTS:
        op.add_column("invoices", sa.Column(name, sa.BigInteger(), nullable=False, server_default="0"))
    for name, kind in COLUMNS:
        op.add_column("credit_notes", sa.Column(name, kind))
    op.create_index("ix_credit_notes_refund_id", "credit_notes", ["refund_id"])
    op.create_index(KEY, "credit_notes", ["customer_id", "idempotency_key"], unique=True)
    op.create_index("ix_refunds_invoice_id", "refunds", ["invoice_id"])
    failed = sa.text("status = 'failed'")
    op.create_index(
        "ix_refunds_failed", "refunds", ["account_id", "created"], sqlite_where=failed, postgresql_where=failed
    )
    for name, kind in METHOD_COLUMNS:
        op.add_column("payment_methods", sa.Column(name, kind))
    op.add_column("accounts", sa.Column("provider_account", sa.String()))
    op.add_column(
        "stripe_connections", sa.Column("events_until", sa.BigInteger(), nullable=False, server_default="0")
    )
    op.add_column(
        "subscriptions", sa.Column("billed_elsewhere", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.create_table(
        "disputes",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("account_id", sa.String(), sa.ForeignKey("accounts.id"), nullable=False),
        sa.Column("customer_id", sa.String(), sa.ForeignKey("customers.id"), nullable=False),
        sa.Column("invoice_id", sa.String(), sa.ForeignKey("invoices.id"), nullable=False),
        sa.Column("payment_attempt_id", sa.String(), sa.ForeignKey("payment_attempts.id"), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("is_withdrawn", sa.Boolean(), nullable=False),
        sa.Column("evidence_due_by", sa.BigInteger()),
        sa.Column("closed_at", sa.BigInteger()),
        sa.Column("gateway_reference", sa.String(), nullable=False),
        sa.UniqueConstraint(
            "account_id", "gateway_reference", name=op.f("uq_disputes_account_id_gateway_reference")
        ),
    )
    is_open = sa.text("closed_at IS NULL")
    op.create_index(
        "ix_disputes_open", "disputes", ["account_id", "created"], sqlite_where=is_open, postgresql_where=is_open
    )
    op.create_index("ix_disputes_customer_id", "disputes", ["customer_id"])
    op.create_index("ix_disputes_invoice_id", "disputes", ["invoice_id"])


def downgrade() -> None:
    op.drop_table("disputes")
    op.drop_column("subscriptions", "billed_elsewhere")
    op.drop_column("stripe_connections", "events_until")
    op.drop_column("accounts", "provider_account")
    for name, _kind in reversed(METHOD_COLUMNS):
        op.drop_column("payment_methods", name)
    op.drop_index("ix_refunds_failed", "refunds")
    op.drop_index("ix_refunds_invoice_id", "refunds")
    op.drop_index(KEY, "credit_notes")
    op.drop_index("ix_credit_notes_refund_id", "credit_notes")
    for name, _kind in reversed(COLUMNS):
        op.drop_column("credit_notes", name)
    for name in reversed(AMOUNTS):
        op.drop_column("invoices", name)
