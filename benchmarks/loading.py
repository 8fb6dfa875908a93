"""Reading long traces: how long it takes, and the memory it needs at most."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.measuring import Row, cores, in_child, peak_memory_mb, seconds


def measure(quick: bool) -> list[Row]:
    """A synthetic trace in both forms, on all cores, each time in a process of its own."""
    vms = 100_000 if quick else 10_000_000
    goals = {".csv": (15.0, 1000.0, None), ".npy": (15.0, 1000.0, 3.0)}
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for suffix, (target_s, target_mb, moonshot_s) in goals.items():
            file = Path(folder, f"trace{suffix}")
            in_child(_write, file, vms)
            times, memory = zip(
                *(in_child(_read, file, on=cores()) for _ in range(1 if quick else 3)), strict=True
            )
            name = f"{vms / 1e6:g} million VMs from {suffix}"
            rows += [
                Row("loading", name, "s", times, target_s, moonshot_s),
                Row("loading", f"{name}: peak memory of the process", "MB", memory, target_mb),
            ]
    return rows


def _write(file: Path, vms: int) -> None:
    from spane_rllib.datasets.vm_traces.synthetic import synthesize
    from spane_rllib.datasets.vm_traces.writers import write_trace

    write_trace(synthesize(vms), file)


def _read(file: Path) -> tuple[float, float]:
    from spane_rllib.datasets.vm_traces.readers import read_trace

    (elapsed,) = seconds(lambda: read_trace(file), 1, warm_up=False)
    return elapsed, peak_memory_mb()
