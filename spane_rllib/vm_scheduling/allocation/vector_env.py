"""The vectorized environment of the allocations objective."""

from __future__ import annotations

from spane_rllib.vm_scheduling.allocation.problem import AllocationProblem
from spane_rllib.vm_scheduling.vector_env import SlotVectorEnv


class AllocationVectorEnv(SlotVectorEnv):
    """The vectorized `AllocationEnv`; see `SlotVectorEnv` for the arguments."""

    problem_class = AllocationProblem
