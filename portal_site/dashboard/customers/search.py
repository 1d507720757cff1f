"""The list of customers, newest first, and the search as one types.

A search finds by id, by the number of an invoice, by what the e-mail address begins with, and by what the words of name and
phone begin with. Each way is an index from which a bounded number of rows is read, so that a search takes as long among a
million customers as among a thousand. Of what more customers have in common, the newest with exactly that word are found first.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

from sqlalchemy import Connection, Row, func, or_, select, tuple_, union_all

from portal_site.billing.models import Customer, CustomerTerm, Invoice, Subscription
from portal_site.db.collation import LAST, in_bytes
from portal_site.db.page_query import literal_limit
from portal_site.db.transactions import reading
from portal_site.web.input.forms import clean

SHOWN = 25
LOOKED_AT = 500  # rows of each way
COMMON = 2_000  # rows that are looked at for customers who have several common words
LONGEST, MOST_WORDS = 200, 4
FIELDS = ("name", "phone")
Query = Any  # a select, whose columns do not matter to its type
Place = tuple[int, str]  # `created` and the id of a customer


@dataclass(frozen=True)
class Listed:
    """A row of the list."""

    id: str
    name: str | None
    email: str | None
    created: int


@dataclass(frozen=True)
class Found:
    """A page of the list. `next_page` is the place behind it, if there is more; `is_cut` if a search has not looked at all."""

    customers: Sequence[Listed]
    next_page: str | None
    is_cut: bool = False


@dataclass(frozen=True)
class Ways:
    """The customers of one account in one mode."""

    account_id: str
    livemode: bool

    def of(self, table: Any) -> tuple[Any, ...]:
        """The conditions for a table's rows to be theirs."""
        return table.account_id == self.account_id, table.livemode == self.livemode

    def listed(self) -> Query:
        """The columns of the list, of customers who are there."""
        columns = Customer.id, Customer.name, Customer.email, Customer.created
        return select(*columns).where(*self.of(Customer), Customer.deleted_at.is_(None))

    def rows_at(self, reader: Connection, places: Iterable[Place]) -> list[Any]:
        """The customers at these places who are there, in no order.

        They are read by their ids alone: with the account beside these, SQLite would read all its customers.
        """
        columns = Customer.account_id, Customer.id, Customer.name, Customer.email, Customer.created
        query = select(*columns).where(
            Customer.id.in_([name for _created, name in places]), Customer.deleted_at.is_(None)
        )
        rows = reader.execute(query.execution_options(unscoped="they were found in the account"))
        return [row for row in rows if row.account_id == self.account_id]

    def newest(self, before: Place | None) -> Query:
        """A page of all, and one row more."""
        behind = [tuple_(Customer.created, Customer.id) < tuple_(*before)] if before else []
        query = self.listed().where(*behind).order_by(Customer.created.desc(), Customer.id.desc())
        return query.limit(literal_limit(SHOWN + 1))

    def by_word(self, word: str) -> Query:
        """The places of customers with a word that begins so in name or phone: at first the newest with exactly this word."""
        return union_all(
            *(
                part
                for field in FIELDS
                for spelling in spellings(word)
                for part in (self._exactly(field, spelling), self._longer(field, spelling))
            )
        )

    def _terms(self, field: str) -> Query:
        places = select(CustomerTerm.created, CustomerTerm.customer_id.label("id"))
        return places.where(*self.of(CustomerTerm), CustomerTerm.field == field).limit(literal_limit(LOOKED_AT))

    def _exactly(self, field: str, term: str) -> Query:
        newest = CustomerTerm.created.desc(), CustomerTerm.customer_id.desc()
        return _alone(self._terms(field).where(CustomerTerm.term == term).order_by(*newest))

    def _longer(self, field: str, term: str) -> Query:
        order = CustomerTerm.term, CustomerTerm.created, CustomerTerm.customer_id
        longer = CustomerTerm.term > term, CustomerTerm.term < term + LAST
        return _alone(self._terms(field).where(*longer).order_by(*order))

    def by_email(self, begin: str) -> Query:
        """The places of customers whose address begins so."""
        key = in_bytes(func.lower(Customer.email))
        query = select(Customer.created, Customer.id).where(*self.of(Customer), key >= begin, key < begin + LAST)
        return query.order_by(key, Customer.created, Customer.id).limit(literal_limit(LOOKED_AT))

    def by_subscription(self, name: str) -> Query:
        """The place of the customer with this subscription."""
        query = select(Customer.created, Customer.id).join(Subscription, Subscription.customer_id == Customer.id)
        return query.where(*self.of(Subscription), Subscription.id == name, *self.of(Customer))

    def by_number(self, number: str) -> Query:
        """The place of the customer with an invoice of this number, which begins with what those of the customer begin with."""
        spelled = {number, number.upper()}
        return (
            select(Customer.created, Customer.id)
            .join(Invoice, Invoice.customer_id == Customer.id)
            .where(*self.of(Customer), Customer.invoice_prefix.in_([each.rpartition("-")[0] for each in spelled]))
            .where(*self.of(Invoice), Invoice.number.in_(spelled))
        )

    def having(self, word: str, ids: Sequence[str]) -> Query:
        """The ids of those of these customers who have a word, too, that begins so."""
        mine = CustomerTerm.customer_id.in_(ids), CustomerTerm.field.in_(FIELDS)
        return select(CustomerTerm.customer_id).where(*mine, self._begins(word))

    @staticmethod
    def _begins(word: str) -> Any:
        return or_(*((CustomerTerm.term >= each) & (CustomerTerm.term < each + LAST) for each in spellings(word)))

    def with_words(self, places: Any, words: Iterable[str]) -> Query:
        """Those of these places whose customers have words, too, that begin so."""
        return select(places.c.created, places.c.id).where(*(self._has(places.c.id, word) for word in words))

    def _has(self, customer_id: Any, word: str) -> Any:
        mine = CustomerTerm.customer_id == customer_id
        return select(CustomerTerm.term).where(mine, CustomerTerm.field.in_(FIELDS), self._begins(word)).exists()

    def common(self, word: str) -> Any:
        """The places of many customers with this word, the newest first, for what else they have."""
        parts = []
        for spelling in spellings(word):
            query = select(CustomerTerm.created, CustomerTerm.customer_id.label("id"))
            named = CustomerTerm.field == "name", CustomerTerm.term == spelling
            newest = CustomerTerm.created.desc(), CustomerTerm.customer_id.desc()
            query = query.where(*self.of(CustomerTerm), *named).order_by(*newest)
            parts.append(_alone(query.limit(literal_limit(COMMON))))
        return union_all(*parts).subquery()


