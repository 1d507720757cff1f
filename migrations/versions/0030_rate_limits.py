"""Counts of rate limits, for all processes."""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "rate_limit_counts",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("hits", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_rate_limit_counts_expires_at", "rate_limit_counts", ["expires_at"])


def downgrade() -> None:
    op.drop_table("rate_limit_counts")
