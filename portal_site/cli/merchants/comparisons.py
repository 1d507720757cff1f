"""The results of `portal migrate-billing compare`, as lines for people and as a file that grows with each."""

import csv
import io
import json
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from portal_site import locations
from portal_site.billing.rules.amounts import money
from portal_site.cli.serving import fail
from portal_site.spreadsheets import safe

if TYPE_CHECKING:
    from portal_site.billing.migration.bills import Bill
    from portal_site.billing.migration.comparing import Compared
    from portal_site.billing.migration.comparison import Difference

HEAD = (
    "subscription", "customer", "equal", "currency", "due here", "due at Stripe", "what", "of", "here", "at Stripe", "reason",
    "not billable because",
)  # fmt: skip


class Comparisons(AbstractContextManager["Comparisons"]):
    """Counts the results and writes them to a file. One that `goes_on` keeps what it has of customers up to `after`."""

    def __init__(self, path: Path | None, goes_on: bool) -> None:
        self.count = self.differing = 0
        self.after = ""
        self._file: IO[str] | None = None
        self._is_csv = path is not None and path.suffix == ".csv"
        if path is None:
            return
        if path.suffix not in (".csv", ".jsonl"):
            fail("The name of --output has to end in .csv or .jsonl.")
        if goes_on and path.exists():
            self._keep_whole_customers(path)
        else:
            path.unlink(missing_ok=True)
            locations.make_private_file(path)
        self._file = path.open("a", newline="", encoding="utf-8")
        if self._is_csv and self._file.tell() == 0:
            csv.writer(self._file).writerow(HEAD)

    def __exit__(self, *_error: object) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, one: "Compared") -> None:
        """Count a result, and write it down."""
        self.count += 1
        self.differing += not one.is_equal
        if self._file is None:
            return
        if self._is_csv:
            csv.writer(self._file).writerows(map(safe, row) for row in _rows(one))
        else:
            self._file.write(json.dumps(_document(one)) + "\n")
        self._file.flush()

    def _keep_whole_customers(self, path: Path) -> None:
        """Cut the last customer off, of whom not everything may be there, and count the others."""
        equal: dict[str, bool] = {}
        kept, kept_results = 0, (0, 0)
        before, current, place = "", "", 0
        with path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                read = self._read(line.decode("utf-8"))
                if read is not None and read[1] != current:
                    before, current, kept = current, read[1], place
                    kept_results = len(equal), sum(not one for one in equal.values())
                if read is not None:
                    equal[read[0]] = read[2]
                place += len(line)
        os.truncate(path, kept)
        self.count, self.differing = kept_results
        self.after = before

    def _read(self, line: str) -> tuple[str, str, bool] | None:
        """Subscription, customer and equality of a line; None for the head of a table."""
        if not self._is_csv:
            document = json.loads(line)
            return document["subscription"], document["customer"], document["equal"]
        row = next(csv.reader(io.StringIO(line)))
        return None if row[0] == HEAD[0] else (row[0], row[1], row[2] == "yes")


def lines(one: "Compared") -> Iterator[str]:
    """A result that differs, for people."""
    currency = _currency(one)
    yield f"{one.subscription} ({one.customer}): {_due(one.ours)} here, {_due(one.theirs)} at Stripe"
    for difference in one.differences:
        named = f"{difference.what} {difference.part}".strip()
        here, there = (_amount(value, difference, currency) for value in (difference.ours, difference.theirs))
        yield f"  {named}: {here} here, {there} at Stripe: {difference.reason}"
    for reason in one.unbillable:
        yield f"  cannot be billed here: {reason}"


def _rows(one: "Compared") -> Iterator[tuple[str, ...]]:
    currency, equal = _currency(one), "yes" if one.is_equal else "no"
    start = one.subscription, one.customer, equal, currency.upper(), _plain(one.ours), _plain(one.theirs)
    why = "; ".join(one.unbillable)
    if not one.differences:
        yield (*start, "", "", "", "", "", why)
    for found in one.differences:
        part = " ".join(found.part.split())
        yield (*start, found.what, part, _amount(found.ours, found, currency), _amount(found.theirs, found, currency),
               " ".join(found.reason.split()), why)  # fmt: skip


def _document(one: "Compared") -> dict[str, object]:
    return {
        "subscription": one.subscription, "customer": one.customer, "equal": one.is_equal, "currency": _currency(one),
        "due_here": one.ours.amount_due if one.ours else None, "due_at_stripe": one.theirs.amount_due if one.theirs else None,
        "date_here": one.ours.date if one.ours else None, "date_at_stripe": one.theirs.date if one.theirs else None,
        "differences": [
            {"what": found.what, "of": found.part, "here": found.ours, "at_stripe": found.theirs, "reason": found.reason}
            for found in one.differences
        ],
        "not_billable_because": list(one.unbillable),
    }  # fmt: skip


def _currency(one: "Compared") -> str:
    bill = one.ours or one.theirs
    return bill.currency if bill else ""


def _due(bill: "Bill | None") -> str:
    return f"{_plain(bill)} {bill.currency.upper()}" if bill else "nothing"


def _plain(bill: "Bill | None") -> str:
    return f"{money.major(bill.amount_due, bill.currency)}" if bill else ""


def _amount(value: int | None, difference: "Difference", currency: str) -> str:
    if value is None:
        return "" if difference.what == "currency" else "none"
    return str(value) if difference.what == "date" or not currency else f"{money.major(value, currency)}"
