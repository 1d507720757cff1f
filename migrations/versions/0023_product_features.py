"""Products have features, which the page for changing plans lists."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    empty = sa.text("'[]'")
    column = sa.Column("marketing_features", sa.JSON(none_as_null=True), nullable=False, server_default=empty)
    op.add_column("products", column)


def downgrade() -> None:
    op.drop_column("products", "marketing_features")
