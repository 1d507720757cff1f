"""Tax rates are stored, coupons can be deleted, and each list of the catalogue has its index."""

import sqlalchemy as sa
from alembic import op

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None
LISTS = ("products", "prices", "coupons", "promotion_codes", "tax_rates")
# Lists of the rows with one value of a column, and whether the rows without one are left out.
BY_COLUMN = (
    ("prices", "lookup_key", True),
    ("promotion_codes", "code_key", False),
    ("promotion_codes", "coupon_id", False),
    ("promotion_codes", "customer_id", True),
)


def upgrade() -> None:
    op.add_column("products", sa.Column("updated", sa.BigInteger()))
    op.add_column("coupons", sa.Column("deleted_at", sa.BigInteger()))
    op.create_table(
        "tax_rates",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("account_id", sa.String(), sa.ForeignKey("accounts.id"), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("display_name", sa.String(), nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("percentage", sa.String(), nullable=False),
        sa.Column("inclusive", sa.Boolean(), nullable=False),
        sa.Column("country", sa.String()),
        sa.Column("state", sa.String()),
        sa.Column("jurisdiction", sa.String()),
        sa.Column("livemode", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("metadata", sa.JSON(), nullable=False),
    )
    for table in LISTS:
        op.create_index(f"ix_{table}_list", table, ["account_id", "livemode", "created", "id"])
    # The new indexes begin with the columns of these, or serve what these did.
    op.drop_index("ix_products_account_id", "products")
    op.drop_index("ix_prices_account_id", "prices")
    op.drop_index("ix_prices_product_id", "prices")
    op.drop_index("ix_promotion_codes_account_id_code_key", "promotion_codes")
    op.create_index("ix_prices_product_id", "prices", ["account_id", "livemode", "product_id", "created", "id"])
    for table, column, is_partial in BY_COLUMN:
        where = sa.text(f"{column} IS NOT NULL") if is_partial else None
        columns = ["account_id", "livemode", column, "created", "id"]
        op.create_index(f"ix_{table}_{column}", table, columns, sqlite_where=where, postgresql_where=where)


def downgrade() -> None:
    for table, column, _ in BY_COLUMN:
        op.drop_index(f"ix_{table}_{column}", table)
    op.drop_index("ix_prices_product_id", "prices")
    op.create_index("ix_promotion_codes_account_id_code_key", "promotion_codes", ["account_id", "code_key"])
    op.create_index("ix_prices_product_id", "prices", ["product_id"])
    op.create_index("ix_prices_account_id", "prices", ["account_id"])
    op.create_index("ix_products_account_id", "products", ["account_id"])
    for table in LISTS:
        op.drop_index(f"ix_{table}_list", table)
    op.drop_table("tax_rates")
    op.drop_column("coupons", "deleted_at")
    op.drop_column("products", "updated")
