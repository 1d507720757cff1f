"""Events of payment providers are stored when they come, and what they are about is found by the provider's reference."""

import sqlalchemy as sa
from alembic import op

revision = "0045"
down_revision = "0044"
branch_labels = None
depends_on = None
REFERENCES = (
    ("payment_methods", "gateway_reference"),
    ("setup_intents", "gateway_reference"),
    ("refunds", "gateway_reference"),
    ("provider_customers", "reference"),
)


def upgrade() -> None:
    op.create_table(
        "provider_events",
        sa.Column("account_id", sa.String(), sa.ForeignKey("accounts.id"), primary_key=True),
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("livemode", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("gateway", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("reference", sa.String(), nullable=False),
        sa.Column("attempt_id", sa.String()),
        sa.Column("due_at", sa.BigInteger()),
        sa.Column("tries", sa.BigInteger(), nullable=False),
        sa.Column("fault", sa.Text()),
    )
    due = sa.text("due_at IS NOT NULL")
    op.create_index("ix_provider_events_due", "provider_events", ["due_at"], sqlite_where=due, postgresql_where=due)
    op.create_index("ix_provider_events_received_at", "provider_events", ["received_at"])
    for table, column in REFERENCES:
        op.create_index(f"ix_{table}_reference", table, ["account_id", column])


def downgrade() -> None:
    for table, _column in REFERENCES:
        op.drop_index(f"ix_{table}_reference", table)
    op.drop_table("provider_events")
