"""Makes sure that the twin shows what the portal shows: the text of both pages must be the same, blanks aside."""

from html.parser import HTMLParser

from bench import visits
from bench.stage import OURS, TWIN, Stage

CHECKED = 40


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []

    def handle_data(self, data: str) -> None:
        self.words.append("".join(data.split()))


def text(page: bytes) -> str:
    """All text of a page, without blanks: telephone numbers are grouped on one side only."""
    reader = _Text()
    reader.feed(page.decode())
    return "".join(reader.words)


def check(stage: Stage) -> None:
    """Compare some guests' pages. Raises RuntimeError with the first difference."""
    ours, theirs = stage.servers[OURS].port, stage.servers[TWIN].port
    for mine, twins in list(zip(stage.tickets[OURS], stage.tickets[TWIN], strict=True))[:CHECKED]:
        ours_text = text(visits.fetch(ours, "/", mine.cookies)[0])
        twin_text = text(visits.fetch(theirs, "/", twins.cookies)[0])
        if ours_text != twin_text:
            at = next(i for i, (a, b) in enumerate(zip(ours_text + "\0", twin_text + "\0", strict=False)) if a != b)
            found, expected = twin_text[max(0, at - 60) : at + 80], ours_text[max(0, at - 60) : at + 80]
            raise RuntimeError(f"the twin shows {found!r} where the portal shows {expected!r}")
