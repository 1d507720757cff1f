"""Plan changes, pending lines, promotion codes, renewals, and test clocks."""

import time

import sqlalchemy as sa
from alembic import op

revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None

JSON = sa.JSON(none_as_null=True)
EMPTY = sa.text("'[]'")
RENEWING = "('active', 'trialing', 'past_due')"


def partial(condition):
    return {'sqlite_where': sa.text(condition), 'postgresql_where': sa.text(condition)}


def upgrade() -> None:
    new_tables()
    op.add_column('accounts', sa.Column('dunning', JSON, nullable=False, server_default=sa.text("'{}'")))
    op.add_column('customers', sa.Column('test_clock_id', sa.String(), nullable=True))
    op.create_index('ix_customers_test_clock_id', 'customers', ['test_clock_id'])
    op.add_column('discounts', sa.Column('promotion_code_id', sa.String(), nullable=True))
    op.create_index(
        'uq_discounts_customer_id_promotion_code_id', 'discounts', ['customer_id', 'promotion_code_id'], unique=True
    )
    op.add_column('invoices', sa.Column('cycle_at', sa.BigInteger(), nullable=True))
    op.create_index('uq_invoices_subscription_id_cycle_at', 'invoices', ['subscription_id', 'cycle_at'], unique=True)
    op.create_index(
        'ix_invoices_to_collect', 'invoices', ['next_payment_attempt', 'id'], **partial('next_payment_attempt IS NOT NULL')
    )
    op.add_column('payment_attempts', sa.Column('automatic', sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column('payment_attempts', sa.Column('checked_at', sa.BigInteger(), nullable=True))
    op.add_column('subscription_items', sa.Column('tax_rates', JSON, nullable=False, server_default=EMPTY))
    subscriptions()
    lines()


def new_tables() -> None:
    op.create_table('test_clocks',
    sa.Column('id', sa.String(), nullable=False),
    sa.Column('account_id', sa.String(), nullable=False),
    sa.Column('created', sa.BigInteger(), nullable=False),
    sa.Column('name', sa.String(), nullable=True),
    sa.Column('frozen_time', sa.BigInteger(), nullable=False),
    sa.Column('status', sa.String(), nullable=False),
    sa.Column('target_frozen_time', sa.BigInteger(), nullable=True),
    sa.Column('livemode', sa.Boolean(), server_default=sa.false(), nullable=False),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name='fk_test_clocks_account_id'),
    sa.PrimaryKeyConstraint('id', name='pk_test_clocks')
    )
    op.create_index('ix_test_clocks_account_id', 'test_clocks', ['account_id'])
    op.create_table('workers',
    sa.Column('id', sa.String(), nullable=False),
    sa.Column('started_at', sa.BigInteger(), nullable=False),
    sa.Column('seen_at', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('id', name='pk_workers')
    )
    op.create_table('promotion_codes',
    sa.Column('id', sa.String(), nullable=False),
    sa.Column('account_id', sa.String(), nullable=False),
    sa.Column('coupon_id', sa.String(), nullable=False),
    sa.Column('created', sa.BigInteger(), nullable=False),
    sa.Column('code', sa.String(), nullable=False),
    sa.Column('code_key', sa.String(), nullable=False),
    sa.Column('active', sa.Boolean(), nullable=False),
    sa.Column('customer_id', sa.String(), nullable=True),
    sa.Column('expires_at', sa.BigInteger(), nullable=True),
    sa.Column('max_redemptions', sa.BigInteger(), nullable=True),
    sa.Column('times_redeemed', sa.BigInteger(), nullable=False),
    sa.Column('first_time_transaction', sa.Boolean(), nullable=False),
    sa.Column('minimum_amount', sa.BigInteger(), nullable=True),
    sa.Column('minimum_amount_currency', sa.String(), nullable=True),
    sa.Column('livemode', sa.Boolean(), server_default=sa.false(), nullable=False),
    sa.Column('metadata', JSON, nullable=False),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name='fk_promotion_codes_account_id'),
    sa.ForeignKeyConstraint(['customer_id'], ['customers.id'], name='fk_promotion_codes_customer_id'),
    sa.ForeignKeyConstraint(
        ['account_id', 'coupon_id'], ['coupons.account_id', 'coupons.id'], name='fk_promotion_codes_account_id_coupon_id'
    ),
    sa.PrimaryKeyConstraint('id', name='pk_promotion_codes')
    )
    op.create_index('ix_promotion_codes_account_id_code_key', 'promotion_codes', ['account_id', 'code_key'])
    op.create_table('promotion_code_tries',
    sa.Column('id', sa.String(), nullable=False),
    sa.Column('account_id', sa.String(), nullable=False),
    sa.Column('customer_id', sa.String(), nullable=False),
    sa.Column('created', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name='fk_promotion_code_tries_account_id'),
    sa.ForeignKeyConstraint(['customer_id'], ['customers.id'], name='fk_promotion_code_tries_customer_id'),
    sa.PrimaryKeyConstraint('id', name='pk_promotion_code_tries')
    )
    op.create_index('ix_promotion_code_tries_customer_id_created', 'promotion_code_tries', ['customer_id', 'created'])
    op.create_table('plan_changes',
    sa.Column('id', sa.String(), nullable=False),
    sa.Column('account_id', sa.String(), nullable=False),
    sa.Column('customer_id', sa.String(), nullable=False),
    sa.Column('subscription_id', sa.String(), nullable=False),
    sa.Column('created', sa.BigInteger(), nullable=False),
    sa.Column('quote_key', sa.String(), nullable=False),
    sa.Column('outcome', sa.String(), nullable=False),
    sa.Column('invoice_id', sa.String(), nullable=True),
    sa.Column('livemode', sa.Boolean(), server_default=sa.false(), nullable=False),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name='fk_plan_changes_account_id'),
    sa.ForeignKeyConstraint(['customer_id'], ['customers.id'], name='fk_plan_changes_customer_id'),
    sa.ForeignKeyConstraint(['subscription_id'], ['subscriptions.id'], name='fk_plan_changes_subscription_id'),
    sa.ForeignKeyConstraint(['invoice_id'], ['invoices.id'], name='fk_plan_changes_invoice_id'),
    sa.PrimaryKeyConstraint('id', name='pk_plan_changes'),
    sa.UniqueConstraint('quote_key', name='uq_plan_changes_quote_key')
    )
    op.create_index('ix_plan_changes_subscription_id', 'plan_changes', ['subscription_id'])
    op.create_index('ix_plan_changes_invoice_id', 'plan_changes', ['invoice_id'])


