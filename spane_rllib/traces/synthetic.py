"""A made-up trace that behaves like Huawei-East-1, for use where the data set is not at hand.

Requests come in bursts: one customer asks for several VMs of one size at the same moment, and they run about
equally long. A burst is of one of the `WORKLOADS` below; their shares, burst sizes and lifetime quantiles are
rounded summary statistics of Huawei-East-1. `docs/traces.md` compares the two traces.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spane_rllib.errors import UserError
from spane_rllib.traces.trace import Column, VmTrace

LIFETIME_LEVELS = (0.0, 0.05, 0.25, 0.50, 0.75, 0.90, 0.95, 0.99, 1.0)
SIZE_LEVELS = (0.0, 0.50, 0.75, 0.90, 0.99, 1.0)


@dataclass(frozen=True)
class Workload:
    """Bursts of one kind.

    Attributes:
        cpu: cores of each VM.
        memory: GiB of each VM.
        bursts: how often, relative to the other workloads.
        lifetimes: seconds at `LIFETIME_LEVELS`: the distribution of a burst's typical lifetime.
        sizes: VMs of a burst at `SIZE_LEVELS`; None for single VMs.
        pause: mean time between the VMs of one burst, seconds.
    """

    cpu: int
    memory: int
    bursts: int
    lifetimes: tuple[float, ...]
    sizes: tuple[float, ...] | None = None
    pause: float = 0.0


# fmt: off
WORKLOADS = (
    Workload(1, 2, 6437, (14, 27, 61, 1400, 4800, 27e3, 100e3, 590e3, 2.2e6)),
    Workload(1, 2, 5821, (26, 500, 3400, 6500, 16e3, 35e3, 55e3, 420e3, 2e6), (2, 5, 10, 20, 30, 46)),
    Workload(1, 1, 18_411, (1, 34, 69, 190, 260, 2300, 7000, 570e3, 2.5e6)),
    Workload(1, 1, 1312, (27, 63, 230, 510, 4300, 260e3, 510e3, 780e3, 1.4e6), (2, 2, 3, 6, 45, 60)),
    Workload(2, 4, 8100, (23, 27, 41, 340, 2600, 12e3, 21e3, 540e3, 2.1e6)),
    Workload(2, 4, 1295, (26, 60, 610, 3800, 8900, 15e3, 16e3, 530e3, 1.2e6), (2, 2, 3, 8, 40, 60)),
    Workload(4, 8, 5637, (25, 27, 31, 61, 1200, 4100, 23e3, 630e3, 2e6)),
    Workload(4, 8, 694, (26, 43, 500, 2200, 6300, 66e3, 250e3, 1e6, 1.7e6), (2, 3, 4, 16, 20, 40)),
    Workload(1, 4, 2971, (9, 26, 29, 59, 500, 1800, 2500, 8400, 2.3e6)),
    Workload(2, 8, 2199, (10, 26, 29, 59, 1200, 9000, 490e3, 530e3, 1.7e6)),
    Workload(8, 16, 1744, (25, 28, 29, 56, 66, 700, 13e3, 370e3, 1.8e6)),
    Workload(8, 16, 60, (29, 270, 500, 510, 3600, 78e3, 330e3, 1.3e6, 1.5e6), (2, 3, 5, 9, 18, 19)),
    Workload(4, 16, 1869, (11, 28, 58, 360, 4900, 5000, 5700, 17e3, 1.4e6)),
    Workload(8, 32, 940, (26, 28, 30, 58, 160, 510, 630, 85e3, 860e3)),
    Workload(16, 32, 792, (28, 29, 32, 56, 64, 500, 520, 1000, 1.8e6)),
    Workload(16, 32, 80, (33, 1700, 7800, 35e3, 90e3, 320e3, 500e3, 700e3, 760e3), (2, 2, 3, 3, 8, 19)),
    Workload(12, 24, 638, (28, 29, 31, 33, 58, 60, 61, 69, 180e3)),
    Workload(64, 128, 76, (12e3, 13e3, 29e3, 43e3, 56e3, 120e3, 210e3, 470e3, 540e3)),
    Workload(64, 128, 40, (10e3, 13e3, 17e3, 41e3, 51e3, 60e3, 66e3, 91e3, 97e3), (2, 3, 4, 7, 10, 11), 200),
    Workload(32, 64, 43, (55, 630, 30e3, 39e3, 69e3, 980e3, 1e6, 1.1e6, 1.16e6)),
)
# fmt: on

MEAN_GAP_S = 23.0
"""Seconds between VMs on average: 2,678,081 s for 116,313 VMs."""
LIFETIME_SPREAD = 0.2
"""Standard deviation of log lifetime within a burst."""
DAY_S = 86_400.0
DAY_SWING = 0.55
"""The arrival rate swings by this share around its mean, once a day."""
BUSIEST_HOUR = 2.5


def synthesize(vms: int = 120_000, seed: int = 0) -> VmTrace:
    """Make a trace of `vms` VMs; `seed` decides everything. Times are whole seconds.

    Raises:
        UserError: `vms` is not at least 1 or `seed` is negative.
    """
    if vms < 1 or seed < 0:
        raise UserError(
            f"a synthetic trace needs vms of at least 1 and a seed of at least 0, got {vms} and {seed}"
        )
    rng = np.random.default_rng(seed)
    kind, size = _draw_bursts(rng, vms)
    centre = _draw_by_kind(rng, kind, [work.lifetimes for work in WORKLOADS], LIFETIME_LEVELS)

    burst = np.repeat(np.arange(len(size)), size)[:vms]
    start = _burst_times(rng, len(size), vms * MEAN_GAP_S)
    arrival = np.floor(start[burst] + _pauses(rng, kind[burst], burst))
    lifetime = np.maximum(np.rint(centre[burst] * np.exp(LIFETIME_SPREAD * rng.standard_normal(vms))), 1.0)
    cpu = np.array([work.cpu for work in WORKLOADS], dtype=np.float64)[kind[burst]]
    memory = np.array([work.memory for work in WORKLOADS], dtype=np.float64)[kind[burst]]

    order = np.argsort(arrival, kind="stable")
    name = f"synthetic(vms={vms}, seed={seed})"
    return VmTrace(cpu[order], memory[order], arrival[order], lifetime[order], name)


def _draw_bursts(rng: np.random.Generator, vms: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Workload index and size of as many bursts as hold `vms` VMs."""
    weight = np.array([work.bursts for work in WORKLOADS], dtype=np.float64)
    kind = rng.choice(len(WORKLOADS), size=vms, p=weight / weight.sum())  # a burst has at least one VM
    drawn = _draw_by_kind(
        rng, kind, [work.sizes or (1,) * len(SIZE_LEVELS) for work in WORKLOADS], SIZE_LEVELS
    )
    size = np.rint(drawn).astype(np.int64)
    bursts = int(np.searchsorted(np.cumsum(size), vms)) + 1
    return kind[:bursts], size[:bursts]


