"""The bytes that a browser receives for the first load of the overview, and for a fragment."""

import re

from bench import data, visits
from bench.report import Section, judged
from bench.stage import OURS, Stage
from portal_site.portal.reads.invoices import LONG

ENCODINGS = ("br", "gzip")
LINKED = re.compile(r'<(?:link rel="(?:stylesheet|icon)" href|script src|img class="logo"\s+src)="(/[^"]+)"')
KILOBYTE = 1000


def measure(stage: Stage) -> list[Section]:
    """One table with the sizes in both encodings."""
    port, ticket = stage.servers[OURS].port, stage.tickets[OURS][0]
    data.add_history(stage.app, ticket.guest.customer_id, LONG)  # fills a page of the history
    plain = visits.fetch(port, "/", ticket.cookies)[0].decode()
    linked = sorted(set(LINKED.findall(plain)))
    fragments = {"rows of the history": "/invoices/rows", "subscriptions": "/subscriptions/list"}
    fragments |= {"payment methods": "/payment-methods/list", "billing information": "/billing-information/summary"}
    rows = [["requests of the first load", *judged(1 + len(linked), 5, at_most=True)]]
    for encoding in ENCODINGS:

        def size(path: str, encoding: str = encoding) -> float:
            return visits.fetch(port, path, ticket.cookies, encoding)[1] / KILOBYTE

        total = sum(size(path) for path in ("/", *linked))
        largest = max(fragments, key=lambda name: size(fragments[name]))
        most = 30 if encoding == "br" else 40  # what browsers ask for, and what others do
        rows.append([f"first load, {encoding}", *judged(total, most, at_most=True, unit=" KB")])
        rows.append([f"of it HTML, {encoding}", f"{size('/'):.1f} KB", "", ""])
        rows.append(
            [
                f"largest fragment ({largest}), {encoding}",
                *judged(size(fragments[largest]), 10, at_most=True, unit=" KB"),
            ]
        )
    return [Section("Bytes over the wire, headers included", ("what", "figure", "aim", "met"), rows)]
