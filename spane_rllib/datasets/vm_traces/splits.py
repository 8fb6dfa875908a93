"""Where episodes start: disjoint ranges of trace rows for training, validation and test."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from spane_rllib.core.errors import UserError
from spane_rllib.datasets.arrays import map_array
from spane_rllib.datasets.catalog import recognise
from spane_rllib.datasets.text import read_text
from spane_rllib.datasets.vm_traces.checks import shorten
from spane_rllib.datasets.vm_traces.trace import VmTrace

Starts = npt.NDArray[np.int64]

SPLIT_NAMES = ("train", "validation", "test")
DEFAULT_FRACTIONS = (0.43, 0.60, 0.945)
"""Ends of train, validation and test as fractions of the trace: the proportions of the SPANE experiments."""


@dataclass(frozen=True)
class Splits:
    """Half-open ranges `(first row, row after the last)` in which episodes of each split start."""

    train: tuple[int, int]
    validation: tuple[int, int]
    test: tuple[int, int]

    def __post_init__(self) -> None:
        for name in SPLIT_NAMES:
            low, high = self.range_of(name)
            if not 0 <= low < high:
                raise UserError(
                    f"split {name} has no rows: [{low}, {high}); use a longer trace or other bounds"
                )

    def range_of(self, name: str) -> tuple[int, int]:
        """The range of the split called `name`."""
        if name not in SPLIT_NAMES:
            raise UserError(f"no split is called {name!r}; known: {', '.join(SPLIT_NAMES)}")
        low, high = getattr(self, name)
        return low, high


def splits_of(trace: VmTrace, fractions: Sequence[float] | None = None) -> Splits:
    """The splits of a trace.

    Args:
        trace: the trace; one whose content the catalog knows has the published ranges.
        fractions: ends of train, validation and test as increasing fractions of the trace's length; None for
            the published ranges or else `DEFAULT_FRACTIONS`.
    """
    known = recognise(trace.sha256) if fractions is None else None
    if known is not None and known.split_bounds is not None:
        a, b, c = known.split_bounds
    else:
        ends = tuple(DEFAULT_FRACTIONS if fractions is None else fractions)
        if len(ends) != 3 or not 0 < ends[0] < ends[1] < ends[2] <= 1:
            raise UserError(f"split fractions must be three increasing numbers in (0, 1], got {ends}")
        a, b, c = (int(len(trace) * end) for end in ends)
    return Splits(train=(0, a), validation=(a, b), test=(b, c))


def sample_starts(splits: Splits, name: str, count: int, seed: int) -> Starts:
    """Draw `count` episode starts of the split `name`, decided by (seed, name) alone.

    They are distinct whenever the range has that many rows.
    """
    low, high = splits.range_of(name)
    if count < 1 or seed < 0:
        raise UserError(f"starts need a count of at least 1 and a seed of at least 0, got {count} and {seed}")
    rng = np.random.default_rng([seed, SPLIT_NAMES.index(name)])
    return low + rng.choice(high - low, size=count, replace=count > high - low).astype(np.int64)


def select_starts(splits: Splits, name: str, episodes: int | Literal["all"], seed: int) -> Starts:
    """`sample_starts`, or for "all" every row of the split `name`, in order."""
    if episodes == "all":
        return np.arange(*splits.range_of(name), dtype=np.int64)
    return sample_starts(splits, name, episodes, seed)


def read_starts(path: str | os.PathLike[str], trace_length: int) -> Starts:
    """Read episode starts: a `.npy` array of whole numbers, or text with one number per line.

    The first line of a text file may be a header. Returns int64, shape (count,).

    Raises:
        UserError: unreadable file, no starts, or one that is no whole number in [0, trace_length).
    """
    file = Path(path)
    starts, rows = _starts_from_npy(file) if file.suffix == ".npy" else _starts_from_text(file)
    if not len(starts):
        raise UserError(f"{file}: no starts; give at least one")
    outside = (starts < 0) | (starts >= trace_length)
    if outside.any():
        at = int(np.argmax(outside))
        raise UserError(f"{file}, row {rows[at]}: start {starts[at]} is outside 0 to {trace_length - 1:,}")
    return starts


def _starts_from_npy(file: Path) -> tuple[Starts, Sequence[int]]:
    array = map_array(file)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise UserError(f"{file}: starts must be a one-dimensional array of whole numbers")
    return array.astype(np.int64), range(len(array))


def _starts_from_text(file: Path) -> tuple[Starts, Sequence[int]]:
    starts: list[int] = []
    rows: list[int] = []
    for row, line in enumerate(read_text(file, in_lines=True).split("\n"), start=1):
        cell = line.strip()
        digits = cell.removeprefix("-")
        if digits.isascii() and digits.isdigit() and len(digits) <= 18:
            starts.append(int(cell))
            rows.append(row)
        elif cell and not (row == 1 and cell.isidentifier()):
            raise UserError(
                f"{file}, row {row}: {shorten(cell)} is no whole number; write one start per line"
            )
    return np.array(starts, dtype=np.int64), rows
