"""CSV files whose cells are numbers."""

import csv
import pathlib
from collections.abc import Collection, Sequence


def read(
    path: pathlib.Path,
    needed: Sequence[str],
    numbers: Collection[str] | None = None,
    lists: Collection[str] = (),
) -> list[dict[str, str | float | list[float]]]:
    """Reads a CSV file with a header; empty cells are left out.

    Args:
        path: The file.
        needed: Columns without an empty cell.
        numbers: Columns of numbers, while others are text; None: all are.
        lists: Columns of several numbers, with spaces between them.

    Raises:
        ValueError: It cannot be read, or is damaged; one line that says where.
    """
    rows = []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            for row in reader:
                where = f"{path}, row {reader.line_num}"
                if None in row:
                    raise ValueError(f"{where}: more cells than in the header.")
                row = {k: v for k, v in row.items() if v and v.strip()}
                for name in needed:
                    if name not in row:
                        raise ValueError(f"{where}: no value for {name}.")
                for name in row if numbers is None else numbers:
                    row[name] = _number(row[name], f"{where}, column {name}")
                for name in lists:
                    row[name] = [
                        _number(text, f"{where}, column {name}")
                        for text in row[name].split()
                    ]
                rows.append(row)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is damaged ({error}).") from error
    return rows


def _number(text: str, where: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{where}: {text!r} is not a number.") from None