def _draw_by_kind(
    rng: np.random.Generator,
    kind: npt.NDArray[np.int64],
    quantiles: Sequence[tuple[float, ...]],
    levels: tuple[float, ...],
) -> Column:
    """For each element a value from the distribution of its kind, interpolating log quantiles linearly."""
    uniform = rng.random(len(kind))
    value = np.empty(len(kind))
    for i, values in enumerate(quantiles):
        of_kind = kind == i
        value[of_kind] = np.exp(np.interp(uniform[of_kind], levels, np.log(values)))
    return value


def _burst_times(rng: np.random.Generator, count: int, span: float) -> Column:
    """`count` increasing times in [0, span) at a rate that swings with the hour of the day."""
    grid = np.arange(0.0, span + 600.0, 600.0)
    angle = 2 * np.pi / DAY_S
    phase = angle * BUSIEST_HOUR * 3600
    integrated_rate = grid + DAY_SWING / angle * (np.sin(angle * grid - phase) + np.sin(phase))
    uniform = np.sort(rng.random(count)) * integrated_rate[-1]
    return np.interp(uniform, integrated_rate, grid)


def _pauses(rng: np.random.Generator, kind: npt.NDArray[np.int64], burst: npt.NDArray[np.int64]) -> Column:
    """Time of each VM after the first one of its burst."""
    mean = np.array([work.pause for work in WORKLOADS])[kind]
    elapsed = np.cumsum(mean * rng.exponential(size=len(mean)))
    first = np.searchsorted(burst, burst)
    return elapsed - elapsed[first]
