"""The vectorized environment of the allocations objective."""

from __future__ import annotations

from spane_rllib.problems.vm_scheduling.allocations.instance import AllocationInstance
from spane_rllib.problems.vm_scheduling.slot_vector_env import SlotVectorEnv


class AllocationVectorEnv(SlotVectorEnv):
    """The vectorized `AllocationEnv`; see `SlotVectorEnv` for the arguments."""

    instance_class = AllocationInstance
