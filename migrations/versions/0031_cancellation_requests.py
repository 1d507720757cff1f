"""Cancelling without logging in: the page of an account, and what was asked for there."""

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None
UNANSWERED = sa.text("answered_at IS NULL")


def upgrade() -> None:
    op.add_column("accounts", sa.Column("cancellation_page_id", sa.String()))
    op.create_index("uq_accounts_cancellation_page_id", "accounts", ["cancellation_page_id"], unique=True)
    op.create_table(
        "cancellation_requests",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("account_id", sa.String(), sa.ForeignKey("accounts.id"), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("answered_at", sa.BigInteger()),
        sa.Column("subscription_id", sa.String()),
    )
    op.create_index(
        "ix_cancellation_requests_unanswered", "cancellation_requests", ["created", "id"],
        sqlite_where=UNANSWERED, postgresql_where=UNANSWERED,
    )  # fmt: skip
    op.create_index("ix_cancellation_requests_created", "cancellation_requests", ["created"])
    op.create_index(
        "ix_cancellation_requests_account_id_email_created", "cancellation_requests", ["account_id", "email", "created"]
    )


def downgrade() -> None:
    op.drop_table("cancellation_requests")
    op.drop_index("uq_accounts_cancellation_page_id", "accounts")
    op.drop_column("accounts", "cancellation_page_id")
