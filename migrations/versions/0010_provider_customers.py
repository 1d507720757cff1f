"""A customer has a name of its own at each payment provider, and a setup the provider at which it was begun."""

import sqlalchemy as sa
from alembic import op

revision = '0010'
down_revision = '0009'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        'provider_customers',
        sa.Column('id', sa.String(), nullable=False),
        sa.Column('account_id', sa.String(), nullable=False),
        sa.Column('customer_id', sa.String(), nullable=False),
        sa.Column('livemode', sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column('created', sa.BigInteger(), nullable=False),
        sa.Column('gateway', sa.String(), nullable=False),
        sa.Column('reference', sa.String(), nullable=False),
        sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name=op.f('fk_provider_customers_account_id_accounts')),
        sa.ForeignKeyConstraint(['customer_id'], ['customers.id'], name=op.f('fk_provider_customers_customer_id_customers')),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_provider_customers')),
        sa.UniqueConstraint('customer_id', 'gateway', name=op.f('uq_provider_customers_customer_id_gateway')),
    )
    op.create_table(
        'sandbox_refunds',
        sa.Column('idempotency_key', sa.String(), nullable=False),
        sa.Column('reference', sa.String(), nullable=False),
        sa.Column('charge_reference', sa.String(), nullable=False),
        sa.Column('amount', sa.BigInteger(), nullable=False),
        sa.Column('status', sa.String(), nullable=False),
        sa.PrimaryKeyConstraint('idempotency_key', name=op.f('pk_sandbox_refunds')),
        sa.UniqueConstraint('reference', name=op.f('uq_sandbox_refunds_reference')),
    )
    op.create_index('ix_sandbox_refunds_charge_reference', 'sandbox_refunds', ['charge_reference'])
    op.add_column('setup_intents', sa.Column('gateway', sa.String()))


def downgrade() -> None:
    op.drop_column('setup_intents', 'gateway')
    op.drop_table('sandbox_refunds')
    op.drop_table('provider_customers')
