"""When a billing run looks at a subscription again, and the instant of what is due, are two columns; a worker says its fault."""

import sqlalchemy as sa
from alembic import op

revision = '0013'
down_revision = '0012'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('subscriptions', sa.Column('overdue_since', sa.BigInteger()))
    op.add_column('workers', sa.Column('fault', sa.Text()))
    # Until now a failure moved the date itself. The renewal that it was the date of is still the end of a period.
    op.execute(
        'UPDATE subscriptions SET overdue_since = (SELECT min(item.current_period_end) FROM subscription_items item'
        ' WHERE item.subscription_id = subscriptions.id)'
        " WHERE billing_failures > 0 AND due_at IS NOT NULL AND status IN ('active', 'trialing', 'past_due')"
    )
    op.execute('UPDATE subscriptions SET overdue_since = NULL WHERE overdue_since >= due_at')


def downgrade() -> None:
    op.drop_column('workers', 'fault')
    op.drop_column('subscriptions', 'overdue_since')
