"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = '0001'
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('accounts',
    sa.Column('id', sa.String(), nullable=False),
    sa.Column('platform_id', sa.String(), nullable=True),
    sa.Column('created', sa.BigInteger(), nullable=False),
    sa.Column('business_name', sa.String(), nullable=False),
    sa.Column('country', sa.String(), nullable=True),
    sa.Column('default_currency', sa.String(), nullable=True),
    sa.Column('timezone', sa.String(), nullable=False),
    sa.Column('support_email', sa.String(), nullable=True),
    sa.Column('support_phone', sa.String(), nullable=True),
    sa.Column('support_url', sa.String(), nullable=True),
    sa.Column('privacy_policy_url', sa.String(), nullable=True),
    sa.Column('terms_of_service_url', sa.String(), nullable=True),
    sa.Column('branding', sa.JSON(none_as_null=True), nullable=False),
    sa.Column('logo_id', sa.String(), nullable=True),
    sa.Column('icon_id', sa.String(), nullable=True),
    sa.ForeignKeyConstraint(['platform_id'], ['accounts.id'], name=op.f('fk_accounts_platform_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_accounts'))
    )
    op.create_table('sandbox_charges',
    sa.Column('idempotency_key', sa.String(), nullable=False),
    sa.Column('reference', sa.String(), nullable=False),
    sa.Column('method_reference', sa.String(), nullable=False),
    sa.Column('amount', sa.BigInteger(), nullable=False),
    sa.Column('currency', sa.String(), nullable=False),
    sa.Column('status', sa.String(), nullable=False),
    sa.Column('decline_code', sa.String(), nullable=True),
    sa.Column('return_url', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('idempotency_key', name=op.f('pk_sandbox_charges')),
    sa.UniqueConstraint('reference', name=op.f('uq_sandbox_charges_reference'))
    )
    op.create_table('sandbox_methods',
    sa.Column('reference', sa.String(), nullable=False),
    sa.Column('type', sa.String(), nullable=False),
    sa.Column('brand', sa.String(), nullable=True),
    sa.Column('last4', sa.String(), nullable=False),
    sa.Column('exp_month', sa.BigInteger(), nullable=True),
    sa.Column('exp_year', sa.BigInteger(), nullable=True),
    sa.Column('country', sa.String(), nullable=False),
    sa.Column('fingerprint', sa.String(), nullable=False),
    sa.Column('on_charge', sa.String(), nullable=False),
    sa.Column('confirmed', sa.Boolean(), nullable=False),
    sa.PrimaryKeyConstraint('reference', name=op.f('pk_sandbox_methods'))
    )
    op.create_table('sandbox_setups',
    sa.Column('reference', sa.String(), nullable=False),
    sa.Column('customer', sa.String(), nullable=False),
    sa.Column('return_url', sa.Text(), nullable=False),
    sa.Column('method_reference', sa.String(), nullable=True),
    sa.PrimaryKeyConstraint('reference', name=op.f('pk_sandbox_setups'))
    )
    op.create_table('brand_assets',
    sa.Column('id', sa.String(), nullable=False),
    sa.Column('account_id', sa.String(), nullable=False),
    sa.Column('created', sa.BigInteger(), nullable=False),
    sa.Column('content_type', sa.String(), nullable=False),
    sa.Column('data', sa.LargeBinary(), nullable=False),
    sa.Column('width', sa.BigInteger(), nullable=False),
    sa.Column('height', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name=op.f('fk_brand_assets_account_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_brand_assets'))
    )
    with op.batch_alter_table('brand_assets', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_brand_assets_account_id'), ['account_id'], unique=False)

    op.create_table('coupons',
    sa.Column('account_id', sa.String(), nullable=False),
    sa.Column('id', sa.String(), nullable=False),
    sa.Column('created', sa.BigInteger(), nullable=False),
    sa.Column('name', sa.String(), nullable=True),
    sa.Column('percent_off', sa.String(), nullable=True),
    sa.Column('amount_off', sa.BigInteger(), nullable=True),
    sa.Column('currency', sa.String(), nullable=True),
    sa.Column('duration', sa.String(), nullable=False),
    sa.Column('duration_in_months', sa.BigInteger(), nullable=True),
    sa.Column('redeem_by', sa.BigInteger(), nullable=True),
    sa.Column('max_redemptions', sa.BigInteger(), nullable=True),
    sa.Column('times_redeemed', sa.BigInteger(), nullable=False),
    sa.Column('valid', sa.Boolean(), nullable=False),
    sa.Column('applies_to_products', sa.JSON(none_as_null=True), nullable=True),
    sa.Column('livemode', sa.Boolean(), server_default=sa.false(), nullable=False),
    sa.Column('metadata', sa.JSON(none_as_null=True), nullable=False),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name=op.f('fk_coupons_account_id')),
    sa.PrimaryKeyConstraint('account_id', 'id', name=op.f('pk_coupons'))
    )
    op.create_table('customers',
    sa.Column('id', sa.String(), nullable=False),
    sa.Column('account_id', sa.String(), nullable=False),
    sa.Column('created', sa.BigInteger(), nullable=False),
    sa.Column('name', sa.Text(), nullable=True),
    sa.Column('email', sa.String(), nullable=True),
    sa.Column('phone', sa.String(), nullable=True),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('address', sa.JSON(none_as_null=True), nullable=True),
    sa.Column('shipping', sa.JSON(none_as_null=True), nullable=True),
    sa.Column('balance', sa.BigInteger(), nullable=False),
    sa.Column('currency', sa.String(), nullable=True),
    sa.Column('delinquent', sa.Boolean(), nullable=False),
    sa.Column('invoice_prefix', sa.String(), nullable=True),
    sa.Column('next_invoice_sequence', sa.BigInteger(), nullable=False),
    sa.Column('default_payment_method_id', sa.String(), nullable=True),
    sa.Column('preferred_locales', sa.JSON(none_as_null=True), nullable=False),
    sa.Column('tax_exempt', sa.String(), nullable=False),
    sa.Column('timezone', sa.String(), nullable=True),
    sa.Column('deleted_at', sa.BigInteger(), nullable=True),
    sa.Column('livemode', sa.Boolean(), server_default=sa.false(), nullable=False),
    sa.Column('metadata', sa.JSON(none_as_null=True), nullable=False),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name=op.f('fk_customers_account_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_customers'))
    )
    with op.batch_alter_table('customers', schema=None) as batch_op:
        batch_op.create_index('ix_customers_account_id_email', ['account_id', 'email'], unique=False)

    op.create_table('events',
    sa.Column('id', sa.String(), nullable=False),
    sa.Column('account_id', sa.String(), nullable=False),
    sa.Column('created', sa.BigInteger(), nullable=False),
    sa.Column('type', sa.String(), nullable=False),
    sa.Column('data', sa.JSON(none_as_null=True), nullable=False),
    sa.Column('livemode', sa.Boolean(), server_default=sa.false(), nullable=False),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name=op.f('fk_events_account_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_events'))
    )
    with op.batch_alter_table('events', schema=None) as batch_op:
        batch_op.create_index('ix_events_account_id_created_id', ['account_id', 'created', 'id'], unique=False)

    op.create_table('portal_configurations',
    sa.Column('id', sa.String(), nullable=False),
    sa.Column('account_id', sa.String(), nullable=False),
    sa.Column('created', sa.BigInteger(), nullable=False),
    sa.Column('updated', sa.BigInteger(), nullable=False),
    sa.Column('active', sa.Boolean(), nullable=False),
    sa.Column('is_default', sa.Boolean(), nullable=False),
    sa.Column('name', sa.String(), nullable=True),
    sa.Column('headline', sa.String(), nullable=True),
    sa.Column('privacy_policy_url', sa.String(), nullable=True),
    sa.Column('terms_of_service_url', sa.String(), nullable=True),
    sa.Column('default_return_url', sa.Text(), nullable=True),
    sa.Column('login_page_enabled', sa.Boolean(), nullable=False),
    sa.Column('features', sa.JSON(none_as_null=True), nullable=False),
    sa.Column('branding', sa.JSON(none_as_null=True), nullable=True),
    sa.Column('livemode', sa.Boolean(), server_default=sa.false(), nullable=False),
    sa.Column('metadata', sa.JSON(none_as_null=True), nullable=False),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name=op.f('fk_portal_configurations_account_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_portal_configurations'))
    )
    with op.batch_alter_table('portal_configurations', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_portal_configurations_account_id'), ['account_id'], unique=False)
        batch_op.create_index('uq_portal_configurations_default', ['account_id', 'livemode'], unique=True, sqlite_where=sa.text('is_default'), postgresql_where=sa.text('is_default'))

    op.create_table('products',
    sa.Column('id', sa.String(), nullable=False),
    sa.Column('account_id', sa.String(), nullable=False),
    sa.Column('created', sa.BigInteger(), nullable=False),
    sa.Column('active', sa.Boolean(), nullable=False),
    sa.Column('name', sa.String(), nullable=False),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('unit_label', sa.String(), nullable=True),
    sa.Column('livemode', sa.Boolean(), server_default=sa.false(), nullable=False),
    sa.Column('metadata', sa.JSON(none_as_null=True), nullable=False),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name=op.f('fk_products_account_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_products'))
    )
    with op.batch_alter_table('products', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_products_account_id'), ['account_id'], unique=False)

    op.create_table('payment_methods',
    sa.Column('id', sa.String(), nullable=False),
    sa.Column('account_id', sa.String(), nullable=False),
    sa.Column('customer_id', sa.String(), nullable=False),
    sa.Column('created', sa.BigInteger(), nullable=False),
    sa.Column('type', sa.String(), nullable=False),
    sa.Column('brand', sa.String(), nullable=True),
    sa.Column('last4', sa.String(), nullable=False),
    sa.Column('exp_month', sa.BigInteger(), nullable=True),
    sa.Column('exp_year', sa.BigInteger(), nullable=True),
    sa.Column('funding', sa.String(), nullable=True),
    sa.Column('country', sa.String(), nullable=True),
    sa.Column('fingerprint', sa.String(), nullable=True),
    sa.Column('gateway', sa.String(), nullable=False),
    sa.Column('gateway_reference', sa.String(), nullable=True),
    sa.Column('detached_at', sa.BigInteger(), nullable=True),
    sa.Column('livemode', sa.Boolean(), server_default=sa.false(), nullable=False),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name=op.f('fk_payment_methods_account_id')),
    sa.ForeignKeyConstraint(['customer_id'], ['customers.id'], name=op.f('fk_payment_methods_customer_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_payment_methods'))
    )
    with op.batch_alter_table('payment_methods', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_payment_methods_customer_id'), ['customer_id'], unique=False)

    op.create_table('portal_sessions',
    sa.Column('id', sa.String(), nullable=False),
    sa.Column('account_id', sa.String(), nullable=False),
    sa.Column('customer_id', sa.String(), nullable=False),
    sa.Column('configuration_id', sa.String(), nullable=False),
    sa.Column('on_behalf_of', sa.String(), nullable=True),
    sa.Column('created', sa.BigInteger(), nullable=False),
    sa.Column('token_hash', sa.String(), nullable=False),
    sa.Column('expires_at', sa.BigInteger(), nullable=False),
    sa.Column('ended_at', sa.BigInteger(), nullable=True),
    sa.Column('return_url', sa.Text(), nullable=True),
    sa.Column('locale', sa.String(), nullable=True),
    sa.Column('livemode', sa.Boolean(), server_default=sa.false(), nullable=False),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name=op.f('fk_portal_sessions_account_id')),
    sa.ForeignKeyConstraint(['configuration_id'], ['portal_configurations.id'], name=op.f('fk_portal_sessions_configuration_id')),
    sa.ForeignKeyConstraint(['customer_id'], ['customers.id'], name=op.f('fk_portal_sessions_customer_id')),
    sa.ForeignKeyConstraint(['on_behalf_of'], ['accounts.id'], name=op.f('fk_portal_sessions_on_behalf_of')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_portal_sessions')),
    sa.UniqueConstraint('token_hash', name=op.f('uq_portal_sessions_token_hash'))
    )
    op.create_table('prices',
    sa.Column('id', sa.String(), nullable=False),
    sa.Column('account_id', sa.String(), nullable=False),
    sa.Column('product_id', sa.String(), nullable=False),
    sa.Column('created', sa.BigInteger(), nullable=False),
    sa.Column('active', sa.Boolean(), nullable=False),
    sa.Column('nickname', sa.String(), nullable=True),
    sa.Column('lookup_key', sa.String(), nullable=True),
    sa.Column('currency', sa.String(), nullable=False),
    sa.Column('type', sa.String(), nullable=False),
    sa.Column('billing_scheme', sa.String(), nullable=False),
    sa.Column('unit_amount', sa.BigInteger(), nullable=True),
    sa.Column('unit_amount_decimal', sa.String(), nullable=True),
    sa.Column('interval', sa.String(), nullable=True),
    sa.Column('interval_count', sa.BigInteger(), nullable=True),
    sa.Column('usage_type', sa.String(), nullable=False),
    sa.Column('trial_period_days', sa.BigInteger(), nullable=True),
    sa.Column('tax_behavior', sa.String(), nullable=False),
    sa.Column('tiers_mode', sa.String(), nullable=True),
    sa.Column('tiers', sa.JSON(none_as_null=True), nullable=True),
    sa.Column('transform_quantity', sa.JSON(none_as_null=True), nullable=True),
    sa.Column('livemode', sa.Boolean(), server_default=sa.false(), nullable=False),
    sa.Column('metadata', sa.JSON(none_as_null=True), nullable=False),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name=op.f('fk_prices_account_id')),
    sa.ForeignKeyConstraint(['product_id'], ['products.id'], name=op.f('fk_prices_product_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_prices'))
    )
    with op.batch_alter_table('prices', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_prices_account_id'), ['account_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_prices_product_id'), ['product_id'], unique=False)

    op.create_table('subscriptions',
    sa.Column('id', sa.String(), nullable=False),
    sa.Column('account_id', sa.String(), nullable=False),
    sa.Column('customer_id', sa.String(), nullable=False),
    sa.Column('on_behalf_of', sa.String(), nullable=True),
    sa.Column('created', sa.BigInteger(), nullable=False),
    sa.Column('status', sa.String(), nullable=False),
    sa.Column('currency', sa.String(), nullable=False),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('collection_method', sa.String(), nullable=False),
    sa.Column('days_until_due', sa.BigInteger(), nullable=True),
    sa.Column('billing_mode', sa.String(), nullable=False),
    sa.Column('start_date', sa.BigInteger(), nullable=False),
    sa.Column('billing_cycle_anchor', sa.BigInteger(), nullable=False),
    sa.Column('trial_start', sa.BigInteger(), nullable=True),
    sa.Column('trial_end', sa.BigInteger(), nullable=True),
    sa.Column('cancel_at', sa.BigInteger(), nullable=True),
    sa.Column('cancel_at_period_end', sa.Boolean(), nullable=False),
    sa.Column('canceled_at', sa.BigInteger(), nullable=True),
    sa.Column('ended_at', sa.BigInteger(), nullable=True),
    sa.Column('cancellation_details', sa.JSON(none_as_null=True), nullable=False),
    sa.Column('pause_collection', sa.JSON(none_as_null=True), nullable=True),
    sa.Column('status_details', sa.JSON(none_as_null=True), nullable=True),
    sa.Column('pending_update', sa.JSON(none_as_null=True), nullable=True),
    sa.Column('default_payment_method_id', sa.String(), nullable=True),
    sa.Column('latest_invoice_id', sa.String(), nullable=True),
    sa.Column('livemode', sa.Boolean(), server_default=sa.false(), nullable=False),
    sa.Column('metadata', sa.JSON(none_as_null=True), nullable=False),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name=op.f('fk_subscriptions_account_id')),
    sa.ForeignKeyConstraint(['customer_id'], ['customers.id'], name=op.f('fk_subscriptions_customer_id')),
    sa.ForeignKeyConstraint(['on_behalf_of'], ['accounts.id'], name=op.f('fk_subscriptions_on_behalf_of')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_subscriptions'))
    )
    with op.batch_alter_table('subscriptions', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_subscriptions_customer_id'), ['customer_id'], unique=False)

    op.create_table('tax_ids',
    sa.Column('id', sa.String(), nullable=False),
    sa.Column('account_id', sa.String(), nullable=False),
    sa.Column('customer_id', sa.String(), nullable=False),
    sa.Column('created', sa.BigInteger(), nullable=False),
    sa.Column('type', sa.String(), nullable=False),
    sa.Column('value', sa.String(), nullable=False),
    sa.Column('country', sa.String(), nullable=True),
    sa.Column('verification_status', sa.String(), nullable=False),
    sa.Column('verified_name', sa.Text(), nullable=True),
    sa.Column('verified_address', sa.Text(), nullable=True),
    sa.Column('livemode', sa.Boolean(), server_default=sa.false(), nullable=False),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name=op.f('fk_tax_ids_account_id')),
    sa.ForeignKeyConstraint(['customer_id'], ['customers.id'], name=op.f('fk_tax_ids_customer_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_tax_ids'))
    )
    with op.batch_alter_table('tax_ids', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_tax_ids_customer_id'), ['customer_id'], unique=False)
        batch_op.create_index('uq_tax_ids_customer_id_type_value', ['customer_id', 'type', 'value'], unique=True)

    op.create_table('invoices',
    sa.Column('id', sa.String(), nullable=False),
    sa.Column('account_id', sa.String(), nullable=False),
    sa.Column('customer_id', sa.String(), nullable=False),
    sa.Column('subscription_id', sa.String(), nullable=True),
    sa.Column('on_behalf_of', sa.String(), nullable=True),
    sa.Column('created', sa.BigInteger(), nullable=False),
    sa.Column('number', sa.String(), nullable=True),
    sa.Column('status', sa.String(), nullable=False),
    sa.Column('billing_reason', sa.String(), nullable=True),
    sa.Column('collection_method', sa.String(), nullable=False),
    sa.Column('currency', sa.String(), nullable=False),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('footer', sa.Text(), nullable=True),
    sa.Column('period_start', sa.BigInteger(), nullable=False),
    sa.Column('period_end', sa.BigInteger(), nullable=False),
    sa.Column('due_date', sa.BigInteger(), nullable=True),
    sa.Column('subtotal', sa.BigInteger(), nullable=False),
    sa.Column('total', sa.BigInteger(), nullable=False),
    sa.Column('total_excluding_tax', sa.BigInteger(), nullable=True),
    sa.Column('amount_due', sa.BigInteger(), nullable=False),
    sa.Column('amount_paid', sa.BigInteger(), nullable=False),
    sa.Column('amount_remaining', sa.BigInteger(), nullable=False),
    sa.Column('starting_balance', sa.BigInteger(), nullable=False),
    sa.Column('ending_balance', sa.BigInteger(), nullable=True),
    sa.Column('total_discount_amounts', sa.JSON(none_as_null=True), nullable=False),
    sa.Column('total_taxes', sa.JSON(none_as_null=True), nullable=False),
    sa.Column('attempt_count', sa.BigInteger(), nullable=False),
    sa.Column('next_payment_attempt', sa.BigInteger(), nullable=True),
    sa.Column('finalized_at', sa.BigInteger(), nullable=True),
    sa.Column('paid_at', sa.BigInteger(), nullable=True),
    sa.Column('voided_at', sa.BigInteger(), nullable=True),
    sa.Column('marked_uncollectible_at', sa.BigInteger(), nullable=True),
    sa.Column('account_name', sa.Text(), nullable=True),
    sa.Column('customer_name', sa.Text(), nullable=True),
    sa.Column('customer_email', sa.String(), nullable=True),
    sa.Column('customer_phone', sa.String(), nullable=True),
    sa.Column('customer_address', sa.JSON(none_as_null=True), nullable=True),
    sa.Column('customer_shipping', sa.JSON(none_as_null=True), nullable=True),
    sa.Column('customer_tax_ids', sa.JSON(none_as_null=True), nullable=False),
    sa.Column('livemode', sa.Boolean(), server_default=sa.false(), nullable=False),
    sa.Column('metadata', sa.JSON(none_as_null=True), nullable=False),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name=op.f('fk_invoices_account_id')),
    sa.ForeignKeyConstraint(['customer_id'], ['customers.id'], name=op.f('fk_invoices_customer_id')),
    sa.ForeignKeyConstraint(['on_behalf_of'], ['accounts.id'], name=op.f('fk_invoices_on_behalf_of')),
    sa.ForeignKeyConstraint(['subscription_id'], ['subscriptions.id'], name=op.f('fk_invoices_subscription_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_invoices'))
    )
    with op.batch_alter_table('invoices', schema=None) as batch_op:
        batch_op.create_index('ix_invoices_history', ['customer_id', 'created', 'id'], unique=False, sqlite_where=sa.text("status <> 'draft'"), postgresql_where=sa.text("status <> 'draft'"))
        batch_op.create_index('ix_invoices_open', ['customer_id', 'created', 'id'], unique=False, sqlite_where=sa.text("status = 'open'"), postgresql_where=sa.text("status = 'open'"))
        batch_op.create_index(batch_op.f('ix_invoices_subscription_id'), ['subscription_id'], unique=False)
        batch_op.create_index('uq_invoices_customer_id_number', ['customer_id', 'number'], unique=True)

    op.create_table('portal_visits',
    sa.Column('id', sa.String(), nullable=False),
    sa.Column('account_id', sa.String(), nullable=False),
    sa.Column('session_id', sa.String(), nullable=False),
    sa.Column('token_hash', sa.String(), nullable=False),
    sa.Column('opened_at', sa.BigInteger(), nullable=False),
    sa.Column('last_seen_at', sa.BigInteger(), nullable=False),
    sa.Column('ended_at', sa.BigInteger(), nullable=True),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name=op.f('fk_portal_visits_account_id')),
    sa.ForeignKeyConstraint(['session_id'], ['portal_sessions.id'], name=op.f('fk_portal_visits_session_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_portal_visits')),
    sa.UniqueConstraint('token_hash', name=op.f('uq_portal_visits_token_hash'))
    )
    with op.batch_alter_table('portal_visits', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_portal_visits_session_id'), ['session_id'], unique=False)

    op.create_table('setup_intents',
    sa.Column('id', sa.String(), nullable=False),
    sa.Column('account_id', sa.String(), nullable=False),
    sa.Column('customer_id', sa.String(), nullable=False),
    sa.Column('created', sa.BigInteger(), nullable=False),
    sa.Column('status', sa.String(), nullable=False),
    sa.Column('gateway_reference', sa.String(), nullable=False),
    sa.Column('payment_method_id', sa.String(), nullable=True),
    sa.Column('livemode', sa.Boolean(), server_default=sa.false(), nullable=False),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name=op.f('fk_setup_intents_account_id')),
    sa.ForeignKeyConstraint(['customer_id'], ['customers.id'], name=op.f('fk_setup_intents_customer_id')),
    sa.ForeignKeyConstraint(['payment_method_id'], ['payment_methods.id'], name=op.f('fk_setup_intents_payment_method_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_setup_intents'))
    )
    op.create_table('subscription_items',
    sa.Column('id', sa.String(), nullable=False),
    sa.Column('account_id', sa.String(), nullable=False),
    sa.Column('subscription_id', sa.String(), nullable=False),
    sa.Column('price_id', sa.String(), nullable=False),
    sa.Column('created', sa.BigInteger(), nullable=False),
    sa.Column('quantity', sa.BigInteger(), nullable=True),
    sa.Column('current_period_start', sa.BigInteger(), nullable=False),
    sa.Column('current_period_end', sa.BigInteger(), nullable=False),
    sa.Column('metadata', sa.JSON(none_as_null=True), nullable=False),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name=op.f('fk_subscription_items_account_id')),
    sa.ForeignKeyConstraint(['price_id'], ['prices.id'], name=op.f('fk_subscription_items_price_id')),
    sa.ForeignKeyConstraint(['subscription_id'], ['subscriptions.id'], name=op.f('fk_subscription_items_subscription_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_subscription_items'))
    )
    with op.batch_alter_table('subscription_items', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_subscription_items_subscription_id'), ['subscription_id'], unique=False)

    op.create_table('subscription_schedules',
    sa.Column('id', sa.String(), nullable=False),
    sa.Column('account_id', sa.String(), nullable=False),
    sa.Column('customer_id', sa.String(), nullable=False),
    sa.Column('subscription_id', sa.String(), nullable=True),
    sa.Column('created', sa.BigInteger(), nullable=False),
    sa.Column('status', sa.String(), nullable=False),
    sa.Column('origin', sa.String(), nullable=False),
    sa.Column('end_behavior', sa.String(), nullable=False),
    sa.Column('released_at', sa.BigInteger(), nullable=True),
    sa.Column('canceled_at', sa.BigInteger(), nullable=True),
    sa.Column('completed_at', sa.BigInteger(), nullable=True),
    sa.Column('livemode', sa.Boolean(), server_default=sa.false(), nullable=False),
    sa.Column('metadata', sa.JSON(none_as_null=True), nullable=False),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name=op.f('fk_subscription_schedules_account_id')),
    sa.ForeignKeyConstraint(['customer_id'], ['customers.id'], name=op.f('fk_subscription_schedules_customer_id')),
    sa.ForeignKeyConstraint(['subscription_id'], ['subscriptions.id'], name=op.f('fk_subscription_schedules_subscription_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_subscription_schedules'))
    )
    with op.batch_alter_table('subscription_schedules', schema=None) as batch_op:
        batch_op.create_index('ix_subscription_schedules_customer_id_status', ['customer_id', 'status'], unique=False)

    op.create_table('customer_balance_transactions',
    sa.Column('id', sa.String(), nullable=False),
    sa.Column('account_id', sa.String(), nullable=False),
    sa.Column('customer_id', sa.String(), nullable=False),
    sa.Column('created', sa.BigInteger(), nullable=False),
    sa.Column('type', sa.String(), nullable=False),
    sa.Column('amount', sa.BigInteger(), nullable=False),
    sa.Column('currency', sa.String(), nullable=False),
    sa.Column('ending_balance', sa.BigInteger(), nullable=False),
    sa.Column('invoice_id', sa.String(), nullable=True),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('livemode', sa.Boolean(), server_default=sa.false(), nullable=False),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name=op.f('fk_customer_balance_transactions_account_id')),
    sa.ForeignKeyConstraint(['customer_id'], ['customers.id'], name=op.f('fk_customer_balance_transactions_customer_id')),
    sa.ForeignKeyConstraint(['invoice_id'], ['invoices.id'], name=op.f('fk_customer_balance_transactions_invoice_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_customer_balance_transactions'))
    )
    with op.batch_alter_table('customer_balance_transactions', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_customer_balance_transactions_customer_id'), ['customer_id'], unique=False)

    op.create_table('discounts',
    sa.Column('id', sa.String(), nullable=False),
    sa.Column('account_id', sa.String(), nullable=False),
    sa.Column('customer_id', sa.String(), nullable=False),
    sa.Column('subscription_id', sa.String(), nullable=True),
    sa.Column('subscription_item_id', sa.String(), nullable=True),
    sa.Column('coupon_id', sa.String(), nullable=False),
    sa.Column('promotion_code', sa.String(), nullable=True),
    sa.Column('start', sa.BigInteger(), nullable=False),
    sa.Column('end', sa.BigInteger(), nullable=True),
    sa.ForeignKeyConstraint(['account_id', 'coupon_id'], ['coupons.account_id', 'coupons.id'], name=op.f('fk_discounts_account_id_coupon_id')),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name=op.f('fk_discounts_account_id')),
    sa.ForeignKeyConstraint(['customer_id'], ['customers.id'], name=op.f('fk_discounts_customer_id')),
    sa.ForeignKeyConstraint(['subscription_id'], ['subscriptions.id'], name=op.f('fk_discounts_subscription_id')),
    sa.ForeignKeyConstraint(['subscription_item_id'], ['subscription_items.id'], name=op.f('fk_discounts_subscription_item_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_discounts'))
    )
    with op.batch_alter_table('discounts', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_discounts_customer_id'), ['customer_id'], unique=False)

    op.create_table('invoice_line_items',
    sa.Column('id', sa.String(), nullable=False),
    sa.Column('account_id', sa.String(), nullable=False),
    sa.Column('invoice_id', sa.String(), nullable=False),
    sa.Column('position', sa.BigInteger(), nullable=False),
    sa.Column('amount', sa.BigInteger(), nullable=False),
    sa.Column('currency', sa.String(), nullable=False),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('quantity', sa.BigInteger(), nullable=True),
    sa.Column('unit_amount_decimal', sa.String(), nullable=True),
    sa.Column('period_start', sa.BigInteger(), nullable=False),
    sa.Column('period_end', sa.BigInteger(), nullable=False),
    sa.Column('proration', sa.Boolean(), nullable=False),
    sa.Column('discountable', sa.Boolean(), nullable=False),
    sa.Column('price_id', sa.String(), nullable=True),
    sa.Column('product_id', sa.String(), nullable=True),
    sa.Column('subscription_id', sa.String(), nullable=True),
    sa.Column('subscription_item_id', sa.String(), nullable=True),
    sa.Column('discount_amounts', sa.JSON(none_as_null=True), nullable=False),
    sa.Column('taxes', sa.JSON(none_as_null=True), nullable=False),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name=op.f('fk_invoice_line_items_account_id')),
    sa.ForeignKeyConstraint(['invoice_id'], ['invoices.id'], name=op.f('fk_invoice_line_items_invoice_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_invoice_line_items'))
    )
    with op.batch_alter_table('invoice_line_items', schema=None) as batch_op:
        batch_op.create_index('uq_invoice_line_items_invoice_id_position', ['invoice_id', 'position'], unique=True)

    op.create_table('payment_attempts',
    sa.Column('id', sa.String(), nullable=False),
    sa.Column('account_id', sa.String(), nullable=False),
    sa.Column('customer_id', sa.String(), nullable=False),
    sa.Column('invoice_id', sa.String(), nullable=False),
    sa.Column('payment_method_id', sa.String(), nullable=False),
    sa.Column('created', sa.BigInteger(), nullable=False),
    sa.Column('amount', sa.BigInteger(), nullable=False),
    sa.Column('currency', sa.String(), nullable=False),
    sa.Column('status', sa.String(), nullable=False),
    sa.Column('idempotency_key', sa.String(), nullable=False),
    sa.Column('gateway_reference', sa.String(), nullable=True),
    sa.Column('decline_code', sa.String(), nullable=True),
    sa.Column('next_action_url', sa.Text(), nullable=True),
    sa.Column('settled_at', sa.BigInteger(), nullable=True),
    sa.Column('livemode', sa.Boolean(), server_default=sa.false(), nullable=False),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name=op.f('fk_payment_attempts_account_id')),
    sa.ForeignKeyConstraint(['customer_id'], ['customers.id'], name=op.f('fk_payment_attempts_customer_id')),
    sa.ForeignKeyConstraint(['invoice_id'], ['invoices.id'], name=op.f('fk_payment_attempts_invoice_id')),
    sa.ForeignKeyConstraint(['payment_method_id'], ['payment_methods.id'], name=op.f('fk_payment_attempts_payment_method_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_payment_attempts')),
    sa.UniqueConstraint('idempotency_key', name=op.f('uq_payment_attempts_idempotency_key'))
    )
    with op.batch_alter_table('payment_attempts', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_payment_attempts_invoice_id'), ['invoice_id'], unique=False)
        batch_op.create_index('uq_payment_attempts_under_way', ['invoice_id'], unique=True, sqlite_where=sa.text('settled_at IS NULL'), postgresql_where=sa.text('settled_at IS NULL'))

    op.create_table('schedule_phases',
    sa.Column('id', sa.String(), nullable=False),
    sa.Column('account_id', sa.String(), nullable=False),
    sa.Column('schedule_id', sa.String(), nullable=False),
    sa.Column('start_date', sa.BigInteger(), nullable=False),
    sa.Column('end_date', sa.BigInteger(), nullable=True),
    sa.Column('proration_behavior', sa.String(), nullable=False),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name=op.f('fk_schedule_phases_account_id')),
    sa.ForeignKeyConstraint(['schedule_id'], ['subscription_schedules.id'], name=op.f('fk_schedule_phases_schedule_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_schedule_phases'))
    )
    with op.batch_alter_table('schedule_phases', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_schedule_phases_schedule_id'), ['schedule_id'], unique=False)

    op.create_table('schedule_phase_items',
    sa.Column('id', sa.String(), nullable=False),
    sa.Column('account_id', sa.String(), nullable=False),
    sa.Column('phase_id', sa.String(), nullable=False),
    sa.Column('price_id', sa.String(), nullable=False),
    sa.Column('quantity', sa.BigInteger(), nullable=True),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name=op.f('fk_schedule_phase_items_account_id')),
    sa.ForeignKeyConstraint(['phase_id'], ['schedule_phases.id'], name=op.f('fk_schedule_phase_items_phase_id')),
    sa.ForeignKeyConstraint(['price_id'], ['prices.id'], name=op.f('fk_schedule_phase_items_price_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_schedule_phase_items'))
    )
    with op.batch_alter_table('schedule_phase_items', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_schedule_phase_items_phase_id'), ['phase_id'], unique=False)



def downgrade() -> None:
    with op.batch_alter_table('schedule_phase_items', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_schedule_phase_items_phase_id'))

    op.drop_table('schedule_phase_items')
    with op.batch_alter_table('schedule_phases', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_schedule_phases_schedule_id'))

    op.drop_table('schedule_phases')
    with op.batch_alter_table('payment_attempts', schema=None) as batch_op:
        batch_op.drop_index('uq_payment_attempts_under_way', sqlite_where=sa.text('settled_at IS NULL'), postgresql_where=sa.text('settled_at IS NULL'))
        batch_op.drop_index(batch_op.f('ix_payment_attempts_invoice_id'))

    op.drop_table('payment_attempts')
    with op.batch_alter_table('invoice_line_items', schema=None) as batch_op:
        batch_op.drop_index('uq_invoice_line_items_invoice_id_position')

    op.drop_table('invoice_line_items')
    with op.batch_alter_table('discounts', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_discounts_customer_id'))

    op.drop_table('discounts')
    with op.batch_alter_table('customer_balance_transactions', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_customer_balance_transactions_customer_id'))

    op.drop_table('customer_balance_transactions')
    with op.batch_alter_table('subscription_schedules', schema=None) as batch_op:
        batch_op.drop_index('ix_subscription_schedules_customer_id_status')

    op.drop_table('subscription_schedules')
    with op.batch_alter_table('subscription_items', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_subscription_items_subscription_id'))

    op.drop_table('subscription_items')
    op.drop_table('setup_intents')
    with op.batch_alter_table('portal_visits', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_portal_visits_session_id'))

    op.drop_table('portal_visits')
    with op.batch_alter_table('invoices', schema=None) as batch_op:
        batch_op.drop_index('uq_invoices_customer_id_number')
        batch_op.drop_index(batch_op.f('ix_invoices_subscription_id'))
        batch_op.drop_index('ix_invoices_open', sqlite_where=sa.text("status = 'open'"), postgresql_where=sa.text("status = 'open'"))
        batch_op.drop_index('ix_invoices_history', sqlite_where=sa.text("status <> 'draft'"), postgresql_where=sa.text("status <> 'draft'"))

    op.drop_table('invoices')
    with op.batch_alter_table('tax_ids', schema=None) as batch_op:
        batch_op.drop_index('uq_tax_ids_customer_id_type_value')
        batch_op.drop_index(batch_op.f('ix_tax_ids_customer_id'))

    op.drop_table('tax_ids')
    with op.batch_alter_table('subscriptions', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_subscriptions_customer_id'))

    op.drop_table('subscriptions')
    with op.batch_alter_table('prices', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_prices_product_id'))
        batch_op.drop_index(batch_op.f('ix_prices_account_id'))

    op.drop_table('prices')
    op.drop_table('portal_sessions')
    with op.batch_alter_table('payment_methods', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_payment_methods_customer_id'))

    op.drop_table('payment_methods')
    with op.batch_alter_table('products', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_products_account_id'))

    op.drop_table('products')
    with op.batch_alter_table('portal_configurations', schema=None) as batch_op:
        batch_op.drop_index('uq_portal_configurations_default', sqlite_where=sa.text('is_default'), postgresql_where=sa.text('is_default'))
        batch_op.drop_index(batch_op.f('ix_portal_configurations_account_id'))

    op.drop_table('portal_configurations')
    with op.batch_alter_table('events', schema=None) as batch_op:
        batch_op.drop_index('ix_events_account_id_created_id')

    op.drop_table('events')
    with op.batch_alter_table('customers', schema=None) as batch_op:
        batch_op.drop_index('ix_customers_account_id_email')

    op.drop_table('customers')
    op.drop_table('coupons')
    with op.batch_alter_table('brand_assets', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_brand_assets_account_id'))

    op.drop_table('brand_assets')
    op.drop_table('sandbox_setups')
    op.drop_table('sandbox_methods')
    op.drop_table('sandbox_charges')
    op.drop_table('accounts')
