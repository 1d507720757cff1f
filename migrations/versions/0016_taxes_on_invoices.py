"""Invoices keep why they have no tax, and the merchant's own tax ids."""

import sqlalchemy as sa
from alembic import op

revision = '0016'
down_revision = '0015'
branch_labels = None
depends_on = None


def upgrade() -> None:
    own = sa.Column('tax_ids', sa.JSON(none_as_null=True), nullable=False, server_default=sa.text("'[]'"))
    op.add_column('accounts', own)
    op.add_column('invoices', sa.Column('account_tax_ids', sa.JSON(none_as_null=True)))
    op.add_column('invoices', sa.Column('customer_tax_exempt', sa.String()))


def downgrade() -> None:
    op.drop_column('invoices', 'customer_tax_exempt')
    op.drop_column('invoices', 'account_tax_ids')
    op.drop_column('accounts', 'tax_ids')
