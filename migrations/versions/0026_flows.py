"""A portal session may be for one thing only."""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("portal_sessions", sa.Column("flow", sa.JSON()))
    op.add_column("portal_sessions", sa.Column("flow_completed_at", sa.BigInteger()))


def downgrade() -> None:
    op.drop_column("portal_sessions", "flow_completed_at")
    op.drop_column("portal_sessions", "flow")
