"""Decisions of a heuristic, for a network to imitate."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from spane_rllib.learning.batch import Batch
from spane_rllib.problems.vm_scheduling.rollout import HeuristicRollout
from spane_rllib.problems.vm_scheduling.simulator import Cluster, Heuristic, Workload, probe_vm_counts

_EPISODES_PER_CALL = 16


def demonstrate(
    workload: Workload,
    cluster: Cluster,
    heuristic: Heuristic,
    rows: tuple[int, int],
    decisions: int,
    random: np.random.Generator,
) -> Batch:
    """Decisions of `heuristic` in episodes from random starts in the half-open range `rows`.

    Returns a `Batch` of exactly `decisions` rows whose returns and discounts are 0 and whose next states and
    masks are those of the decision itself.
    """
    rollout = HeuristicRollout(workload, cluster, _EPISODES_PER_CALL, heuristic)
    parts: list[tuple[npt.NDArray[np.generic], ...]] = []
    missing = decisions
    while missing > 0:
        starts = random.integers(*rows, _EPISODES_PER_CALL)
        for episode in rollout.play(starts, probe_vm_counts(workload, cluster, starts)):
            columns = (episode.servers, episode.request, episode.action, episode.action_mask)
            parts.append(tuple(column[:missing].copy() for column in columns))
            missing -= len(parts[-1][0])
    servers, request, action, mask = map(np.concatenate, zip(*parts, strict=True))
    zeros = np.zeros(decisions, np.float32)
    return Batch(servers, request, action, zeros, zeros, servers, request, mask)
