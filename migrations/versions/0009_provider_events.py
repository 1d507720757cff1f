"""A payment under way is found by its provider's reference, which events name."""

import sqlalchemy as sa
from alembic import op

revision = '0009'
down_revision = '0008'
branch_labels = None
depends_on = None


def upgrade() -> None:
    under_way = sa.text('settled_at IS NULL')
    op.create_index(
        'ix_payment_attempts_reference', 'payment_attempts', ['gateway_reference'],
        sqlite_where=under_way, postgresql_where=under_way,
    )


def downgrade() -> None:
    op.drop_index('ix_payment_attempts_reference', table_name='payment_attempts')
