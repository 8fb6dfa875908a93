"""The VM-scheduling simulator: placement on servers of two NUMA nodes, first come, first served by default.

`cluster` says what is scheduled on, `workload` compiles a trace for it, `rules` holds the one implementation
of the rules, `queue_rules` and `plan` those of other queue disciplines, `lanes` steps many episodes at once,
`episodes` runs whole ones under a heuristic of `heuristics`; `lower_bound` and `any_order_bound` bound what
any policy can reach. It knows nothing of Gymnasium, torch or Ray.
"""

from spane_rllib.problems.vm_scheduling.simulator.cluster import Cluster
from spane_rllib.problems.vm_scheduling.simulator.episodes import (
    EpisodeResults,
    probe_vm_counts,
    run_heuristic,
)
from spane_rllib.problems.vm_scheduling.simulator.fragmentation import FragmentationGradient
from spane_rllib.problems.vm_scheduling.simulator.heuristics import Heuristic
from spane_rllib.problems.vm_scheduling.simulator.lanes import Lanes
from spane_rllib.problems.vm_scheduling.simulator.lower_bound import lower_bounds
from spane_rllib.problems.vm_scheduling.simulator.placement_score import PlacementScore
from spane_rllib.problems.vm_scheduling.simulator.workload import Workload, compile_workload

__all__ = [
    "Cluster",
    "EpisodeResults",
    "FragmentationGradient",
    "Heuristic",
    "Lanes",
    "PlacementScore",
    "Workload",
    "compile_workload",
    "lower_bounds",
    "probe_vm_counts",
    "run_heuristic",
]
