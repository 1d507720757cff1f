"""Events and e-mails are found by their customer, and customers by what their address, name or phone begins with."""

import sqlalchemy as sa
from alembic import op

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None
BYTES = "ix_customers_account_id_lower_email_bytes"
TERMS, OF_TERMS = "ix_customer_terms", ["created", "customer_id"]
IS_CUSTOMERS = sa.text("customer_id IS NOT NULL")


def upgrade() -> None:
    op.add_column("events", sa.Column("customer_id", sa.String()))
    op.create_index(
        "ix_events_customer", "events", ["account_id", "customer_id", "sequence"],
        sqlite_where=IS_CUSTOMERS, postgresql_where=IS_CUSTOMERS,
    )  # fmt: skip
    op.create_index("ix_emails_customer", "emails", ["account_id", "customer_id", "created", "id"])
    is_lite = op.get_bind().dialect.name == "sqlite"
    email = sa.text("lower(email)" if is_lite else '(lower(email) COLLATE "C")')
    op.create_index(BYTES, "customers", ["account_id", "livemode", email, "created", "id"])
    op.create_index("ix_customers_invoice_prefix", "customers", ["account_id", "invoice_prefix"])
    op.drop_index(TERMS, "customer_terms")
    _order_terms("C")
    op.create_index(TERMS, "customer_terms", ["account_id", "livemode", "field", "term", *OF_TERMS])


def _order_terms(collation: str) -> None:
    """In the order of their bytes, in which terms that begin alike stand together; SQLite has no other."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f'ALTER TABLE customer_terms ALTER COLUMN term TYPE varchar COLLATE "{collation}"')


def downgrade() -> None:
    op.drop_index(TERMS, "customer_terms")
    _order_terms("default")
    op.create_index(TERMS, "customer_terms", ["account_id", "field", "term", "livemode", *OF_TERMS])
    op.drop_index("ix_customers_invoice_prefix", "customers")
    op.drop_index(BYTES, "customers")
    op.drop_index("ix_emails_customer", "emails")
    op.drop_index("ix_events_customer", "events")
    op.drop_column("events", "customer_id")
