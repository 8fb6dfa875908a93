"""Direct policy search: CMA-ES over the weights of a `PlacementScore`, judged on whole simulated episodes.

CMA-ES (Hansen, "The CMA Evolution Strategy: A Tutorial", arXiv 1604.00772; the library `cmaes`) needs no
gradient, so that it optimises what is wanted, the waits of whole episodes, and not a surrogate per decision.
Arrivals are exogenous here: all candidates of a generation play the very same windows, which removes most of
the variance (as in POMO, arXiv 2010.16011, and input-driven baselines, arXiv 1807.02264).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from cmaes import CMA

from spane_rllib.datasets.vm_traces.trace import VmTrace
from spane_rllib.problems.vm_scheduling.queue_disciplines import FIFO, Queue
from spane_rllib.problems.vm_scheduling.simulator import (
    Cluster,
    FragmentationGradient,
    Heuristic,
    PlacementScore,
    compile_workload,
    probe_vm_counts,
    run_heuristic,
)

FloatArray = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

REFERENCE = "keep-64"
"""Costs are ratios to this heuristic."""
LONG_WAIT_S = 20_000.0
"""Total waits well below this hardly count in the logarithmic half of the cost."""

COORDINATES = ("largest", "size_power", "frequency_power", "small", "fullness", "imbalance", "siblings")
"""What is searched, see `ScoreFamily.score_at`."""


@dataclass(frozen=True)
class Windows:
    """Episodes on clusters of several sizes.

    Args:
        starts: rows where they start, by number of servers.
        shares: weight of each number of servers in the cost; they sum to 1.
    """

    starts: Mapping[int, Rows]
    shares: Mapping[int, float]


def draw_windows(
    generator: np.random.Generator,
    rows: tuple[int, int],
    counts: Mapping[int, int],
    shares: Mapping[int, float],
) -> Windows:
    """`counts[n]` starts for n servers, one from each of as many equal parts of the range `rows`."""

    def draw(count: int) -> Rows:
        edges = np.linspace(*rows, count + 1)
        return (edges[:-1] + generator.random(count) * np.diff(edges)).astype(np.int64)

    return Windows({servers: draw(count) for servers, count in counts.items()}, shares)


def waits_of(
    heuristic: Heuristic, trace: VmTrace, cluster: Cluster, windows: Windows, queue: Queue = FIFO
) -> dict[int, FloatArray]:
    """Total waits, seconds, in `windows` by number of servers; `cluster` is the type of server."""
    waits = {}
    for servers, starts in windows.starts.items():
        sized = replace(cluster, servers=servers)
        workload = compile_workload(trace, sized, queue)
        counts = probe_vm_counts(workload, sized, starts)
        waits[servers] = run_heuristic(workload, sized, heuristic, starts, counts).total_wait
    return waits


def relative_cost(
    waits: Mapping[int, FloatArray], reference: Mapping[int, FloatArray], shares: Mapping[int, float]
) -> float:
    """How long `waits` are beside `reference`, on the same windows: 1 where they are alike, less is better.

    The mean of two ratios, of mean log(1 + wait / 20,000 s) and of mean sqrt(wait): the former counts how
    many episodes go well, the latter how bad the catastrophes are. A trimmed mean is not used, since small
    changes at its edge move it by much.
    """
    tiny = 1e-9  # windows without any wait under the reference
    cost = 0.0
    for servers, share in shares.items():
        own, other = waits[servers], reference[servers]
        logarithms = np.log1p(own / LONG_WAIT_S).mean() / (np.log1p(other / LONG_WAIT_S).mean() + tiny)
        roots = np.sqrt(own).mean() / (np.sqrt(other).mean() + tiny)
        cost += share * (logarithms + roots) / 2
    return float(cost)


@dataclass(frozen=True)
class ScoreFamily:
    """The scores that a search chooses from, a point of `COORDINATES` each.

    Few numbers, because the training rows hold only some fifty windows that do not overlap, and many would
    fit these windows and nothing else.

    Args:
        flavours: F (cpu, GiB) pairs of the training rows.
        frequency: (F,) their shares of the arrivals.
        double: (F,) whether they are split over both nodes.
    """

    flavours: tuple[tuple[float, float], ...]
    frequency: FloatArray
    double: npt.NDArray[np.bool_]

    @classmethod
    def of_trace(cls, trace: VmTrace, rows: tuple[int, int], cluster: Cluster) -> ScoreFamily:
        """The family for the VMs of the half-open range `rows`."""
        gradient = FragmentationGradient.of_trace(trace, *rows)
        cpu, memory = np.array(gradient.flavours).T
        return cls(
            flavours=gradient.flavours,
            frequency=(np.array(gradient.weights) / cpu) ** 2,
            double=memory > cluster.double_memory_threshold,
        )

    def score_at(self, point: FloatArray) -> PlacementScore:
        """The score of a point; zeros are a sensible one.

        The capacity for a flavour is worth cpu^(1 + size_power) * share^((1 + frequency_power) / 2), which is
        the weight of `fgd` at zero, less for flavours of one node by `small`, and more for the largest one by
        `largest`, which is all that `keep-64` has.
        """
        value = dict(zip(COORDINATES, map(float, point), strict=True))
        cpu = np.array([size for size, _ in self.flavours])
        weights = cpu ** (1 + value["size_power"]) * self.frequency ** ((1 + value["frequency_power"]) / 2)
        weights /= weights[self.double].mean() if self.double.any() else weights.mean()
        weights[~self.double] *= np.exp(2 * value["small"])
        # Beyond e^9 the largest flavour decides everything anyway.
        weights[np.argmax(cpu)] += np.exp(np.clip(3 + 2 * value["largest"], -9, 9))
        return PlacementScore(
            self.flavours,
            tuple(map(float, weights)),
            fullness=float(np.exp(value["fullness"])),
            imbalance=4 * value["imbalance"],
            siblings=4 * value["siblings"],
        )


class ScoreSearch:
    """Ask for candidates, tell their costs, generation by generation.

    A search is decided by its arguments and the costs it was told: telling the same costs again leads to the
    same state.

    Args:
        family: what to choose from.
        population: candidates per generation.
        step: initial standard deviation.
        seed: decides the candidates.
    """

    def __init__(self, family: ScoreFamily, population: int, step: float, seed: int) -> None:
        self._family = family
        self._cma = CMA(mean=np.zeros(len(COORDINATES)), sigma=step, seed=seed, population_size=population)
        self._asked: list[FloatArray] = []

    def ask(self) -> list[PlacementScore]:
        """The candidates of the next generation."""
        self._asked = [self._cma.ask() for _ in range(self._cma.population_size)]
        return [self._family.score_at(point) for point in self._asked]

    def tell(self, costs: Sequence[float]) -> None:
        """The costs of the candidates last asked for, in their order."""
        self._cma.tell(list(zip(self._asked, costs, strict=True)))

    @property
    def centre(self) -> PlacementScore:
        """The mean of the search distribution, which is better than most candidates drawn from it."""
        return self._family.score_at(self._cma.mean)
