"""The newest try to collect an invoice is the last entry of an index: pages say why it failed."""

from alembic import op

revision = '0007'
down_revision = '0006'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index('ix_payment_attempts_newest', 'payment_attempts', ['invoice_id', 'created'])
    op.drop_index('ix_payment_attempts_invoice_id', table_name='payment_attempts')
    # Until now `processing` meant that the gateway is being called, which is `submitting` from here on.
    op.execute("UPDATE payment_attempts SET status = 'submitting' WHERE status = 'processing' AND settled_at IS NULL")


def downgrade() -> None:
    op.execute("UPDATE payment_attempts SET status = 'processing' WHERE status = 'submitting' AND settled_at IS NULL")
    op.create_index('ix_payment_attempts_invoice_id', 'payment_attempts', ['invoice_id'])
    op.drop_index('ix_payment_attempts_newest', table_name='payment_attempts')
