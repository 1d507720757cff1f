"""Why customers leave: reasons in the merchant's words, and every attempt to cancel."""

import sqlalchemy as sa
from alembic import op

revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Partial, lest a database begin there when it looks for the many without a clock.
    op.drop_index('ix_customers_test_clock_id', 'customers')
    with_clock = sa.text('test_clock_id IS NOT NULL')
    op.create_index(
        'ix_customers_test_clock_id', 'customers', ['test_clock_id'], sqlite_where=with_clock, postgresql_where=with_clock
    )
    op.create_table('feedback_options',
    sa.Column('id', sa.String(), nullable=False),
    sa.Column('account_id', sa.String(), nullable=False),
    sa.Column('created', sa.BigInteger(), nullable=False),
    sa.Column('description', sa.String(), nullable=False),
    sa.Column('status', sa.String(), nullable=False),
    sa.Column('livemode', sa.Boolean(), server_default=sa.false(), nullable=False),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name='fk_feedback_options_account_id'),
    sa.PrimaryKeyConstraint('id', name='pk_feedback_options')
    )
    op.create_index('ix_feedback_options_account_id', 'feedback_options', ['account_id'])
    op.create_table('cancellation_attempts',
    sa.Column('id', sa.String(), nullable=False),
    sa.Column('account_id', sa.String(), nullable=False),
    sa.Column('customer_id', sa.String(), nullable=False),
    sa.Column('subscription_id', sa.String(), nullable=False),
    sa.Column('created', sa.BigInteger(), nullable=False),
    sa.Column('feedback', sa.String(), nullable=True),
    sa.Column('feedback_option_id', sa.String(), nullable=True),
    sa.Column('comment', sa.Text(), nullable=True),
    sa.Column('offer', sa.JSON(none_as_null=True), nullable=True),
    sa.Column('offer_outcome', sa.String(), nullable=True),
    sa.Column('held_out', sa.Boolean(), nullable=False),
    sa.Column('outcome', sa.String(), nullable=True),
    sa.Column('closed_at', sa.BigInteger(), nullable=True),
    sa.Column('livemode', sa.Boolean(), server_default=sa.false(), nullable=False),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name='fk_cancellation_attempts_account_id'),
    sa.ForeignKeyConstraint(['customer_id'], ['customers.id'], name='fk_cancellation_attempts_customer_id'),
    sa.ForeignKeyConstraint(
        ['subscription_id'], ['subscriptions.id'], name='fk_cancellation_attempts_subscription_id'
    ),
    sa.ForeignKeyConstraint(
        ['feedback_option_id'], ['feedback_options.id'], name='fk_cancellation_attempts_feedback_option_id'
    ),
    sa.PrimaryKeyConstraint('id', name='pk_cancellation_attempts')
    )
    op.create_index('ix_cancellation_attempts_subscription_id', 'cancellation_attempts', ['subscription_id'])
    op.create_index(
        'ix_cancellation_attempts_customer_id_created', 'cancellation_attempts', ['customer_id', 'created']
    )


def downgrade() -> None:
    op.drop_index('ix_customers_test_clock_id', 'customers')
    op.create_index('ix_customers_test_clock_id', 'customers', ['test_clock_id'])
    op.drop_table('cancellation_attempts')
    op.drop_table('feedback_options')
