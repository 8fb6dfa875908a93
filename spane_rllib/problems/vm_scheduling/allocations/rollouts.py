"""Training and validation episodes where VMs are placed until one fits nowhere."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from spane_rllib.learning.rollouts import Episode, Floats
from spane_rllib.problems.vm_scheduling.allocations.algorithms import AlgorithmSettings
from spane_rllib.problems.vm_scheduling.allocations.env import AllocationEnv
from spane_rllib.problems.vm_scheduling.allocations.rewards import REWARDS
from spane_rllib.problems.vm_scheduling.allocations.workload import AllocationWorkload
from spane_rllib.problems.vm_scheduling.rollout import RecordedEpisode
from spane_rllib.problems.vm_scheduling.simulator.episodes import Ends
from spane_rllib.problems.vm_scheduling.simulator.rules import HEAD, START, STUCK
from spane_rllib.problems.vm_scheduling.slot_rollouts import Rows, SlotRollouts

LONGEST_EPISODE = 5000
"""VMs after which a training episode is cut off, which learning takes as such."""


class AllocationRollouts(SlotRollouts):
    """Measured by the mean number of VMs placed until the first that fits nowhere.

    Args:
        workload, train_rows, settings, validation_rows: see `SlotRollouts`.
    """

    measure: ClassVar[str] = "allocations"
    sign: ClassVar[int] = 1
    length_option: ClassVar[str] = "max_decisions"
    measure_info: ClassVar[str] = "allocations"
    workload: AllocationWorkload

    def __init__(
        self,
        workload: AllocationWorkload,
        train_rows: tuple[int, int],
        settings: AlgorithmSettings,
        validation_rows: Rows,
    ) -> None:
        self._reward = REWARDS[settings.reward]
        self._longest = workload.scenario.max_decisions or len(workload)
        super().__init__(workload, workload.cluster, train_rows, settings, validation_rows)

    def lengths(self, rows: Rows) -> Rows:
        """The cap of the scenario, and of training."""
        return np.full(len(rows), min(self._longest, LONGEST_EPISODE))

    def validation_lengths(self, rows: Rows) -> Rows:
        """The cap of the scenario."""
        return np.full(len(rows), self._longest)

    def episode(self, recorded: RecordedEpisode) -> Episode:
        """Ends by itself where a VM fits nowhere; at a cap or the end of the trace, more could be placed."""
        count, first = len(recorded.action), recorded.start
        return Episode(
            recorded.observation,
            recorded.action,
            self._reward(self.workload.cpu_shares[first : first + count], recorded.servers_after),
            recorded.log_probability,
            terminated=recorded.status == STUCK,
            measured=float(count),
        )

    def measured(self, ends: Ends) -> Floats:
        """VMs placed."""
        return (ends.counters[:, HEAD] - ends.counters[:, START]).astype(np.float64)

    def summary(self, measured: Floats) -> dict[str, float]:
        """Their mean."""
        return {"validation_allocations": float(measured.mean())}

    def environment(self) -> AllocationEnv:
        rows = self.train_rows
        return AllocationEnv(
            scenario=self.workload.scenario,
            trace=self.workload.trace,
            splits={"train": rows, "validation": rows, "test": rows},
            reward=self._reward,
        )
