"""The order in which invoices are collected: the oldest first, but no account's behind all those of another.

A provider takes only so many calls a second for one account. So what is due is collected of several accounts side by side, and
one with very many due invoices keeps neither those of the others nor the worker waiting.
"""

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Select

from portal_site.billing.billing_run import due_pages
from portal_site.billing.billing_run.due_pages import DuePages
from portal_site.billing.models import Invoice

LARGE = 32  # waiting invoices of an account from which on its further ones are read apart


@dataclass
class CollectionOrder:
    """Due invoices, in the order in which they are to be collected. `query` is on account id, customer id and invoice id.

    In memory are a page or two of all accounts together, and a page of each whose invoices are read apart.
    """

    query: Select[str, str, str]
    _together: DuePages = field(init=False)
    _apart: dict[str, DuePages] = field(default_factory=dict)
    _read: dict[str, deque[tuple[str, str]]] = field(default_factory=dict)  # by account, the first read first

    def __post_init__(self) -> None:
        self._together = DuePages(self.query, Invoice.next_payment_attempt, Invoice.id)

    def take(self, most: int, under_way: Mapping[str, int]) -> list[tuple[str, str]]:
        """The next invoices as (customer id, invoice id): each of the account of which the fewest payments are under way.

        `under_way` is how many are, by account id. None are left when the list is empty.
        """
        counts, taken = Counter(under_way), list[tuple[str, str]]()
        while len(taken) < most:
            self._read_on()
            if not self._read:
                break
            account = min(self._read, key=lambda one: counts[one])
            counts[account] += 1
            taken.append(self._read[account].popleft())
            if not self._read[account]:
                del self._read[account]
        return taken

    def _read_on(self) -> None:
        for account, of_account in self._apart.items():
            if account not in self._read:
                self._add(of_account.read(Invoice.account_id == account))
        while not self._together.ended and self._count_together() < due_pages.PAGE:
            others = (Invoice.account_id.not_in(list(self._apart)),) if self._apart else ()
            self._add(self._together.read(*others))
            for account, waiting in self._read.items():
                if len(waiting) >= LARGE and account not in self._apart:
                    self._apart[account] = replace(self._together)

    def _count_together(self) -> int:
        return sum(len(waiting) for account, waiting in self._read.items() if account not in self._apart)

    def _add(self, rows: list[tuple[Any, ...]]) -> None:
        for account, customer_id, invoice_id in rows:
            self._read.setdefault(account, deque()).append((customer_id, invoice_id))
