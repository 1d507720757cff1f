"""Hosts to which a merchant's customers may be sent back; none registered means any."""

import sqlalchemy as sa
from alembic import op

revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None


def upgrade() -> None:
    hosts = sa.Column('return_hosts', sa.JSON(none_as_null=True), nullable=False, server_default=sa.text("'[]'"))
    op.add_column('accounts', hosts)


def downgrade() -> None:
    op.drop_column('accounts', 'return_hosts')
