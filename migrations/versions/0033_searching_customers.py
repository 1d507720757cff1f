"""Customers are searched by indexes: of their e-mail address, and of the words of their name and phone and their metadata."""

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None
EMAIL = "ix_customers_account_id_lower_email"
# {0} is the customer. What is read are the words of a text, or the entries of its metadata; what is longer than an index row
# has room for is cut off, and looked for in the customers themselves.
INSERT = "INSERT {1} INTO customer_terms (account_id, customer_id, field, term, created, livemode)"
SELECT = "SELECT {0}.account_id, {0}.id, {2}, lower(substr(value, 1, 200)), {0}.created, {0}.livemode FROM {3}"
WORD, ENTRY = "value <> ''", "value IS NOT NULL AND length(key) <= 200"
READ = "name, phone, metadata, account_id, created, livemode"


def _on_sqlite(customer: str) -> list[str]:
    words = f"json_each('[' || replace(json_quote({customer}.{{}}), ' ', '\",\"') || ']')"
    is_object = f"json_valid({customer}.metadata) AND json_type({customer}.metadata) = 'object'"
    entries = f"json_each(CASE WHEN {is_object} THEN {customer}.metadata ELSE '{{}}' END)"
    return _inserts(customer, "OR IGNORE", words, entries, "")


def _on_postgresql(customer: str) -> list[str]:
    words = f"unnest(string_to_array({customer}.{{}}, ' ')) AS value"
    # JSON may hold a NUL, which no text can.
    is_object = f"json_typeof({customer}.metadata) = 'object' AND position('\\u0000' in CAST({customer}.metadata AS text)) = 0"
    entries = f"json_each_text(CASE WHEN {is_object} THEN {customer}.metadata ELSE CAST('{{}}' AS json) END)"
    return _inserts(customer, "", words, entries, " ON CONFLICT DO NOTHING")


def _inserts(customer: str, way: str, words: str, entries: str, end: str) -> list[str]:
    """Statements for a trigger's NEW row, or for all customers."""
    sources = [(f"'{name}'", words.format(name), WORD) for name in ("name", "phone")]
    all_of = "" if customer == "NEW" else f"{customer}, "
    return [
        f"{INSERT} {SELECT} WHERE {kept}{end}".format(customer, way, field, f"{all_of}{source}")
        for field, source, kept in (*sources, ("'metadata.' || key", entries, ENTRY))
    ]


def upgrade() -> None:
    op.drop_index(EMAIL, "customers")
    op.create_index(EMAIL, "customers", ["account_id", sa.text("lower(email)"), "livemode", "created", "id"])
    op.create_table(
        "customer_terms",
        sa.Column("account_id", sa.String(), sa.ForeignKey("accounts.id"), nullable=False),
        sa.Column(
            "customer_id", sa.String(), sa.ForeignKey("customers.id", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("field", sa.String(), primary_key=True),
        sa.Column("term", sa.String(), primary_key=True),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    is_lite = op.get_bind().dialect.name == "sqlite"
    for statement in (*(_sqlite_triggers() if is_lite else _postgresql_triggers()), *_existing(is_lite)):
        op.get_bind().exec_driver_sql(statement)
    op.create_index(
        "ix_customer_terms", "customer_terms",
        ["account_id", "field", "term", "livemode", "created", "customer_id"],
    )  # fmt: skip


def _existing(is_lite: bool) -> list[str]:
    return _on_sqlite("customers") if is_lite else _on_postgresql("customers")


def _sqlite_triggers() -> list[str]:
    inserts = "; ".join(_on_sqlite("NEW"))
    forget = "DELETE FROM customer_terms WHERE customer_id = NEW.id"
    return [
        f"CREATE TRIGGER customer_terms_of_new AFTER INSERT ON customers BEGIN {inserts}; END",
        f"CREATE TRIGGER customer_terms_of_changed AFTER UPDATE OF {READ} ON customers BEGIN {forget}; {inserts}; END",
    ]


def _postgresql_triggers() -> list[str]:
    *words, entries = _on_postgresql("NEW")
    body = (
        "IF TG_OP = 'UPDATE' THEN DELETE FROM customer_terms WHERE customer_id = NEW.id; END IF; "
        f"{'; '.join(words)}; {entries}; RETURN NULL;"
    )
    return [
        f"CREATE FUNCTION write_customer_terms() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$",
        f"CREATE TRIGGER customer_terms AFTER INSERT OR UPDATE OF {READ} ON customers "
        "FOR EACH ROW EXECUTE FUNCTION write_customer_terms()",
    ]


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for name in ("new", "changed"):
            op.execute(f"DROP TRIGGER customer_terms_of_{name}")
    else:
        op.execute("DROP TRIGGER customer_terms ON customers")
        op.execute("DROP FUNCTION write_customer_terms")
    op.drop_table("customer_terms")
    op.drop_index(EMAIL, "customers")
    op.create_index(EMAIL, "customers", ["account_id", sa.text("lower(email)")])
