"""One episode in which it is a choice whom to place: the stepping interface of `choice_rules`."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from spane_rllib.problems.vm_scheduling.simulator.choice_rules import act, begin_choice, observe_choice
from spane_rllib.problems.vm_scheduling.simulator.cluster import Cluster
from spane_rllib.problems.vm_scheduling.simulator.lanes import Observations
from spane_rllib.problems.vm_scheduling.simulator.rules import (
    RUNNING,
    STATUS,
    LaneState,
    allocate,
)
from spane_rllib.problems.vm_scheduling.simulator.workload import Workload

Arrays = dict[str, npt.NDArray[Any]]

WAITING_FEATURES = 4


class ChoiceLane:
    """An episode of `workload` on `cluster` in which one of the first `choices` VMs that wait is placed.

    Args:
        workload: the compiled trace under `skip`, with any depth or none.
        cluster: as of `Lanes`.
        choices: K, how many of the first VMs in the queue can be chosen.
    """

    def __init__(self, workload: Workload, cluster: Cluster, choices: int) -> None:
        workload.check_cluster(cluster)
        self.workload, self.choices, self.slots = workload, choices, cluster.slots
        self.servers = Observations.empty(1, cluster).servers[0]
        """(N, 2, 2), or (N, 2, 4) where nodes differ: what is seen of the servers before an episode."""
        self.state: LaneState = self._allocate(1024)

    def _allocate(self, longest: int) -> LaneState:
        return allocate(1, self.slots, longest, queue=self.workload.arrays.queue)

    @property
    def running(self) -> bool:
        """Whether an action is asked for."""
        return bool(self.state.counters[0, STATUS] == RUNNING)

    def reset(self, start: int, vm_count: int) -> None:
        """Begin an episode of `vm_count` VMs at row `start`; its first VM waits."""
        if vm_count > self.state.slot_of.shape[1]:
            self.state = self._allocate(2 * int(vm_count))
        begin_choice(self.workload.arrays, self.state, start, vm_count)

    def act(self, whom: int, slot: int) -> int:
        """Place a VM, or wait; see `choice_rules.act`."""
        return act(self.workload.arrays, self.state, self.choices, whom, slot)

    def observe(self) -> Arrays:
        """What is seen, in new arrays; `VMChoiceEnv` describes them."""
        observation: Arrays = {
            "servers": self.servers.copy(),
            "waiting": np.zeros((self.choices, WAITING_FEATURES), np.float32),
            "action_mask": np.zeros(self.choices + 1, np.int8),
            "slot_mask": np.zeros((self.choices, self.slots), np.int8),
        }
        observe_choice(self.workload.arrays, self.state, *observation.values())
        return observation

    def parts_of(self, action: int) -> tuple[int, int]:
        """Whom and which slot a flat action means; whom there cannot be where it is beyond the last one."""
        whom, slot = divmod(action, self.slots)
        return (whom + 1 if whom == self.choices and slot else whom), slot


def flattened(observation: Arrays) -> Arrays:
    """An observation with one mask: who goes where, in order of the queue, and at the end waiting."""
    mask = np.append(observation["slot_mask"], observation["action_mask"][-1])
    return {"servers": observation["servers"], "waiting": observation["waiting"], "action_mask": mask}