def _alone(query: Query) -> Query:
    """A select with an order and a limit of its own, as a part of a union."""
    rows = query.subquery()
    return select(rows.c.created, rows.c.id)


def spellings(word: str) -> list[str]:
    """How a word may be stored: in lower case, of which SQLite knows the letters of ASCII only."""
    ways = (word.lower(), _ascii_lower(word), _ascii_lower(word.capitalize()), _ascii_lower(word.upper()))
    return list(dict.fromkeys(ways))


def _ascii_lower(text: str) -> str:
    return "".join(sign.lower() if sign.isascii() else sign for sign in text)


def normal(query: str) -> str:
    """A query as it is searched for: on one line, and not too long."""
    return " ".join(clean(query[: 10 * LONGEST]).split())[:LONGEST].strip()


def find(account_id: str, livemode: bool, query: str, before: Place | None) -> Found:
    """A page of the customers whom a normal query finds; of all, if it is empty."""
    ways = Ways(account_id, livemode)
    with reading() as reader:
        if not query:
            return _page(reader.execute(ways.newest(before)).all())
        places, is_cut = _places(reader, ways, query)
        wanted = sorted((place for place in places if before is None or place < before), reverse=True)
        rows: list[Row[Any]] = []
        for start in range(0, len(wanted), 2 * SHOWN):  # some may be deleted
            rows += ways.rows_at(reader, wanted[start : start + 2 * SHOWN])
            if len(rows) > SHOWN:
                break
    rows.sort(key=lambda row: (row.created, row.id), reverse=True)
    return _page(rows[: SHOWN + 1], is_cut)


def _page(rows: Sequence[Row[Any]], is_cut: bool = False) -> Found:
    listed = [Listed(row.id, row.name, row.email, row.created) for row in rows[:SHOWN]]
    following = f"{listed[-1].created}-{listed[-1].id}" if len(rows) > SHOWN else None
    return Found(listed, following, is_cut)


def _places(reader: Connection, ways: Ways, query: str) -> tuple[set[Place], bool]:
    places: set[Place] = set()
    is_cut = False
    if " " not in query:
        by_email = _all(reader, ways.by_email(_ascii_lower(query)))
        is_cut = len(by_email) >= LOOKED_AT
        named = select(Customer.created, Customer.id).where(*ways.of(Customer), Customer.id == query)
        places |= by_email | _all(reader, named) | _all(reader, ways.by_subscription(query))
        if "-" in query:
            places |= _all(reader, ways.by_number(query))
    number = "".join(sign for sign in query if sign not in " ()-./")
    if number != query and number.removeprefix("+").isdecimal():  # a phone number as one writes it
        places |= _all(reader, ways.by_word(number))
    by_words, are_cut = _of_words(reader, ways, query.split(" ")[:MOST_WORDS])
    return places | by_words, is_cut or are_cut


def _of_words(reader: Connection, ways: Ways, words: Sequence[str]) -> tuple[set[Place], bool]:
    """The places of customers with all these words."""
    found = {word: _all(reader, ways.by_word(word)) for word in dict.fromkeys(words)}
    rare = [places for places in found.values() if len(places) < LOOKED_AT]
    common = [word for word, places in found.items() if len(places) >= LOOKED_AT]
    if not rare:
        if len(common) == 1:
            return found[common[0]], True
        several = _all(reader, ways.with_words(ways.common(common[0]), common[1:]))
        places = reduce(set.intersection, found.values()) | several
        return places, True
    places = reduce(set.intersection, rare)
    if not common or not places:
        return places, False
    some = select(Customer.created, Customer.id).where(
        *ways.of(Customer), Customer.id.in_([name for _, name in places])
    )
    return _all(reader, ways.with_words(some.subquery(), common)), False


def _all(reader: Connection, query: Any) -> set[Place]:
    return {(row.created, row.id) for row in reader.execute(query)}


def read_place(text: str | None) -> Place | None:
    """The place that a page begins behind. Raises ValueError for what is none."""
    if not text:
        return None
    created, _, name = text.partition("-")
    if not (created.isascii() and created.isdigit() and len(created) < 13 and name.isascii() and name.isprintable()):
        raise ValueError("not a place in the list")
    return int(created), name
