"""What all benchmarks share: a row of the table, repeated timing, and child processes held on one core.

Nothing heavy is imported here, so that a child process starts with no more than it measures.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Row:
    """One measured quantity.

    Args:
        topic: the benchmark it belongs to, as in `--only`.
        name: what was measured, with its size.
        unit: of all values; "M/s" (millions per second) and "x" (a speed-up) are better when larger, all
            others when smaller.
        samples: one value per repeat.
        target, moonshot: the values to reach, in `unit`.
        baseline: the same quantity of `plain_baseline`, in `unit`.
    """

    topic: str
    name: str
    unit: str
    samples: tuple[float, ...]
    target: float | None = None
    moonshot: float | None = None
    baseline: float | None = None

    @property
    def value(self) -> float:
        """The median of the samples."""
        return statistics.median(self.samples)

    @property
    def met(self) -> str:
        """The highest goal reached: "moonshot", "yes" (the target) or "no"; empty without a target."""
        if self.target is None:
            return ""
        if self.moonshot is not None and self._reaches(self.moonshot):
            return "moonshot"
        return "yes" if self._reaches(self.target) else "no"

    @property
    def times_baseline(self) -> float | None:
        """How many times better than the baseline, if there is one."""
        if self.baseline is None:
            return None
        return self.value / self.baseline if self._more_is_better else self.baseline / self.value

    @property
    def _more_is_better(self) -> bool:
        return self.unit in ("M/s", "x")

    def _reaches(self, goal: float) -> bool:
        return self.value >= goal if self._more_is_better else self.value <= goal


def seconds(call: Callable[[], object], repeats: int, warm_up: bool = True) -> tuple[float, ...]:
    """Wall-clock seconds of each of `repeats` calls, with `warm_up` after one that is not counted."""
    if warm_up:
        call()
    return tuple(_seconds_of(call) for _ in range(repeats))


def _seconds_of(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def cores() -> list[int]:
    """The processor cores this process may use."""
    return sorted(os.sched_getaffinity(0))


def in_child(function: Callable[..., Any], *arguments: Any, on: Iterable[int] | None = None) -> Any:
    """The result of `function(*arguments)` in a new process on one core (default: the first), or several."""
    with ProcessPoolExecutor(1, get_context("spawn"), _hold_on, (set(on or cores()[:1]),)) as pool:
        return pool.submit(function, *arguments).result()


def _hold_on(cores: set[int]) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"  # read by torch when it is imported, hence before it is
    os.sched_setaffinity(0, cores)


def peak_memory_mb() -> float:
    """The largest resident memory of this process so far, MB.

    Not `ru_maxrss`: that also counts what the parent had before this process replaced its image.
    """
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def ray_and_torch_mb() -> float:
    """The memory of this process once Ray and torch are imported, MB.

    Defined here since a child process imports the module of its function: any other would bring numba along.
    """
    import ray.rllib.algorithms.dqn  # noqa: F401
    import torch  # noqa: F401

    return peak_memory_mb()
