"""Subscriptions keep how their trial ends without a payment method."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("subscriptions", sa.Column("trial_settings", sa.JSON(none_as_null=True)))


def downgrade() -> None:
    op.drop_column("subscriptions", "trial_settings")
