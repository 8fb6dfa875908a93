"""Writing a VM trace; the suffix chooses the form."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np

from spane_rllib.core.errors import UserError
from spane_rllib.core.files import check_file_writable, replacing
from spane_rllib.datasets.vm_traces.trace import Column, VmTrace

SUFFIXES = (".csv", ".csv.gz", ".npy")


def check_output(path: str | os.PathLike[str]) -> None:
    """Raise a `UserError` when `write_trace` could not tell the form from the name, or not write there."""
    if not os.fspath(path).endswith(SUFFIXES):
        raise UserError(f"cannot write {os.fspath(path)}: the name must end in {', '.join(SUFFIXES)}")
    check_file_writable(path)


def write_trace(trace: VmTrace, path: str | os.PathLike[str]) -> None:
    """Write a trace as CSV (lifetime form, optionally gzip) or as a `.npy` array of float64 (4, n).

    Reading the file back gives the same numbers, bit for bit.

    Raises:
        UserError: unknown suffix, a file that cannot be written, or VMs that never end in a CSV file.
    """
    check_output(path)
    if Path(path).suffix == ".npy":
        with replacing(path) as temporary:
            np.save(temporary, np.stack([trace.cpu, trace.memory, trace.arrival, trace.lifetime]))
        return
    if not np.isfinite(trace.lifetime).all():
        raise UserError(
            f"cannot write {os.fspath(path)}: CSV has no form for VMs that never end; write .npy instead"
        )
    text = _csv_text(trace).encode()
    with replacing(path) as temporary:
        # Without the time stamp equal traces give equal files.
        temporary.write_bytes(gzip.compress(text, mtime=0) if Path(path).suffix == ".gz" else text)


def _csv_text(trace: VmTrace) -> str:
    columns = [_shortest(column) for column in (trace.cpu, trace.memory, trace.arrival, trace.lifetime)]
    rows = (f"{vm},{c!r},{m!r},{a!r},{t!r}" for vm, (c, m, a, t) in enumerate(zip(*columns, strict=True)))
    return "\n".join(["vmid,cpu,mem,at,lt", *rows, ""])


def _shortest(column: Column) -> list[float]:
    """As Python numbers whose `repr` reads back the same; integers when all are whole."""
    whole = (column == np.floor(column)).all()
    return column.astype(np.int64).tolist() if whole else column.tolist()
