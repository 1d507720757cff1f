"""The history of the settings of portal configurations and accounts, and a count of their changes."""

import sqlalchemy as sa
from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None


TABLES = ("portal_configurations", "accounts")


def upgrade() -> None:
    for table in TABLES:
        op.add_column(table, sa.Column("version", sa.BigInteger(), nullable=False, server_default="1"))
    op.create_table(
        "settings_versions",
        sa.Column("account_id", sa.String(), sa.ForeignKey("accounts.id"), primary_key=True),
        sa.Column("subject_id", sa.String(), primary_key=True),
        sa.Column("version", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("actor_type", sa.String()),
        sa.Column("actor_id", sa.String()),
        sa.Column("settings", sa.JSON(), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("settings_versions")
    for table in TABLES:
        op.drop_column(table, "version")
