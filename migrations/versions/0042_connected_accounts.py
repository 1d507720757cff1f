"""Connected accounts are listed by their platform."""

from alembic import op

revision = "0042"
down_revision = "0041"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_accounts_platform", "accounts", ["platform_id", "id"])


def downgrade() -> None:
    op.drop_index("ix_accounts_platform", "accounts")
