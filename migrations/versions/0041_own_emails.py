"""The merchant's own words in e-mails, and the domain that it wants to send them from."""

import sqlalchemy as sa
from alembic import op

revision = "0041"
down_revision = "0040"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("email_texts", "mail_domain"):
        op.add_column("accounts", sa.Column(name, sa.JSON()))


def downgrade() -> None:
    for name in ("mail_domain", "email_texts"):
        op.drop_column("accounts", name)
