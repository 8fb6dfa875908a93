"""Checking rows: one line names the first bad one, counts by complaint tell the rest."""

from __future__ import annotations

from collections import Counter
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from spane_rllib.core.errors import UserError
from spane_rllib.datasets.vm_traces.trace import Column

LARGEST = float(2**53)
"""Whole numbers beyond it are not exact in float64."""

Mask = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.int64]


class RowProblems:
    """Complaints about rows of one file.

    Args:
        place: the file, for messages.
        unit: what a row is called: "row" for lines of text (1-based, header included), "column" for arrays.
        skip: whether bad rows are dropped and counted instead of being an error.
    """

    def __init__(self, place: str, unit: str = "row", skip: bool = False) -> None:
        self.counts: Counter[str] = Counter()
        self._place, self._unit, self._skip = place, unit, skip
        self._first: tuple[int, str] | None = None

    def add(self, row: int, complaint: str, value: object = None, count: int = 1) -> None:
        """Note that `row` (and `count - 1` later ones) earn `complaint`; `value` is shown when not None."""
        self.counts[complaint] += count
        if self._first is None or row < self._first[0]:
            shown = "" if value is None else f", got {shorten(value)}"
            self._first = (int(row), f"{complaint}{shown}")

    def mark(self, bad: Mask, rows: Rows, complaint: str, values: Any = None) -> Mask:
        """Note every row where `bad` holds; returns the mask of the good ones."""
        if bad.any():
            index = int(np.argmax(bad))
            value = None if values is None else values[index]
            self.add(int(rows[index]), complaint, value, count=int(bad.sum()))
        return ~bad

    def finish(self) -> dict[str, int]:
        """Raise for the first bad row, or return the counts by complaint when bad rows are skipped."""
        if self._first is not None and not self._skip:
            self._fail(*self._first)
        return dict(self.counts)

    def _fail(self, row: int, complaint: str) -> NoReturn:
        others = sum(self.counts.values()) - 1
        more = f" ({others:,} more invalid)" if others else ""
        place = f"{self._place}, {self._unit} {row}"
        raise UserError(f"{place}: {complaint}{more}; mend the file or ask for invalid rows to be skipped")


def shorten(value: object, limit: int = 40) -> str:
    """How a value is shown in a message: numbers plainly, text quoted, long text cut."""
    if isinstance(value, int | float | np.number):
        return f"{value:.12g}"
    text = repr(str(value))
    return text if len(text) <= limit else text[:limit] + "..."


def valid_numbers(numbers: dict[str, Column], rows: Rows, problems: RowProblems) -> Mask:
    """Check each value by itself; returns the mask of rows where all are in order."""
    good = np.ones(len(rows), dtype=bool)

    def check(name: str, wrong: Mask, complaint: str) -> None:
        nonlocal good
        good &= problems.mark(good & wrong, rows, f"{name} must be {complaint}", numbers[name])

    for name, values in numbers.items():
        check(name, ~np.isfinite(values), "finite")
        check(name, np.abs(values) > LARGEST, "at most 2^53")
        if name in ("cpu", "mem", "lt"):
            check(name, values <= 0, "more than 0")
        elif name in ("at", "time"):
            check(name, values < 0, "at least 0")
        elif name == "type":
            check(name, (values != 0) & (values != 1), "0 (create) or 1 (delete)")
    return good


def in_order(times: Column) -> Mask:
    """Where a time is not before any earlier one."""
    return times >= np.maximum.accumulate(times) if len(times) else np.ones(0, dtype=bool)
