"""Rows that are over are found by their time, so that the worker can remove them."""

from alembic import op

revision = '0014'
down_revision = '0013'
branch_labels = None
depends_on = None

INDEXES = (
    ('portal_visits', 'opened_at'),
    ('portal_sessions', 'expires_at'),
    ('promotion_code_tries', 'created'),
    ('setup_intents', 'created'),
)


def upgrade() -> None:
    for table, column in INDEXES:
        op.create_index(f'ix_{table}_{column}', table, [column])


def downgrade() -> None:
    for table, column in INDEXES:
        op.drop_index(f'ix_{table}_{column}', table_name=table)
