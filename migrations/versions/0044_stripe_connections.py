"""Accounts connect Stripe as their payment provider."""

import sqlalchemy as sa
from alembic import op

revision = "0044"
down_revision = "0042"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "stripe_connections",
        sa.Column("account_id", sa.String(), sa.ForeignKey("accounts.id"), primary_key=True),
        sa.Column("livemode", sa.Boolean(), primary_key=True),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("secret_key", sa.Text(), nullable=False),
        sa.Column("redacted", sa.String(), nullable=False),
        sa.Column("stripe_account", sa.String(), nullable=False),
        sa.Column("acts_for", sa.String()),
        sa.Column("country", sa.String()),
        sa.Column("currency", sa.String()),
        sa.Column("webhook_id", sa.String()),
        sa.Column("webhook_secret", sa.Text()),
        sa.Column("former_secret", sa.Text()),
        sa.Column("former_secret_until", sa.BigInteger()),
        sa.Column("checked_at", sa.BigInteger(), nullable=False),
        sa.Column("fault", sa.Text()),
    )


def downgrade() -> None:
    op.drop_table("stripe_connections")
