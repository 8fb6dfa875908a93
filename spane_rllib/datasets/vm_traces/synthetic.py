"""A made-up trace that behaves like Huawei-East-1, for use where the data set is not at hand.

Requests come in bursts: one customer asks for several VMs of one size at the same moment, and they run about
equally long. A burst is of one of the `BURST_KINDS` below; their shares, burst sizes and lifetime quantiles are
rounded summary statistics of Huawei-East-1, printed by `benchmarks/synthetic_trace.py fit`. `docs/traces.md`
compares the two traces.
"""

# ruff: noqa: E501  (one kind to a line)

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spane_rllib.core.errors import UserError
from spane_rllib.datasets.vm_traces.trace import Column, VmTrace

LIFETIME_LEVELS = (0.0, 0.05, 0.25, 0.50, 0.75, 0.90, 0.95, 0.98, 0.99, 0.995, 1.0)
SIZE_LEVELS = (0.0, 0.50, 0.75, 0.90, 0.95, 0.99, 1.0)


@dataclass(frozen=True)
class BurstKind:
    """Bursts of one kind.

    Attributes:
        cpu: cores of each VM.
        memory: GiB of each VM.
        bursts: how often, relative to the other kinds.
        lifetimes: seconds at `LIFETIME_LEVELS`: the distribution of the typical lifetime of a burst.
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
BURST_KINDS = (
    BurstKind(1, 2, 6300, (14, 27, 61, 1400, 4600, 24e3, 91e3, 490e3, 590e3, 840e3, 2.2e6)),
    BurstKind(1, 2, 5775, (24, 1700, 3200, 5600, 14e3, 30e3, 43e3, 56e3, 67e3, 160e3, 2e6), (2, 5, 10, 20, 20, 30, 420)),
    BurstKind(1, 1, 18330, (1, 34, 69, 190, 250, 2300, 6800, 180e3, 560e3, 760e3, 2.5e6)),
    BurstKind(1, 1, 1326, (11, 65, 400, 1500, 3200, 59e3, 270e3, 670e3, 760e3, 870e3, 2.4e6), (2, 2, 3, 6, 10, 100, 230)),
    BurstKind(2, 4, 8007, (23, 27, 40, 340, 2600, 12e3, 22e3, 260e3, 540e3, 630e3, 2.1e6)),
    BurstKind(2, 4, 1298, (26, 120, 710, 1800, 5500, 11e3, 15e3, 42e3, 340e3, 560e3, 1.9e6), (2, 2, 3, 6, 30, 40, 100)),
    BurstKind(4, 8, 5588, (25, 27, 31, 61, 1200, 4000, 22e3, 190e3, 630e3, 800e3, 2e6)),
    BurstKind(4, 8, 696, (13, 150, 1200, 3300, 4300, 15e3, 78e3, 450e3, 770e3, 1.1e6, 1.7e6), (2, 3, 4, 16, 18, 20, 40)),
    BurstKind(1, 4, 2814, (9, 26, 29, 59, 350, 1800, 2500, 2600, 9700, 28e3, 2.3e6)),
    BurstKind(1, 4, 137, (25, 29, 200, 520, 2600, 3000, 3600, 6200, 6200, 6200, 7300), (2, 3, 3, 3, 20, 20, 20)),
    BurstKind(2, 8, 2273, (10, 26, 29, 59, 1200, 9500, 490e3, 520e3, 530e3, 820e3, 1.7e6)),
    BurstKind(8, 16, 1637, (25, 28, 29, 40, 61, 640, 8100, 92e3, 310e3, 760e3, 1.8e6)),
    BurstKind(8, 16, 90, (27, 200, 440, 510, 1300, 15e3, 160e3, 490e3, 1.2e6, 1.2e6, 1.5e6), (2, 3, 5, 9, 13, 18, 19)),
    BurstKind(4, 16, 1962, (11, 28, 58, 380, 4900, 5000, 5900, 6900, 240e3, 800e3, 1.4e6)),
    BurstKind(8, 32, 912, (26, 28, 30, 57, 130, 510, 620, 11e3, 33e3, 93e3, 860e3)),
    BurstKind(8, 32, 25, (29, 200, 510, 17e3, 19e3, 180e3, 250e3, 630e3, 630e3, 630e3, 630e3), (2, 3, 3, 4, 6, 35, 44)),
    BurstKind(16, 32, 791, (28, 29, 32, 56, 64, 500, 520, 530, 610, 78e3, 1.8e6)),
    BurstKind(16, 32, 80, (32, 1600, 5000, 23e3, 85e3, 250e3, 500e3, 640e3, 680e3, 750e3, 760e3), (2, 2, 3, 3, 4, 9, 19)),
    BurstKind(12, 24, 638, (28, 29, 31, 33, 58, 60, 61, 63, 69, 130, 180e3)),
    BurstKind(64, 128, 20, (14e3, 16e3, 33e3, 44e3, 55e3, 100e3, 110e3, 120e3, 120e3, 120e3, 120e3)),
    BurstKind(64, 128, 37, (9300, 12e3, 18e3, 37e3, 51e3, 110e3, 120e3, 160e3, 360e3, 430e3, 540e3), (2, 3, 7, 9, 10, 16, 18), 190),
    BurstKind(32, 64, 16, (55, 480, 26e3, 42e3, 170e3, 980e3, 990e3, 1e6, 1e6, 1e6, 1e6)),
    BurstKind(32, 64, 17, (270, 270, 290, 320, 36e3, 160e3, 990e3, 990e3, 1.1e6, 1.2e6, 1.2e6), (2, 3, 4, 9, 20, 52, 60), 56),
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
MOST_VMS = 10_000_000


def synthesize(vms: int = 120_000, seed: int = 0) -> VmTrace:
    """Make a trace of `vms` VMs; `seed` decides everything. Times are whole seconds.

    Raises:
        UserError: `vms` is not in 1 to `MOST_VMS` or `seed` is negative.
    """
    if not 1 <= vms <= MOST_VMS or seed < 0:
        raise UserError(
            f"a synthetic trace needs vms of 1 to {MOST_VMS} and a seed of at least 0, got {vms} and {seed}"
        )
    rng = np.random.default_rng(seed)
    kind, size = _draw_bursts(rng, vms)
    centre = _draw_by_kind(rng, kind, [k.lifetimes for k in BURST_KINDS], LIFETIME_LEVELS)

    burst = np.repeat(np.arange(len(size)), size)[:vms]
    start = _burst_times(rng, len(size), vms * MEAN_GAP_S)
    arrival = np.floor(start[burst] + _pauses(rng, kind[burst], burst))
    lifetime = np.maximum(np.rint(centre[burst] * np.exp(LIFETIME_SPREAD * rng.standard_normal(vms))), 1.0)
    cpu = np.array([k.cpu for k in BURST_KINDS], dtype=np.float64)[kind[burst]]
    memory = np.array([k.memory for k in BURST_KINDS], dtype=np.float64)[kind[burst]]

    order = np.argsort(arrival, kind="stable")
    name = f"synthetic(vms={vms}, seed={seed})"
    return VmTrace(cpu[order], memory[order], arrival[order], lifetime[order], name)


def _draw_bursts(rng: np.random.Generator, vms: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Index of the kind and size of as many bursts as hold `vms` VMs."""
    weight = np.array([k.bursts for k in BURST_KINDS], dtype=np.float64)
    kind = rng.choice(len(BURST_KINDS), size=vms, p=weight / weight.sum())  # a burst has at least one VM
    drawn = _draw_by_kind(rng, kind, [k.sizes or (1,) * len(SIZE_LEVELS) for k in BURST_KINDS], SIZE_LEVELS)
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
    mean = np.array([k.pause for k in BURST_KINDS])[kind]
    elapsed = np.cumsum(mean * rng.exponential(size=len(mean)))
    first = np.searchsorted(burst, burst)
    return elapsed - elapsed[first]
