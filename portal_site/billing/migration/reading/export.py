"""Reads an account at Stripe into a folder of files, which the importer reads. A reading that was stopped goes on where it was.

Each file has a page of a list in a line. A page is in the file before the state says so, and what the state does not know of is
cut off: so nothing is there twice, and nothing is missing.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from portal_site import locations
from portal_site.billing.errors import BillingError
from portal_site.billing.migration.reading import lists
from portal_site.billing.migration.reading.lists import LISTS, Listing
from portal_site.billing.migration.stripe_api import StripeApi
from portal_site.db.json_columns import JsonObject

STATE = "state.txt"  # not among the files that an import reads
Told = Callable[[str, int], None]


class Export:
    """The folder of one account and mode. `source` says which account at Stripe it is of."""

    def __init__(self, folder: Path, source: str) -> None:
        self.folder = folder
        locations.make_private_folder(folder)
        self._state: JsonObject = {"source": source, "begun": None, "read": False, "lists": {}}
        with suppress(FileNotFoundError, ValueError):
            self._state |= json.loads((folder / STATE).read_text())
        if self._state["source"] != source:
            raise BillingError(
                "%(folder)s has what was read from %(other)s: delete it, or let it be imported first.",
                folder=folder, other=self._state["source"],
            )  # fmt: skip

    @property
    def begun(self) -> int | None:
        """When the reading began, if it did."""
        begun: int | None = self._state["begun"]
        return begun

    @property
    def is_read(self) -> bool:
        """Whether everything has been read."""
        return bool(self._state["read"])

    def clear(self) -> None:
        """Delete what was read: it names customers, and nobody needs it once it is imported."""
        (self.folder / STATE).unlink(missing_ok=True)
        for listing in LISTS:
            self._file(listing).unlink(missing_ok=True)
        self._state |= {"begun": None, "read": False, "lists": {}}

    def read(self, api: StripeApi, at: int, told: Told = lambda name, count: None) -> None:
        """Read what has not been read yet. `told` gets to know the list and how many of it are there. Raises BillingError."""
        if self.begun is None:
            self._state["begun"] = at
        for listing in LISTS:
            where = self._state["lists"].setdefault(
                listing.name, {"bytes": 0, "count": 0, "after": None, "done": False}
            )
            if where["done"]:
                continue
            locations.make_private_file(self._file(listing))
            with self._file(listing).open("r+b") as file:
                file.truncate(where["bytes"])
                file.seek(where["bytes"])
                self._read_list(api, listing, where, file, told)
        self._state["read"] = True
        self._save()

    def _read_list(self, api: StripeApi, listing: Listing, where: JsonObject, file: Any, told: Told) -> None:
        for owner, after in self._starts(listing, where):
            going_on, last = True, after
            while going_on:
                found = lists.page(api, listing, last, owner)
                going_on = bool(found.get("has_more")) and bool(found["data"])
                last = found["data"][-1]["id"] if going_on else None
                if found["data"] or owner is None:
                    file.write(json.dumps(found, separators=(",", ":")).encode() + b"\n")
                where["bytes"], where["count"] = file.tell(), where["count"] + len(found["data"])
                where["after"], where["owner"] = last, owner
                where["done"] = owner is None and not going_on
                self._store(file)
                told(listing.name, where["count"])
        where["done"] = True
        self._store(file)

    def _starts(self, listing: Listing, where: JsonObject) -> Iterator[tuple[str | None, str | None]]:
        """Whose lists are still to be read, each with the object after which to begin."""
        if listing.of_each is None:
            yield None, where["after"]
            return
        owner, after = where.get("owner"), where["after"]
        is_found = owner is None
        for name in self._ids(listing.of_each):
            if is_found:
                yield name, None
            elif name == owner:
                is_found = True
                if after is not None:
                    yield name, after

    def _ids(self, name: str) -> Iterator[str]:
        """The ids of a list that was read."""
        with (self.folder / f"{name}.jsonl").open("rb") as file:
            for line in file:
                yield from (one["id"] for one in json.loads(line)["data"])

    def _file(self, listing: Listing) -> Path:
        return self.folder / f"{listing.name}.jsonl"

    def _store(self, file: Any) -> None:
        file.flush()
        os.fsync(file.fileno())
        self._save()

    def _save(self) -> None:
        """Replace the state at once, so that a kill leaves the old one or the new one."""
        fresh = self.folder / f"{STATE}.new"
        locations.make_private_file(fresh)
        fresh.write_text(json.dumps(self._state))
        fresh.replace(self.folder / STATE)
