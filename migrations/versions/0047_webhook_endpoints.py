"""Events are listed with the request that caused them, and sent to the webhook endpoints of merchants' programs.

Setup intents of programs need no customer.
"""

import sqlalchemy as sa
from alembic import op

revision = "0047"
down_revision = "0046"
branch_labels = None
depends_on = None
IS_PENDING = sa.text("status = 'pending'")


def _own() -> list[sa.Column]:
    return [
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("account_id", sa.String(), sa.ForeignKey("accounts.id"), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("status", sa.String(), nullable=False),
    ]


def _numbers(*names: str, nullable: bool = False) -> list[sa.Column]:
    return [sa.Column(name, sa.BigInteger(), nullable=nullable) for name in names]


def upgrade() -> None:
    op.add_column("events", sa.Column("request_id", sa.String()))
    op.add_column("events", sa.Column("idempotency_key", sa.String()))
    op.create_index("ix_events_list", "events", ["account_id", "livemode", "created", "id", "type"])
    op.create_table(
        "webhook_endpoints", *_own(),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("enabled_events", sa.JSON(), nullable=False),
        sa.Column("connect", sa.Boolean(), nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("api_version", sa.String()),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("former_secret", sa.Text()),
        sa.Column("metadata", sa.JSON(), nullable=False),
        *_numbers("sequence", "failures", "paused_until", "claimed_until", "last_took"),
        *_numbers("former_secret_until", "failing_since", "gave_up_at", "deleted_at", nullable=True),
    )  # fmt: skip
    op.create_index("ix_webhook_endpoints_list", "webhook_endpoints", ["account_id", "livemode", "created", "id"])
    op.create_table(
        "webhook_deliveries", *_own(),
        sa.Column("endpoint_id", sa.String(), sa.ForeignKey("webhook_endpoints.id"), nullable=False),
        sa.Column("event_id", sa.String(), sa.ForeignKey("events.id"), nullable=False),
        sa.Column("event_type", sa.String(), nullable=False),
        sa.Column("fault", sa.String()),
        *_numbers("sequence", "attempts", "tries_since"),
        *_numbers("tried_at", "due_at", "response_status", nullable=True),
        sa.UniqueConstraint("event_id", "endpoint_id"),
    )  # fmt: skip
    op.create_index("ix_webhook_deliveries_endpoint_id", "webhook_deliveries", ["endpoint_id", "sequence"])
    op.create_index("ix_webhook_deliveries_created", "webhook_deliveries", ["created"])
    op.create_index(
        "ix_webhook_deliveries_due", "webhook_deliveries", ["endpoint_id", "due_at"],
        sqlite_where=IS_PENDING, postgresql_where=IS_PENDING,
    )  # fmt: skip
    with op.batch_alter_table("setup_intents") as batch:
        batch.alter_column("customer_id", existing_type=sa.String(), nullable=True)


def downgrade() -> None:
    op.execute("DELETE FROM setup_intents WHERE customer_id IS NULL")
    with op.batch_alter_table("setup_intents") as batch:
        batch.alter_column("customer_id", existing_type=sa.String(), nullable=False)
    op.drop_table("webhook_deliveries")
    op.drop_table("webhook_endpoints")
    op.drop_index("ix_events_list", "events")
    op.drop_column("events", "idempotency_key")
    op.drop_column("events", "request_id")
