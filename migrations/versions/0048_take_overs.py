"""Subscriptions are taken over from Stripe Billing."""

import sqlalchemy as sa
from alembic import op

revision = "0048"
down_revision = "0047"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "take_overs",
        sa.Column("subscription_id", sa.String(), sa.ForeignKey("subscriptions.id"), primary_key=True),
        sa.Column("account_id", sa.String(), sa.ForeignKey("accounts.id"), nullable=False),
        sa.Column("customer_id", sa.String(), sa.ForeignKey("customers.id"), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("method", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("boundary", sa.BigInteger(), nullable=False),
        sa.Column("mark", sa.String(), nullable=False),
        sa.Column("stop_key", sa.String(), nullable=False),
        sa.Column("restore_key", sa.String(), nullable=False),
        sa.Column("before", sa.JSON(), nullable=False),
        sa.Column("steps", sa.JSON(), nullable=False),
        sa.Column("note", sa.Text()),
    )
    op.create_index("ix_take_overs_state", "take_overs", ["account_id", "livemode", "state", "subscription_id"])
    unfinished = sa.text("state IN ('stopping', 'undoing')")
    op.create_index(
        "ix_take_overs_unfinished", "take_overs", ["created", "subscription_id"],
        sqlite_where=unfinished, postgresql_where=unfinished,
    )  # fmt: skip
    op.add_column("imported_objects", sa.Column("unbillable", sa.Text()))


def downgrade() -> None:
    op.drop_column("imported_objects", "unbillable")
    op.drop_table("take_overs")
