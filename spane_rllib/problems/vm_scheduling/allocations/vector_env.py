"""The vectorized environment of the allocations objective."""

from __future__ import annotations

from spane_rllib.problems.vm_scheduling.allocations.problem import AllocationProblem
from spane_rllib.problems.vm_scheduling.slot_vector_env import SlotVectorEnv


class AllocationVectorEnv(SlotVectorEnv):
    """The vectorized `AllocationEnv`; see `SlotVectorEnv` for the arguments."""

    problem_class = AllocationProblem
