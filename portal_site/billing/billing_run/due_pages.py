"""Rows that are due, read in pages by instant and id, so that what fails delays nothing and no more is in memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, tuple_
from sqlalchemy.orm import InstrumentedAttribute

from portal_site.billing.billing_run.renewal_batch import UNSCOPED
from portal_site.db.transactions import reading

PAGE = 200  # rows


@dataclass
class DuePages:
    """Pages of a query's rows, after the last row that was read. `moment` and `name` are what its rows are sorted by."""

    query: Select[*tuple[Any, ...]]
    moment: InstrumentedAttribute[Any]
    name: InstrumentedAttribute[str]
    after: tuple[int, str] = (0, "")
    ended: bool = False

    def read(self, *conditions: ColumnElement[bool]) -> list[tuple[Any, ...]]:
        """The columns of the next page's rows; none after the last one."""
        if self.ended:
            return []
        paged = self.query.add_columns(self.moment, self.name).order_by(self.moment, self.name).limit(PAGE)
        later = self.moment >= self.after[0], tuple_(self.moment, self.name) > self.after
        with reading() as reader:
            page = [
                tuple(row) for row in reader.execute(paged.where(*later, *conditions).execution_options(**UNSCOPED))
            ]
        self.ended = len(page) < PAGE
        if page:
            self.after = page[-1][-2:]
        return [row[:-2] for row in page]

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        while not self.ended:
            yield from self.read()
