"""The merchant's program has keys, and the answers to its requests are kept for a day."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("account_id", sa.String(), sa.ForeignKey("accounts.id"), nullable=False, index=True),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String()),
        sa.Column("token_hash", sa.String(), nullable=False, unique=True),
        sa.Column("redacted", sa.String(), nullable=False),
        sa.Column("rights", sa.JSON()),
        sa.Column("expires_at", sa.BigInteger()),
        sa.Column("livemode", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    op.create_table(
        "idempotent_requests",
        sa.Column("account_id", sa.String(), sa.ForeignKey("accounts.id"), primary_key=True),
        sa.Column("livemode", sa.Boolean(), primary_key=True),
        sa.Column("key", sa.String(), primary_key=True),
        sa.Column("created", sa.BigInteger(), nullable=False, index=True),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("request_id", sa.String(), nullable=False),
        sa.Column("status", sa.BigInteger(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
    )
    op.create_index("ix_customers_list", "customers", ["account_id", "livemode", "created", "id"])


def downgrade() -> None:
    op.drop_index("ix_customers_list", "customers")
    op.drop_table("idempotent_requests")
    op.drop_table("api_keys")
