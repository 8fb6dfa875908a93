"""How long a process takes from nothing to its first result, without and with compiled code on disk."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

from benchmarks.measuring import Row, in_child, seconds

PROGRAM = """
from benchmarks.clusters import five_server_episodes
from spane_rllib.problems.vm_scheduling.simulator import Heuristic, run_heuristic
workload, cluster, starts, vm_counts = five_server_episodes(1)
run_heuristic(workload, cluster, Heuristic("first-fit"), starts, vm_counts)
"""


def measure(quick: bool) -> list[Row]:
    """One First Fit episode, reading the trace included, on one core."""
    first, second = in_child(_measure, 1 if quick else 3)
    return [
        Row("start_up", "first start (nothing compiled yet): one episode", "s", first),
        Row("start_up", "second start: one episode", "s", second),
    ]


def _measure(repeats: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    first: tuple[float, ...] = ()
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            first += _starts(folder, 1)
            second = _starts(folder, repeats)
    return first, second


def _starts(cache: str, repeats: int) -> tuple[float, ...]:
    environment = os.environ | {"NUMBA_CACHE_DIR": cache}
    command = [sys.executable, "-c", PROGRAM]
    return seconds(lambda: subprocess.run(command, env=environment, check=True), repeats, warm_up=False)
