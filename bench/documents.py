"""Time, size and memory of documents: `python -m bench.documents` prints a table.

Each document differs from the others, as invoices do, so that nothing is remembered from the one before.
"""

import resource
import statistics
import time
from typing import Any

from portal_site.demo import northlight
from portal_site.documents import typesetting
from portal_site.documents.typesetting import Picture

LOGO = Picture(typesetting.SVG, northlight.LOGO.encode(), 184, 40)
NAMES = (
    "Hedda Berg",
    "Ελένη Παπαδοπούλου",
    "Общество Лада",
    "شركة النور للتجارة",
    "חברת החשמל",
    "บริษัทไฟฟ้าไทย",
    "विद्युत कंपनी",
)
ROUNDS = 60


def content(at: int, lines: int, name: str = NAMES[0]) -> dict[str, Any]:
    """An invoice of so many lines, unlike any other."""
    total = f"US${at:,}.{at % 100:02}"
    return {
        "title": f"Invoice EDK4FUWM-{at:04}", "seller": "Northlight", "brand": "Northlight", "date": [2026, 11, 1 + at % 30],
        "language": "en", "region": "US", "paper": "us-letter", "accent": "#7c5cff", "plate": "#12131f", "mark": "",
        "foot": f"Northlight · Invoice EDK4FUWM-{at:04}", "page": "Page {page} of {pages}", "amount": total, "settled": True,
        "state": f"Paid on November {1 + at % 30}, 2026 with Visa •••• {at:04}",
        "parties": [
            {"label": "From", "lines": ["Northlight", "218 Congress Street", "Boston, MA 02110", "United States"]},
            {"label": "To", "lines": [f"{name} {at}", "500 Congress Ave", "Austin, TX 78701", "United States"]},
        ],
        "facts": [{"label": "Date", "value": f"November {1 + at % 30}, 2026"}], "before": [], "footer": "Thank you.",
        "after": ["Reverse charge: the recipient accounts for the tax."],
        "columns": ["Description", "Quantity", "Unit price", "Amount"],
        "lines": [
            {"title": f"Team {at}", "detail": "Nov 11, 2026 – Dec 11, 2026", "quantity": f"{line} seats", "unit": "US$12.00",
             "amount": f"US${line * 12 + at:,}.00"}
            for line in range(lines)
        ],
        "sums": [
            {"label": "Subtotal", "note": "", "amount": total, "total": False},
            {"label": "Tax", "note": "VAT 20%", "amount": "US$0.00", "total": False},
            {"label": "Total", "note": "", "amount": total, "total": True},
        ],
    }  # fmt: skip


def _print(at: int, lines: int, name: str) -> tuple[float, float, int]:
    """Milliseconds by the clock and of the processor, and bytes."""
    whole = content(at, lines, name)
    wall, used = time.perf_counter(), time.process_time()
    made = typesetting.render(whole, LOGO, serif=False, country="US", regret="Not all.")
    assert not made.missing
    return (time.perf_counter() - wall) * 1000, (time.process_time() - used) * 1000, len(made.data)


def _memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def _row(label: str, lines: int, rounds: int, names: tuple[str, ...], first: int) -> None:
    figures = [_print(first + at, lines, names[at % len(names)]) for at in range(rounds)]
    wall, used, size = (sorted(column) for column in zip(*figures, strict=True))
    worst = wall[min(len(wall) - 1, round(len(wall) * 0.95))]
    cells = (
        f"{statistics.median(wall):.0f}",
        f"{worst:.0f}",
        f"{statistics.median(used):.0f}",
        f"{max(size) / 1024:.0f}",
        str(_memory()),
    )
    print(f"| {label} | {' | '.join(cells)} |")


def main() -> None:
    """Print the table."""
    print("| document | ms, median | ms, 95 % | CPU ms | KB, largest | process, MB |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    _row("the first of a process", 12, 1, NAMES[:1], 1)
    _row("12 lines", 12, ROUNDS, NAMES[:1], 1000)
    _row("12 lines, names in seven scripts", 12, ROUNDS, NAMES, 2000)
    _row("12 lines, the 500 after these", 12, 500, NAMES, 3000)
    _row("2,000 lines", 2000, 3, NAMES[:1], 9000)


if __name__ == "__main__":
    main()
