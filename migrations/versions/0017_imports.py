"""What an import brought: checksums of its objects, labels of payment methods, automatic tax."""

import sqlalchemy as sa
from alembic import op

revision = '0017'
down_revision = '0016'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        'imported_objects',
        sa.Column('account_id', sa.String(), nullable=False),
        sa.Column('kind', sa.String(), nullable=False),
        sa.Column('id', sa.String(), nullable=False),
        sa.Column('checksums', sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name=op.f('fk_imported_objects_account_id_accounts')),
        sa.PrimaryKeyConstraint('account_id', 'kind', 'id', name=op.f('pk_imported_objects')),
    )
    op.add_column('payment_methods', sa.Column('label', sa.Text()))
    op.add_column('subscriptions', sa.Column('automatic_tax', sa.Boolean(), server_default=sa.false(), nullable=False))


def downgrade() -> None:
    op.drop_column('subscriptions', 'automatic_tax')
    op.drop_column('payment_methods', 'label')
    op.drop_table('imported_objects')
