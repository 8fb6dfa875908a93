"""Tables on the screen, no wider than it, and the same rows as JSON."""

from __future__ import annotations

import argparse
import json
import math
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

MOST_COLUMNS = 6
_every_column = False


def add_table_options(parser: argparse.ArgumentParser) -> None:
    """Add `--all` and `--json`, which `tables_chosen` reads."""
    group = parser.add_argument_group("table").add_mutually_exclusive_group()
    group.add_argument(
        "--all",
        action="store_true",
        dest="every_column",
        help=f"all columns, on a terminal, too (at most {MOST_COLUMNS} that fit its width)",
    )
    group.add_argument("--json", action="store_true", help="print the rows as JSON instead of a table")


def tables_chosen(arguments: argparse.Namespace) -> bool:
    """Take over what `add_table_options` has parsed; whether JSON is wanted."""
    global _every_column
    _every_column = arguments.every_column
    return bool(arguments.json)


def print_json(rows: Iterable[Mapping[str, Any]] | Mapping[str, Any]) -> None:
    """Print rows as a JSON list of objects, or several such lists by name; what is not finite is null."""

    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {str(key): plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [plain(item) for item in value]
        if hasattr(value, "item"):  # a number of numpy
            value = value.item()
        return None if isinstance(value, float) and not math.isfinite(value) else value

    print(json.dumps(plain(rows if isinstance(rows, Mapping) else list(rows)), indent=2))


def format_table(
    header: Sequence[str], rows: Sequence[Sequence[object]], main: Sequence[str] | None = None
) -> str:
    """A plain text table; numbers are right-aligned and floats get thousands separators.

    All numbers of a column have the same number of decimals: three where all are below 10, else one. On a
    terminal the table is as wide as that at most, unless all columns were asked for.

    Args:
        header: names of the columns.
        rows: their cells.
        main: the columns to keep on a terminal, the most important first; None for the first ones.
    """
    names = list(header)
    columns = [_texts([row[i] for row in rows]) for i in range(len(names))]
    widths = [max(map(len, [name, *cells])) for name, cells in zip(names, columns, strict=True)]
    numeric = [bool(rows) and all(isinstance(row[i], int | float) for row in rows) for i in range(len(names))]
    kept = list(range(len(names)))
    if sys.stdout.isatty() and not _every_column:
        order = [names.index(name) for name in main] if main is not None else kept
        kept = _fitting(order, widths, shutil.get_terminal_size().columns)

    def line(cells: Sequence[str]) -> str:
        parts = [cells[i].rjust(widths[i]) if numeric[i] else cells[i].ljust(widths[i]) for i in kept]
        return "  ".join(parts).rstrip()

    lines = [line(names), line(["-" * width for width in widths])]
    lines += [line([cells[k] for cells in columns]) for k in range(len(rows))]
    if len(kept) < len(names):
        lines.append(f"({len(names) - len(kept)} more columns: --all)")
    return "\n".join(lines)


def _fitting(order: Sequence[int], widths: Sequence[int], width: int) -> list[int]:
    """The first columns of `order` that fit, in the order of the table."""
    kept: list[int] = []
    for column in order[:MOST_COLUMNS]:
        if kept and sum(widths[i] + 2 for i in kept) + widths[column] > width:
            break
        kept.append(column)
    return sorted(kept)


def _texts(values: Sequence[object]) -> list[str]:
    """The cells of a column, floats with one number of decimals."""
    floats = [abs(value) for value in values if isinstance(value, float) and math.isfinite(value)]
    decimals = 3 if max(floats, default=0.0) < 10 else 1
    return [f"{value:,.{decimals}f}" if isinstance(value, float) else str(value) for value in values]
