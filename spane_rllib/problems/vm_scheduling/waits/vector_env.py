"""The vectorized environment of waits."""

from __future__ import annotations

from spane_rllib.problems.vm_scheduling.slot_vector_env import SlotVectorEnv
from spane_rllib.problems.vm_scheduling.waits.instance import WaitInstance


class VMSchedulingVectorEnv(SlotVectorEnv):
    """The vectorized `VMSchedulingEnv`; see `SlotVectorEnv` for the arguments."""

    instance_class = WaitInstance
