"""The import of an export: read into an index, then stored in batches of whole customers, each in a transaction of its own.

A batch is visible when it is whole. An import that was stopped is run again, and goes on: what is stored is as in the files.
"""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from portal_site.billing.importing import currencies, references
from portal_site.billing.importing.currencies import Currencies
from portal_site.billing.importing.foreseen import Foreseeing, ForeseenBill
from portal_site.billing.importing.known import Known
from portal_site.billing.importing.objects import ImportedObject
from portal_site.billing.importing.reading import sources
from portal_site.billing.importing.reading.ahead import COLLECT_AFTER, Ahead
from portal_site.billing.importing.reading.building import Batch, Builder
from portal_site.billing.importing.reading.index import OF_THE_ACCOUNT, Entry, Index
from portal_site.billing.importing.reading.json_records import Page
from portal_site.billing.importing.reading.sources import Overview
from portal_site.billing.importing.report import ImportReport, Result
from portal_site.billing.importing.schemas.catalog_schemas import AccountShape
from portal_site.billing.importing.writing import (
    accounts,
    credit_notes,
    discounts,
    merging,
    pending_items,
    printed,
    providers,
    renewals,
    schedules,
    twins,
    writer,
)
from portal_site.billing.importing.writing.accounts import DefaultConfigurations
from portal_site.db.transactions import reading, transaction

READ_FIRST = ("account", "tax_id", "tax_rate")  # of tax ids, those without a customer: the account's own
HISTORY = ("invoice", "credit_note")  # what a customer may have very many of, in the order of their references
Advance = Callable[[int, int], None]
BATCH = 500  # objects in a transaction, or one customer's if it has more
LARGEST = (
    5000  # objects of a customer in a transaction; the rest of its history follows, so that memory and locks stay small
)


@dataclass(frozen=True, slots=True)
class Options:
    """How to import. `strict` takes all or nothing, in one transaction. `dry_run` only reports.

    With `renew` the subscriptions are billed here from the end of their current period on, apart from those that cannot be.
    `live_gateways` are the payment providers here that can charge in live mode. With `gateway` the payment methods are those of
    that provider, from whose account everything comes; `foresee` gets to know the bills that `renew` would write, in a dry run.
    """

    strict: bool = False
    dry_run: bool = False
    renew: bool = False
    live_gateways: frozenset[str] = frozenset()
    gateway: str | None = None
    foresee: Callable[[ForeseenBill], None] | None = None


def import_objects(
    source: Path | bytes,
    at: int,
    account_id: str | None = None,
    advance: Advance = lambda done, total: None,
    options: Options = Options(),
) -> ImportReport:
    """Import API objects from a file, a folder or a JSON text into an account. Raises ImportRefused.

    Without `account_id` the account in the files is used, else the only existing account; if there is none, one is created.
    What cannot be taken is left out by object, and reported. `advance` is called with the number of objects done and their total.
    """
    report = ImportReport(dry_run=options.dry_run)
    with Index() as index, _without_collector():
        overview = sources.read(source, index)
        report.unknown_objects = overview.other_types.total()
        _report_lists(index, overview, report)
        with _Store(options) as store:
            _Import(index, overview, report, store, at, advance).run(account_id)
            if options.strict:
                report.refuse_if_anything_is_left_out()
    return report


@contextmanager
def _without_collector() -> Iterator[None]:
    """Without Python's search for cycles after so many new objects, which takes a fifth of an import's time and finds few.

    `_Import.run` searches now and then instead.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _report_lists(index: Index, overview: Overview, report: ImportReport) -> None:
    for kind, name, times in index.repeated():
        sentence = f"{kind} {name} is in the file {times} times."
        report.find(Result.REPEATED, kind, name, "in the files more than once: the last one counts", sentence)
    for page in overview.cut_short:
        report.find(Result.CUT_SHORT, *_rest_of(page))


def _rest_of(page: Page) -> tuple[str, str, str, str]:
    """What a list that goes on is reported as: type, id, cause and sentence with the command that gets the rest."""
    kind = sources.singular(page.group or (page.url or "").rpartition("/")[2] or "list")
    path = page.url or f"/v1/{kind}s"
    command = f"stripe get {path} --limit 100 --starting-after {page.last_id}"
    sentence = f"The list of {kind} objects goes on after {page.last_id}: `{command}` gets the next ones."
    return kind, page.last_id or "", "a list that goes on", sentence


class _Store:
    """Opens the transactions: one for each batch, one for all if `strict`, and none in a dry run, which only reads."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self._whole: Any = transaction() if options.strict and not options.dry_run else None
        self._session: Session | None = None

    def __enter__(self) -> "_Store":
        self._session = self._whole.__enter__() if self._whole else None
        return self

    def __exit__(self, *error: Any) -> None:
        if self._whole:
            self._whole.__exit__(*error)

    @contextmanager
    def batch(self) -> Iterator[Any]:
        """A session to write with, or a connection to read with."""
        if self._session is not None:
            yield self._session
        elif self.options.dry_run:
            with reading() as connection:
                yield connection
        else:
            with transaction() as session:
                yield session


