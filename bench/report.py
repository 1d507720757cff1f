"""Prints tables on the terminal, and writes them as Markdown between two comments of the README."""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

README = Path(__file__).parent / "README.md"
BEGIN, END = "<!-- figures: written by ./bench/run --write -->", "<!-- end of figures -->"


@dataclass(frozen=True)
class Section:
    """A table with a title. The first column is text, the others are figures."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """The table as Markdown."""
        ruler = ["---", *("---:" for _ in self.columns[1:])]
        lines = [self.columns, ruler, *self.rows]
        return "\n".join(["| " + " | ".join(line) + " |" for line in lines])


def judged(figure: float, aim: float, *, at_most: bool = False, unit: str = "") -> list[str]:
    """Three cells: a figure, its aim, and whether the aim is met."""
    met = figure <= aim if at_most else figure >= aim
    shown = f"{figure:,.2f}" if figure < 10 else f"{figure:,.1f}"
    return [f"{shown}{unit}", f"{'≤' if at_most else '≥'} {aim:g}{unit}", "yes" if met else "**no**"]


def show(sections: Iterable[Section]) -> None:
    """Print the sections as tables."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    for section in sections:
        table = Table(title=section.title, title_justify="left", box=box.SIMPLE)
        for index, column in enumerate(section.columns):
            table.add_column(column, justify="right" if index else "left", no_wrap=not index)
        for row in section.rows:
            table.add_row(*(cell.replace("**", "") for cell in row))
        console.print(table)


def write(sections: Iterable[Section]) -> None:
    """Write the sections into the README. Sections that were not measured this time are kept."""
    text = README.read_text()
    before, rest = text.split(BEGIN)
    old, after = rest.split(END)
    kept: dict[str, str] = {}
    for part in old.split("\n### ")[1:]:
        title, _, table = part.partition("\n")
        kept[title] = table.strip()
    kept |= {section.title: section.markdown() for section in sections}
    body = "".join(f"\n### {title}\n\n{table}\n" for title, table in kept.items())
    README.write_text(f"{before}{BEGIN}\n{body}\n{END}{after}")
