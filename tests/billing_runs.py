"""What tests of the worker look at."""

from sqlalchemy import func, select

from portal_site.billing.models import (
    Invoice,
)
from portal_site.db import db
from tests import world
from tests.world import reading

LATER = world.END + 60


def count_invoices() -> int:
    db.session.remove()
    with reading() as reader:
        return reader.scalar(select(func.count()).select_from(Invoice)) or 0


DAY = 24 * 60 * 60
