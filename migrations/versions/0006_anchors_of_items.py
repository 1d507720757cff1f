"""An item whose periods have left the days of its subscription's anchor is counted from one of its own."""

import sqlalchemy as sa
from alembic import op

revision = '0006'
down_revision = '0005'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('subscription_items', sa.Column('billing_cycle_anchor', sa.BigInteger()))


def downgrade() -> None:
    op.drop_column('subscription_items', 'billing_cycle_anchor')
