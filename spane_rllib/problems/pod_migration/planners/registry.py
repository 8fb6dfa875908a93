"""The planners by name."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from spane_rllib.problems.pod_migration.planners.descheduler import low_node_utilization
from spane_rllib.problems.pod_migration.planners.forecasts import foresight, mean_of_last, seasonal
from spane_rllib.problems.pod_migration.planners.heuristics import (
    interleave,
    largest_pod,
    no_op,
    random_moves,
    repack,
    threshold_greedy,
)
from spane_rllib.problems.pod_migration.planners.planner import Planner

PLANNERS: dict[str, Callable[[np.random.Generator], Planner]] = {
    "no-op": lambda random: no_op,
    "random": random_moves,
    "threshold-greedy": lambda random: threshold_greedy,
    "largest-pod": lambda random: largest_pod,
    "repack": lambda random: repack,
    "descheduler": lambda random: low_node_utilization(0.2, 0.5),
    "descheduler-30-60": lambda random: low_node_utilization(0.3, 0.6),
    "interleave": lambda random: interleave,
    "forecast-mean": lambda random: mean_of_last(6),
    "forecast-seasonal": lambda random: seasonal,
    "foresight": lambda random: foresight,
}
"""Made anew for every episode, with the random numbers of that episode."""
