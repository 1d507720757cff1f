"""Login pages, and customers who log in with a code from an e-mail."""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None
UNANSWERED = sa.text("answered_at IS NULL")


def upgrade() -> None:
    op.add_column("portal_configurations", sa.Column("login_page_id", sa.String()))
    op.create_index("uq_portal_configurations_login_page_id", "portal_configurations", ["login_page_id"], unique=True)
    op.add_column("portal_sessions", sa.Column("after_expiration", sa.JSON()))
    op.add_column("portal_sessions", sa.Column("replaces_id", sa.String()))
    op.create_index(
        "ix_portal_sessions_replaces_id", "portal_sessions", ["replaces_id"],
        sqlite_where=sa.text("replaces_id IS NOT NULL"), postgresql_where=sa.text("replaces_id IS NOT NULL"),
    )  # fmt: skip
    op.add_column(
        "portal_sessions", sa.Column("by_login", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.create_index("ix_customers_account_id_lower_email", "customers", ["account_id", sa.text("lower(email)")])
    op.create_table(
        "login_requests",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("account_id", sa.String(), sa.ForeignKey("accounts.id"), nullable=False),
        sa.Column("configuration_id", sa.String(), sa.ForeignKey("portal_configurations.id"), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("session_id", sa.String()),
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("locale", sa.String()),
        sa.Column("browser_hash", sa.String(), nullable=False),
        sa.Column("network_hash", sa.String(), nullable=False),
        sa.Column("answered_at", sa.BigInteger()),
        sa.Column("code_hash", sa.String()),
        sa.Column("tries", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger()),
        sa.Column("livemode", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    op.create_index(
        "ix_login_requests_unanswered", "login_requests", ["created", "id"],
        sqlite_where=UNANSWERED, postgresql_where=UNANSWERED,
    )  # fmt: skip
    op.create_index(
        "ix_login_requests_account_id_email_created", "login_requests", ["account_id", "email", "created"]
    )
    op.create_index("ix_login_requests_created", "login_requests", ["created"])
    op.create_index("ix_login_requests_network_hash_created", "login_requests", ["network_hash", "created"])


def downgrade() -> None:
    op.drop_table("login_requests")
    op.drop_index("ix_customers_account_id_lower_email", "customers")
    op.drop_column("portal_sessions", "by_login")
    op.drop_index("ix_portal_sessions_replaces_id", "portal_sessions")
    op.drop_column("portal_sessions", "replaces_id")
    op.drop_column("portal_sessions", "after_expiration")
    op.drop_index("uq_portal_configurations_login_page_id", "portal_configurations")
    op.drop_column("portal_configurations", "login_page_id")
