"""One custom domain for each account, and on which host somebody asked for a login code."""

import sqlalchemy as sa
from alembic import op

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "custom_domains",
        sa.Column("account_id", sa.String(), sa.ForeignKey("accounts.id"), primary_key=True),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("token", sa.String(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("verified_at", sa.BigInteger()),
        sa.Column("checked_at", sa.BigInteger()),
        sa.Column("check_due_at", sa.BigInteger()),
        sa.Column("finding", sa.String()),
        sa.Column("route", sa.String()),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        sa.Column("disabled_at", sa.BigInteger()),
    )
    working = sa.text("verified_at IS NOT NULL AND disabled_at IS NULL")
    op.create_index(
        "uq_custom_domains_host", "custom_domains", ["host"], unique=True, sqlite_where=working, postgresql_where=working
    )
    op.create_index("ix_custom_domains_check_due_at", "custom_domains", ["check_due_at"])
    op.add_column("login_requests", sa.Column("host", sa.String()))


def downgrade() -> None:
    op.drop_column("login_requests", "host")
    op.drop_table("custom_domains")
