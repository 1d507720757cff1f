"""The sandbox settles a debit some days after it began."""

import sqlalchemy as sa
from alembic import op

revision = '0008'
down_revision = '0007'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('sandbox_charges', sa.Column('settles_at', sa.BigInteger()))


def downgrade() -> None:
    op.drop_column('sandbox_charges', 'settles_at')
