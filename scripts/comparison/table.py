"""A table as Markdown, CSV and HTML."""

import dataclasses
import html
import math
from collections.abc import Sequence

from planet_tf.tools.files import csv_text

Cell = str | int | float

UNKNOWN = "–"
"""How a person reads what was not measured."""


@dataclasses.dataclass(frozen=True)
class Table:
    """A table; NaN stands for what was not measured."""

    name: str  # Of its CSV.
    title: str
    columns: tuple[str, ...]
    rows: list[tuple[Cell, ...]]
    note: str
    formats: dict[str, str] = dataclasses.field(default_factory=dict)

    def cells(self) -> list[list[str]]:
        """The rows as a person reads them."""
        return [
            [
                self._cell(column, value)
                for column, value in zip(self.columns, row, strict=True)
            ]
            for row in self.rows
        ]

    def _cell(self, column: str, value: Cell) -> str:
        if isinstance(value, str):
            return value
        if math.isnan(value):
            return UNKNOWN
        return format(value, self.formats.get(column, ",.0f"))

    def markdown(self) -> str:
        """With its title and note."""
        if not self.rows:
            return f"## {self.title}\n\nNothing yet.\n\n{self.note}\n"
        lines = [
            self.columns,
            ["-:" if number else "-" for number in self._is_number()],
            *self.cells(),
        ]
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return f"## {self.title}\n\n{table}\n\n{self.note}\n"

    def csv(self) -> str:
        """Numbers in full; what was not measured is empty."""
        rows = (["" if x != x else x for x in row] for row in self.rows)
        return csv_text([self.columns, *rows])

    def html(self) -> str:
        """With its title and note."""
        kinds = [" class=number" * number for number in self._is_number()]

        def line(tag: str, cells: Sequence[str]) -> str:
            return "<tr>{}</tr>".format(
                "".join(
                    f"<{tag}{kind}>{html.escape(cell)}</{tag}>"
                    for kind, cell in zip(kinds, cells, strict=True)
                )
            )

        title = f"<h2>{html.escape(self.title)}</h2>"
        lines = [line("th", self.columns)]
        lines += [line("td", cells) for cells in self.cells()]
        table = "\n".join(["<div class=wide><table>", *lines, "</table></div>"])
        if not self.rows:
            table = "<p>Nothing yet.</p>"
        note = f"<p class=note>{html.escape(self.note)}</p>"
        return "\n".join([title, table, note])

    def _is_number(self) -> list[bool]:
        """Which columns hold nothing but numbers."""
        return [
            not any(isinstance(row[i], str) for row in self.rows)
            for i in range(len(self.columns))
        ]
