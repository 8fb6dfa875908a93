"""The measured rows as a table on the terminal, as CSV, and in the documentation."""

from __future__ import annotations

import csv
import os
import platform
from collections.abc import Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path

from benchmarks.measuring import Row, cores
from spane_rllib.core.errors import UserError
from spane_rllib.core.files import replacing, write_text

BEGIN, END = "<!-- begin: python -m benchmarks -->", "<!-- end -->"
COLUMNS = (
    "topic",
    "name",
    "value",
    "unit",
    "target",
    "moonshot",
    "met",
    "times_baseline",
    "repeats",
    "min",
    "max",
)


def number(value: float | None) -> str:
    """Three significant digits, or all before the point; empty for None."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def cells(row: Row) -> tuple[object, ...]:
    """The values of `COLUMNS`."""
    return (
        row.topic,
        row.name,
        row.value,
        row.unit,
        row.target,
        row.moonshot,
        row.met,
        row.times_baseline,
        len(row.samples),
        min(row.samples),
        max(row.samples),
    )


def texts(row: Row) -> list[str]:
    """The same for reading."""
    return [number(cell) if isinstance(cell, float | None) else str(cell) for cell in cells(row)]


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """Write one line per row, with full precision."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(map(cells, rows))


def update_document(path: Path, rows: Sequence[Row], trace: str) -> None:
    """Put date, machine, versions and the table between the markers in `path`."""
    text = path.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise UserError(f"{path}: the lines {BEGIN!r} and {END!r} that enclose the table are missing")
    header = [name.replace("_", " ") for name in COLUMNS]
    lines = [f"| {' | '.join(line)} |" for line in (header, ["---"] * len(header), *map(texts, rows))]
    table = "\n".join(lines)
    write_text(path, f"{before}{BEGIN}\n{environment(trace)}\n\n{table}\n{END}{after}")


def environment(trace: str) -> str:
    """What the figures were measured with."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("ray", "torch", "numba", "numpy"))
    return (
        f"{date.today()}, {_processor()}, {len(cores())} cores, {os.uname().sysname}; "
        f"Python {platform.python_version()}, {versions}; trace: {trace}."
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
