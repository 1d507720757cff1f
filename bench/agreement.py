"""Checks that the Django twin shows the same text and the same accessible names as the portal, apart from blanks."""

from html.parser import HTMLParser

from bench import visits
from bench.stage import OURS, TWIN, Stage

CHECKED = 40


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.words += ["".join((value or "").split()) for name, value in attrs if name == "aria-label"]

    def handle_data(self, data: str) -> None:
        self.words.append("".join(data.split()))


def text(page: bytes) -> str:
    """The text and accessible names of a page without blanks, because only the portal groups the digits of telephone numbers."""
    reader = _Text()
    reader.feed(page.decode())
    return "".join(reader.words)


def check(stage: Stage) -> None:
    """Compare the pages of some customers. Raises RuntimeError with the first difference of each page that has one."""
    portal_port, twin_port = stage.servers[OURS].port, stage.servers[TWIN].port
    differences: dict[str, str] = {}
    for portal_ticket, twin_ticket in list(zip(stage.tickets[OURS], stage.tickets[TWIN], strict=True))[:CHECKED]:
        ours = text(visits.fetch(portal_port, "/", portal_ticket.cookies)[0])
        twin = text(visits.fetch(twin_port, "/", twin_ticket.cookies)[0])
        if ours != twin:
            at = next(i for i, (a, b) in enumerate(zip(ours + "\0", twin + "\0", strict=False)) if a != b)
            actual, expected = twin[max(0, at - 60) : at + 80], ours[max(0, at - 60) : at + 80]
            differences[twin[at : at + 10]] = f"the twin shows {actual!r} where the portal shows {expected!r}"
    if differences:
        raise RuntimeError("\n".join(differences.values()))