def subscriptions() -> None:
    op.add_column('subscriptions', sa.Column('default_tax_rates', JSON, nullable=False, server_default=EMPTY))
    op.add_column('subscriptions', sa.Column('due_at', sa.BigInteger(), nullable=True))
    op.add_column('subscriptions', sa.Column('billing_failures', sa.BigInteger(), nullable=False, server_default='0'))
    op.add_column('subscriptions', sa.Column('billing_error', sa.Text(), nullable=True))
    # What ended before today was billed elsewhere or not at all: nobody is charged for it by an upgrade.
    op.execute(sa.text(
        'UPDATE subscriptions SET due_at = (SELECT min(i.current_period_end) FROM subscription_items i'
        ' WHERE i.subscription_id = subscriptions.id AND i.current_period_end > :now)'
        f' WHERE status IN {RENEWING} AND pause_collection IS NULL'
    ).bindparams(now=int(time.time())))
    op.create_index('ix_subscriptions_due', 'subscriptions', ['due_at', 'id'], **partial('due_at IS NOT NULL'))


def lines() -> None:
    with op.batch_alter_table('invoice_line_items') as batch:
        batch.add_column(sa.Column('customer_id', sa.String(), nullable=True))
        batch.add_column(sa.Column('total', sa.BigInteger(), nullable=True))
        batch.add_column(sa.Column('product_name', sa.Text(), nullable=True))
        batch.add_column(sa.Column('unit_label', sa.String(), nullable=True))
        batch.add_column(sa.Column('share_left', sa.BigInteger(), nullable=True))
        batch.add_column(sa.Column('share_whole', sa.BigInteger(), nullable=True))
        batch.add_column(sa.Column('share_amount', sa.BigInteger(), nullable=True))
        batch.add_column(sa.Column('credited_line_id', sa.String(), nullable=True))
        batch.add_column(sa.Column('pending_since', sa.BigInteger(), nullable=True))
    op.execute(
        'UPDATE invoice_line_items SET total = amount,'
        ' customer_id = (SELECT customer_id FROM invoices WHERE invoices.id = invoice_line_items.invoice_id)'
    )
    with op.batch_alter_table('invoice_line_items') as batch:
        batch.alter_column('invoice_id', existing_type=sa.String(), nullable=True)
        batch.alter_column('customer_id', existing_type=sa.String(), nullable=False)
        batch.alter_column('total', existing_type=sa.BigInteger(), nullable=False)
        batch.create_foreign_key('fk_invoice_line_items_customer_id', 'customers', ['customer_id'], ['id'])
    op.create_index('uq_invoice_line_items_credited_line_id', 'invoice_line_items', ['credited_line_id'], unique=True)
    op.create_index(
        'ix_invoice_line_items_subscription_id_period_end', 'invoice_line_items', ['subscription_id', 'period_end']
    )
    op.create_index(
        'ix_invoice_line_items_pending', 'invoice_line_items', ['subscription_id'], **partial('invoice_id IS NULL')
    )


def downgrade() -> None:
    for name in ('pending', 'subscription_id_period_end'):
        op.drop_index(f'ix_invoice_line_items_{name}', 'invoice_line_items')
    op.drop_index('uq_invoice_line_items_credited_line_id', 'invoice_line_items')
    op.execute('DELETE FROM invoice_line_items WHERE invoice_id IS NULL')
    with op.batch_alter_table('invoice_line_items') as batch:
        batch.drop_constraint('fk_invoice_line_items_customer_id', type_='foreignkey')
        batch.alter_column('invoice_id', existing_type=sa.String(), nullable=False)
        for name in ('customer_id', 'total', 'product_name', 'unit_label', 'share_left', 'share_whole', 'share_amount',
                     'credited_line_id', 'pending_since'):
            batch.drop_column(name)
    op.drop_index('ix_subscriptions_due', 'subscriptions')
    for name in ('default_tax_rates', 'due_at', 'billing_failures', 'billing_error'):
        op.drop_column('subscriptions', name)
    op.drop_column('subscription_items', 'tax_rates')
    op.drop_column('payment_attempts', 'checked_at')
    op.drop_column('payment_attempts', 'automatic')
    op.drop_index('ix_invoices_to_collect', 'invoices')
    op.drop_index('uq_invoices_subscription_id_cycle_at', 'invoices')
    op.drop_column('invoices', 'cycle_at')
    op.drop_index('uq_discounts_customer_id_promotion_code_id', 'discounts')
    op.drop_column('discounts', 'promotion_code_id')
    op.drop_index('ix_customers_test_clock_id', 'customers')
    op.drop_column('customers', 'test_clock_id')
    op.drop_column('accounts', 'dunning')
    for table in ('promotion_code_tries', 'plan_changes', 'promotion_codes', 'workers', 'test_clocks'):
        op.drop_table(table)
