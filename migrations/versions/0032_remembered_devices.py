"""Browsers in which customers stay logged in."""

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "portal_configurations",
        sa.Column("remembers_devices", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    op.add_column("portal_sessions", sa.Column("device_id", sa.String()))
    op.create_index("ix_portal_sessions_device_id", "portal_sessions", ["device_id"])
    op.create_table(
        "remembered_devices",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("account_id", sa.String(), sa.ForeignKey("accounts.id"), nullable=False),
        sa.Column("customer_id", sa.String(), sa.ForeignKey("customers.id"), nullable=False),
        sa.Column("configuration_id", sa.String(), sa.ForeignKey("portal_configurations.id"), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("last_used_at", sa.BigInteger(), nullable=False),
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("token_hash", sa.String(), nullable=False, unique=True),
        sa.Column("livemode", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    op.create_index("ix_remembered_devices_customer_id", "remembered_devices", ["customer_id"])
    op.create_index("ix_remembered_devices_expires_at", "remembered_devices", ["expires_at"])


def downgrade() -> None:
    op.drop_table("remembered_devices")
    op.drop_index("ix_portal_sessions_device_id", "portal_sessions")
    op.drop_column("portal_sessions", "device_id")
    op.drop_column("portal_configurations", "remembers_devices")
