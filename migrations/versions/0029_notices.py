"""E-mails that follow from events and dates: who gets which, and how far they have been written."""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None
IS_OPEN = sa.text("status = 'open'")
EXPIRES = sa.text("detached_at IS NULL AND exp_month IS NOT NULL")


def upgrade() -> None:
    op.add_column("accounts", sa.Column("notices", sa.JSON()))
    op.add_column(
        "accounts", sa.Column("email_link_days", sa.BigInteger(), nullable=False, server_default="28")
    )
    for name in ("billing_contacts", "muted_notices"):
        op.add_column("customers", sa.Column(name, sa.JSON(), nullable=False, server_default="[]"))
    op.add_column("customers", sa.Column("email_links_from", sa.BigInteger()))
    op.add_column(
        "portal_sessions", sa.Column("by_email_link", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.create_table(
        "followed_events",
        sa.Column("reader", sa.String(), primary_key=True),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("claimed_until", sa.BigInteger(), nullable=False),
    )
    # What happened before is not announced now.
    op.execute(
        "INSERT INTO followed_events (reader, sequence, claimed_until)"
        " SELECT 'notices', coalesce(max(last), 0), 0 FROM event_counter"
    )
    op.create_table(
        "followed_dates",
        sa.Column("kind", sa.String(), primary_key=True),
        sa.Column("days", sa.BigInteger(), primary_key=True),
        sa.Column("through", sa.BigInteger(), nullable=False),
        sa.Column("after_id", sa.String(), nullable=False),
    )
    op.create_index(
        "ix_invoices_due", "invoices", ["due_date", "id"], sqlite_where=IS_OPEN, postgresql_where=IS_OPEN
    )
    op.create_index(
        "ix_payment_methods_expiry", "payment_methods", ["exp_year", "exp_month", "id"],
        sqlite_where=EXPIRES, postgresql_where=EXPIRES,
    )  # fmt: skip


def downgrade() -> None:
    op.drop_index("ix_payment_methods_expiry", "payment_methods")
    op.drop_index("ix_invoices_due", "invoices")
    op.drop_table("followed_dates")
    op.drop_table("followed_events")
    op.drop_column("portal_sessions", "by_email_link")
    op.drop_column("customers", "email_links_from")
    for name in ("muted_notices", "billing_contacts"):
        op.drop_column("customers", name)
    for name in ("email_link_days", "notices"):
        op.drop_column("accounts", name)
