"""The invoices of a subscription are found by the index that also keeps its renewals apart."""

from alembic import op

revision = '0005'
down_revision = '0004'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index('ix_invoices_subscription_id', 'invoices')


def downgrade() -> None:
    op.create_index('ix_invoices_subscription_id', 'invoices', ['subscription_id'])
