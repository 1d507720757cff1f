"""Events have a number in the order of their commits, and say who acted.

Stored events are numbered in the order of their time, in transactions of their own, so that no writer waits for all of them. If
this is interrupted, it goes on where it was when it is run again.
"""

import sqlalchemy as sa
from alembic import op

revision = '0011'
down_revision = '0010'
branch_labels = None
depends_on = None

AT_ONCE = 5000
NUMBER = sa.text(
    'UPDATE events SET sequence = stored.place + (SELECT coalesce(max(sequence), 0) FROM events) FROM ('
    'SELECT id, row_number() OVER (ORDER BY created, id) AS place FROM ('
    'SELECT id, created FROM events WHERE sequence IS NULL ORDER BY created, id LIMIT :most) AS oldest'
    ') AS stored WHERE events.id = stored.id'
)
COUNT = sa.text('INSERT INTO event_counter (id, last) SELECT 1, coalesce(max(sequence), 0) FROM events')


def upgrade() -> None:
    if not sa.inspect(op.get_bind()).has_table('event_counter'):
        _change_schema()
    with op.get_context().autocommit_block():
        while op.get_bind().execute(NUMBER, {'most': AT_ONCE}).rowcount:
            pass
    op.execute(COUNT)


def _change_schema() -> None:
    op.create_table(
        'event_counter',
        sa.Column('id', sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column('last', sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_event_counter')),
    )
    op.add_column('events', sa.Column('sequence', sa.BigInteger()))
    op.add_column('events', sa.Column('actor_type', sa.String()))
    op.add_column('events', sa.Column('actor_id', sa.String()))
    given, without = sa.text('sequence IS NOT NULL'), sa.text('sequence IS NULL')
    op.create_index(
        'uq_events_sequence', 'events', ['sequence'], unique=True, sqlite_where=given, postgresql_where=given
    )
    op.create_index('ix_events_account_id_sequence', 'events', ['account_id', 'sequence'])
    op.create_index(
        'ix_events_unnumbered', 'events', ['created', 'id'], sqlite_where=without, postgresql_where=without
    )
    op.drop_index('ix_events_account_id_created_id', table_name='events')


def downgrade() -> None:
    op.create_index('ix_events_account_id_created_id', 'events', ['account_id', 'created', 'id'])
    op.drop_index('ix_events_unnumbered', table_name='events')
    op.drop_index('ix_events_account_id_sequence', table_name='events')
    op.drop_index('uq_events_sequence', table_name='events')
    op.drop_column('events', 'actor_id')
    op.drop_column('events', 'actor_type')
    op.drop_column('events', 'sequence')
    op.drop_table('event_counter')
