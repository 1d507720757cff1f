"""What the pages of lists share: the filters, and the ways to the pages before and behind this one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from flask import abort, request
from sqlalchemy import Row

from portal_site.billing.catalog.lists import Page, Place
from portal_site.billing.errors import NotFound
from portal_site.dashboard.navigation import account_url

LONGEST_TEXT = 100
STATES = ("active", "archived", "all")


@dataclass(frozen=True)
class Filters:
    """What a list is asked for: rows in a state, and with a text. `values` are its parameters."""

    state: str
    text: str

    @property
    def active(self) -> bool | None:
        """As the catalogue's lists take it: None for all rows."""
        return None if self.state == "all" else self.state == "active"

    @property
    def values(self) -> dict[str, str]:
        """The parameters of an address with these filters."""
        return {"state": self.state, **({"q": self.text} if self.text else {})}


@dataclass(frozen=True)
class Listing:
    """A page of a list with the URLs of its neighbours, which are empty where there are none."""

    rows: Sequence[Row[Any]]
    newer: str
    older: str


def filters() -> Filters:
    """The filters of this request."""
    state = request.args.get("state", "")
    return Filters(state if state in STATES else STATES[0], request.args.get("q", "").strip()[:LONGEST_TEXT])


def listing(fetch: Callable[[Place], Page], view: str, **values: str) -> Listing:
    """The page of a list that this request asks for. 404 for a place that is none."""
    before = request.args.get("before") or None
    place = Place(after=None if before else request.args.get("after") or None, before=before)
    try:
        found = fetch(place)
    except NotFound:
        abort(404)
    has_newer = found.has_more if place.before else place.after is not None
    has_older = found.has_more if not place.before else True
    rows = found.rows
    return Listing(
        rows,
        account_url(view, **values, before=rows[0].id) if rows and has_newer else "",
        account_url(view, **values, after=rows[-1].id) if rows and has_older else "",
    )
