"""Training and validation episodes where VMs wait."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from spane_rllib.core.bootstrap import trimmed_mean
from spane_rllib.learning.batch import Arrays, Batch
from spane_rllib.learning.imitation import decisions as decisions_to_imitate
from spane_rllib.learning.rollouts import Episode, Floats
from spane_rllib.problems.vm_scheduling.rollout import HeuristicRollout, RecordedEpisode
from spane_rllib.problems.vm_scheduling.simulator import (
    Cluster,
    EpisodeResults,
    FragmentationGradient,
    Heuristic,
    Workload,
    lower_bounds,
    probe_vm_counts,
)
from spane_rllib.problems.vm_scheduling.simulator.episodes import Ends
from spane_rllib.problems.vm_scheduling.slot_rollouts import Rows, SlotRollouts, SlotStarts
from spane_rllib.problems.vm_scheduling.waits.algorithms import AlgorithmSettings, DqnSettings
from spane_rllib.problems.vm_scheduling.waits.env import VMSchedulingEnv
from spane_rllib.problems.vm_scheduling.waits.rewards import REWARDS

_DEMONSTRATIONS_PER_CALL = 16


class WaitRollouts(SlotRollouts):
    """Measured by the trimmed mean of the total wait, seconds, and its ratio to a proven lower bound.

    Args:
        workload, cluster, train_rows, settings, validation_rows: see `SlotRollouts`.
        trim: share of validation episodes dropped at each end of the mean total wait.
    """

    measure: ClassVar[str] = "wait"
    sign: ClassVar[int] = -1
    length_option: ClassVar[str] = "vm_count"
    measure_info: ClassVar[str] = "total_wait"
    settings: AlgorithmSettings

    def __init__(
        self,
        workload: Workload,
        cluster: Cluster,
        train_rows: tuple[int, int],
        settings: AlgorithmSettings,
        validation_rows: Rows,
        trim: float,
    ) -> None:
        super().__init__(workload, cluster, train_rows, settings, validation_rows)
        self._reward = REWARDS[settings.reward]
        self._trim = trim
        self._bound = trimmed_mean(lower_bounds(workload, cluster, *self.validation_starts), trim)

    def lengths(self, rows: Rows) -> Rows:
        """First Fit's run lengths and some more."""
        return probe_vm_counts(self.workload, self.cluster, rows)

    def validation_lengths(self, rows: Rows) -> Rows:
        """The same."""
        return self.lengths(rows)

    def episode(self, recorded: RecordedEpisode) -> Episode:
        """Always comes to its natural end: its length is part of the problem."""
        return Episode(
            recorded.observation,
            recorded.action,
            self._rewards(recorded),
            recorded.log_probability,
            terminated=True,
            measured=recorded.total_wait,
            item=recorded.vm - recorded.start,
        )

    def measured(self, ends: Ends) -> Floats:
        """Total waits, seconds."""
        return EpisodeResults.of_state(*ends).total_wait

    def summary(self, measured: Floats) -> dict[str, float]:
        """Their trimmed mean, and that over the bound's."""
        wait = trimmed_mean(measured, self._trim)
        return {
            "validation_wait": wait,
            "validation_gap": wait / self._bound if self._bound else float("nan"),
        }

    def environment(self) -> VMSchedulingEnv:
        cluster, rows = self.cluster, self.train_rows
        return VMSchedulingEnv(
            trace=self.workload.trace,
            **cluster.keywords(),
            queue=self.workload.queue.text,
            lifetimes=self.workload.lifetimes.text,
            splits={"train": rows, "validation": rows, "test": rows},
            reward=self._reward,
        )

    @cached_property
    def _baseline(self) -> HeuristicRollout | None:
        settings = self.settings
        if not isinstance(settings, DqnSettings) or settings.reward_baseline is None:
            return None
        return HeuristicRollout(
            self.workload, self.cluster, settings.lanes, self._heuristic(settings.reward_baseline)
        )

    def baseline_rewards(self, starts: SlotStarts) -> list[Floats] | None:
        # Those of the heuristic `reward_baseline`.
        if self._baseline is None:
            return None
        found = []
        for recorded in self._baseline.play(*starts):
            item = recorded.vm - recorded.start  # the queue may place them in another order
            rewards = np.zeros(item.max(initial=-1) + 1)
            rewards[item] = self._rewards(recorded)
            found.append(rewards)
        return found

    def demonstrations(self, decisions: int, random: np.random.Generator) -> Batch:
        """Decisions of the heuristic `imitate` in episodes from random training rows."""
        assert isinstance(self.settings, DqnSettings)
        heuristic = self._heuristic(self.settings.imitate or "")
        parts: list[dict[str, npt.NDArray[Any]]] = []
        missing = decisions
        for observation, action in self._demonstrated(heuristic, random):
            columns = {**observation, "action": action}
            parts.append({name: column[:missing].copy() for name, column in columns.items()})
            missing -= len(parts[-1]["action"])
            if missing == 0:
                break
        whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        return decisions_to_imitate(action=whole.pop("action"), observation=whole)

    def _demonstrated(
        self, heuristic: Heuristic, random: np.random.Generator
    ) -> Iterator[tuple[Arrays, Rows]]:
        """What a heuristic observes and chooses in one training episode after the other, without end."""
        rollout = HeuristicRollout(self.workload, self.cluster, _DEMONSTRATIONS_PER_CALL, heuristic)
        while True:
            for episode in rollout.play(*self.draw_starts(random, _DEMONSTRATIONS_PER_CALL)):
                yield episode.observation, episode.action

    def _rewards(self, recorded: RecordedEpisode) -> Floats:
        return self._reward(recorded.wait, recorded.servers_after)

    def _heuristic(self, name: str) -> Heuristic:
        # Only the flavours of training rows may be known to `fgd`.
        return Heuristic(name, FragmentationGradient.of_trace(self.workload.trace, *self.train_rows))
