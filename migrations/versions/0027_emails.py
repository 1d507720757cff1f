"""E-mails to customers: an outbox, and the addresses that do not exist."""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None
WAITING = sa.text("status = 'waiting'")


def upgrade() -> None:
    op.add_column("accounts", sa.Column("mail", sa.JSON()))
    op.create_table(
        "emails",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("account_id", sa.String(), sa.ForeignKey("accounts.id"), nullable=False),
        sa.Column("customer_id", sa.String()),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("dedup_key", sa.String(), nullable=False, unique=True),
        sa.Column("recipients", sa.JSON(), nullable=False),
        sa.Column("content", sa.Text()),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger()),
        sa.Column("sent_at", sa.BigInteger()),
        sa.Column("last_error", sa.String()),
        sa.Column("livemode", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    op.create_index("ix_emails_due", "emails", ["due_at", "id"], sqlite_where=WAITING, postgresql_where=WAITING)
    op.create_index("ix_emails_created", "emails", ["created"])
    op.create_table(
        "undeliverable_addresses",
        sa.Column("account_id", sa.String(), sa.ForeignKey("accounts.id"), primary_key=True),
        sa.Column("address", sa.String(), primary_key=True),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("undeliverable_addresses")
    op.drop_table("emails")
    op.drop_column("accounts", "mail")
