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

from spane_rllib.traces.trace import VmTrace
from spane_rllib.vm_scheduling.simulator import (
    Cluster,
    FragmentationGradient,
    Heuristic,
    PlacementScore,
    compile_workload,
    probe_vm_counts,
    run_heuristic,
)
from spane_rllib.vm_scheduling.simulator.placement_score import TERMS

FloatArray = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

REFERENCE = "keep-64"
"""Costs are ratios to this heuristic."""
LONG_WAIT_S = 20_000.0
"""Total waits well below this hardly count in the logarithmic half of the cost."""

# One step of CMA-ES in a term's weight; the weights of flavours are searched by their logarithms.
_SCALES = dict.fromkeys(TERMS, 3.0) | {"fullness": 3.0, "sibling_share": 20.0}


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
    """`counts[n]` starts for n servers, one from each of as many equal parts of the half-open range `rows`."""

    def draw(count: int) -> Rows:
        edges = np.linspace(*rows, count + 1)
        return (edges[:-1] + generator.random(count) * np.diff(edges)).astype(np.int64)

    return Windows({servers: draw(count) for servers, count in counts.items()}, shares)


def waits_of(
    heuristic: Heuristic, trace: VmTrace, cluster: Cluster, windows: Windows
) -> dict[int, FloatArray]:
    """Total waits, seconds, in `windows` by number of servers; `cluster` is the type of server."""
    waits = {}
    for servers, starts in windows.starts.items():
        sized = replace(cluster, servers=servers)
        workload = compile_workload(trace, sized)
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


class ScoreSearch:
    """Ask for candidates, tell their costs, generation by generation.

    The search starts at fragmentation gradient with the weights of the training rows and the largest flavour
    as important as for `keep-64`. It is decided by its arguments and the costs it was told: telling the same
    costs again leads to the same state.

    Args:
        trace, rows: the flavours of these training rows are weighted.
        population: candidates per generation.
        step: initial standard deviation; 1 is a factor of e in the weight of a flavour.
        seed: decides the candidates.
    """

    def __init__(
        self, trace: VmTrace, rows: tuple[int, int], population: int, step: float, seed: int
    ) -> None:
        gradient = FragmentationGradient.of_trace(trace, *rows)
        self.flavours = gradient.flavours
        weights = np.array(gradient.weights)
        weights[np.argmax([cpu for cpu, _ in self.flavours])] += 100.0
        start = np.concatenate([np.log(weights), [1 / _SCALES["fullness"]], np.zeros(len(TERMS) - 1)])
        self._cma = CMA(mean=start, sigma=step, seed=seed, population_size=population)
        self._asked: list[FloatArray] = []

    @property
    def generation(self) -> int:
        """Generations told so far."""
        return int(self._cma.generation)

    def ask(self) -> list[PlacementScore]:
        """The candidates of the next generation."""
        self._asked = [self._cma.ask() for _ in range(self._cma.population_size)]
        return [self._score(point) for point in self._asked]

    def tell(self, costs: Sequence[float]) -> None:
        """The costs of the candidates last asked for, in their order."""
        self._cma.tell(list(zip(self._asked, costs, strict=True)))

    @property
    def centre(self) -> PlacementScore:
        """The mean of the search distribution, which is better than most candidates drawn from it."""
        return self._score(self._cma.mean)

    def _score(self, point: FloatArray) -> PlacementScore:
        count = len(self.flavours)
        terms = point[count:] * np.array([_SCALES[name] for name in TERMS])
        return PlacementScore.of_vector(
            self.flavours, np.concatenate([np.exp(np.clip(point[:count], -20, 20)), terms])
        )