@dataclass
class _Import:
    index: Index
    overview: Overview
    report: ImportReport
    store: _Store
    at: int
    advance: Advance
    done: int = 0
    account_id: str = ""
    modes: set[bool] = field(default_factory=set)

    def run(self, account_id: str | None) -> None:
        total = self.index.count()
        self._open_account(account_id)
        self.known = Known(self.account_id, keep=self.store.options.dry_run)
        self.builder = Builder(self.index, self.account_id)
        self.resolver = references.Resolver(self.known, Currencies(self.known, self._price), self.report)
        self.configurations = DefaultConfigurations(self.account_id, self.at)
        self.foreseeing = Foreseeing(self.at) if self.store.options.foresee else None
        self._take_tax_rates()
        with Ahead(self.builder, self.index, self.account_id) as ahead:
            for number, (entries, goes_on, batch) in enumerate(ahead.build(self._batches()), 1):
                if number % COLLECT_AFTER == 0:
                    gc.collect(1)
                if not goes_on:
                    self.known.begin()
                self._take(entries, batch)
                self.done += len(entries)
                self.advance(self.done, total)
        with self.store.batch() as session:
            if not self.store.options.dry_run:
                self.configurations.ensure(session, self.modes)

    def _open_account(self, account_id: str | None) -> None:
        entries = list(chain.from_iterable(self.index.of_kind(kind) for kind in READ_FIRST))
        self.done += len(entries)
        builder = Builder(self.index, "")
        found = self._complete(builder, builder.build(entries))
        self.printed = printed.Printed(found, self.overview.connected)
        with self.store.batch() as session:
            shapes = [one.shape for one in found if isinstance(one.shape, AccountShape)]
            own = [shape for shape in shapes if shape.id not in self.overview.connected]
            stored = accounts.find(session, own, account_id)
            rows = [] if stored else [accounts.new(own[0] if own else None, self.overview.account_name, self.at)]
            self.account_id = stored or rows[0].id
            for row in rows:
                row.values["tax_ids"] = self.printed.tax_ids(row.id, ())
            rows += accounts.connected(session, found, self.overview.connected, self.account_id, self.at, self.report)
            if not self.store.options.dry_run:
                writer.insert(session, rows)
                if stored:
                    self.printed.complete_account(session, stored)
        self.connected = rows
        self.tax_rates = [one for one in found if one.kind == "tax_rate"]

    def _take_tax_rates(self) -> None:
        """Store the tax rates that can be chosen. They were read when it was not known yet whose they are."""
        for start in range(0, len(self.tax_rates), BATCH):
            some = self.tax_rates[start : start + BATCH]
            for one in some:
                one.rows[0].values["account_id"] = self.account_id
            with self.store.batch() as session:
                self._write(session, some)

    def _batches(self) -> Iterator[tuple[list[Entry], bool]]:
        """The entries in batches: the account's objects by kind, then those of whole customers.

        Each comes with whether it goes on with the customer of the one before, which was too large for one batch.
        """
        for kind in OF_THE_ACCOUNT:
            if kind not in (*READ_FIRST, "billing_portal.configuration"):
                yield from _chunks(self.index.of_kind(kind))
        batch: list[Entry] = []
        for customer in self.index.customers():
            batch += self.index.of_customer(customer)
            if len(batch) > LARGEST:
                batch.sort(key=lambda entry: HISTORY.index(entry.kind) if entry.kind in HISTORY else -1)
                yield batch[:LARGEST], False
                yield from ((some, True) for some, _ in _chunks(iter(batch[LARGEST:])))
                batch = []
            elif len(batch) >= BATCH:
                yield batch, False
                batch = []
        yield batch, False
        yield from _chunks(self.index.of_kind("billing_portal.configuration"))
        # What names no customer although it has to: each is refused by its schema, or belongs to nobody.
        for kind in references.ORDER:
            if kind not in (*OF_THE_ACCOUNT, *READ_FIRST):
                yield from _chunks(self.index.of_kind(kind))

    def _price(self, price_id: str) -> ImportedObject | None:
        entry = self.index.find("price", price_id)
        built = Builder(self.index, self.account_id).build([entry]).objects if entry else []
        return built[0] if built else None

    def _take(self, entries: Sequence[Entry], batch: Batch) -> None:
        """Resolve and store what was built of a batch."""
        built = self._complete(self.builder, batch)
        gateway = self.store.options.gateway
        if gateway is not None:
            providers.name(built, gateway)
        with self.store.batch() as session:
            for row in self.connected:
                self.known.add(row)
            self.known.load(session, [*references.wanted(built), *currencies.wanted(built)])
            objects = self.resolver.resolve(built, self._comes_later(entries))
            invoiced = pending_items.invoiced(objects)
            objects = pending_items.add(objects, self.known, self.account_id, self.report)
            schedules.apply(session, objects, self.account_id, self.known.get, self.report)
            objects = twins.separate(session, objects, self.account_id, self.report)
            discounts.complete(session, objects, self.known)
            self.printed.complete(objects)
            self._write(session, objects)
            if not self.store.options.dry_run:
                pending_items.settle(session, invoiced, self.account_id, self.report)
                credit_notes.delete_void(session, built, self.account_id)
                if gateway is not None:
                    providers.claim(session, objects, self.account_id, gateway, self.at, self.report)

    def _complete(self, builder: Builder, batch: Batch) -> list[ImportedObject]:
        objects = builder.complete(batch)
        self.report.add(batch.remarks)
        return objects

    def _comes_later(self, entries: Sequence[Entry]) -> Callable[[str], bool]:
        """Tells whether an invoice is in a later batch: its customer was too large for one."""
        here = {entry.id for entry in entries if entry.kind == "invoice"}
        return lambda name: len(entries) == LARGEST and name not in here and bool(self.index.holds("invoice", [name]))

    def _write(self, session: Any, objects: list[ImportedObject]) -> None:
        options = self.store.options
        billable = self._billable(objects)
        merged = merging.split(session, objects, self.account_id, self.report)
        new = merged.new
        renewals.note_uncreditable(new, self.at, self.report)
        self._leave_collection(new, {one.id for one in billable} if options.renew else set())
        self.configurations.keep_one(session, [row for one in new for row in one.rows], dry_run=options.dry_run)
        if options.dry_run and options.renew:
            renewals.foresee(billable, self.at, self.report)
        if self.foreseeing is not None and options.foresee is not None:
            for bill in self.foreseeing.bills(session, objects, billable):
                options.foresee(bill)
        if not options.dry_run:
            new = writer.store(session, new, self.report)
            twins.raise_stored_sequences(session, new)
            merging.remember(session, new, self.account_id)
            merging.apply(session, merged, self.account_id)
            renewals.remember(session, objects, self.known, self.account_id)
            if options.renew:
                renewals.renew(session, billable, self.account_id, self.at, self.report)
        writer.count(new, self.report)
        self.modes |= {row.livemode for one in new for row in one.rows[:1] if "livemode" in row.values}

    @staticmethod
    def _leave_collection(objects: Sequence[ImportedObject], renewed: set[str]) -> None:
        """Let the other system collect the open invoices of what it goes on billing."""
        for one in objects:
            if one.kind == "invoice" and one.rows[0].subscription_id not in renewed:
                one.rows[0].values["next_payment_attempt"] = None

    def _billable(self, objects: Sequence[ImportedObject]) -> list[ImportedObject]:
        """The subscriptions that can be billed here; with `renew`, the others are reported."""
        billable = []
        for one in objects:
            if one.kind == "subscription":
                reasons = renewals.check(one, self.known, self.store.options.live_gateways)
                if self.store.options.renew and reasons:
                    renewals.leave(one, reasons, self.report)
                billable += [] if reasons else [one]
        return billable


def _chunks(entries: Iterator[Entry]) -> Iterator[tuple[list[Entry], bool]]:
    batch: list[Entry] = []
    for entry in entries:
        batch.append(entry)
        if len(batch) >= BATCH:
            yield batch, False
            batch = []
    if batch:
        yield batch, False
