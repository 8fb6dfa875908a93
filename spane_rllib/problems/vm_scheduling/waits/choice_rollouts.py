"""Training and validation episodes where it is learned whom to place, too."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from torch import nn

from spane_rllib.learning.batch import Batch
from spane_rllib.learning.imitation import decisions as decisions_to_imitate
from spane_rllib.learning.rollouts import Episode, Floats
from spane_rllib.problems.vm_scheduling.choice_rollout import (
    EXPLORING,
    SAMPLING,
    ChoiceEpisode,
    ChoiceRollout,
)
from spane_rllib.problems.vm_scheduling.networks.choice import ChoiceNetwork
from spane_rllib.problems.vm_scheduling.networks.choice_kernel import CompiledChoice
from spane_rllib.problems.vm_scheduling.queue_disciplines import choices_of
from spane_rllib.problems.vm_scheduling.slot_rollouts import SlotStarts
from spane_rllib.problems.vm_scheduling.waits.algorithms import DqnSettings
from spane_rllib.problems.vm_scheduling.waits.rollouts import WaitRollouts


class ChoiceRollouts(WaitRollouts):
    """As `WaitRollouts` of a workload under `skip:K`, in `VMChoiceEnv` with K choices.

    Heuristics place the first of these that fits: the discipline itself.
    """

    @cached_property
    def _rollout(self) -> ChoiceRollout:
        return ChoiceRollout(self.workload, self.cluster, choices_of(self.workload.queue.text))

    def explore(
        self, network: nn.Module, epsilon: float, starts: SlotStarts, random: np.random.Generator
    ) -> list[Episode]:
        return self._play(network, starts, EXPLORING, epsilon, random)

    def sample(self, network: nn.Module, starts: SlotStarts, random: np.random.Generator) -> list[Episode]:
        return self._play(network, starts, SAMPLING, 0.0, random)

    def validate(self, network: nn.Module) -> dict[str, float]:
        assert isinstance(network, ChoiceNetwork)
        ends = self._rollout.ends(CompiledChoice(network), *self.validation_starts)
        return self.summary(self.measured(ends))

    def demonstrations(self, decisions: int, random: np.random.Generator) -> Batch:
        """Decisions of the heuristic `imitate`, for the first that fits, from random training rows."""
        assert isinstance(self.settings, DqnSettings)
        heuristic = self._heuristic(self.settings.imitate or "")
        episodes, seen = [], 0
        while seen < decisions:
            rows, vm_counts = self.draw_starts(random, 1)
            episodes.append(self._episode(self._rollout.imitated(heuristic, int(rows[0]), int(vm_counts[0]))))
            seen += len(episodes[-1])
        observation = {
            name: np.concatenate([episode.observation[name] for episode in episodes])[:decisions]
            for name in episodes[0].observation
        }
        action = np.concatenate([episode.action for episode in episodes])[:decisions]
        return decisions_to_imitate(action=action, observation=observation)

    def _play(
        self, network: nn.Module, starts: SlotStarts, how: int, epsilon: float, random: np.random.Generator
    ) -> list[Episode]:
        assert isinstance(network, ChoiceNetwork)
        compiled = CompiledChoice(network)
        return [
            self._episode(self._rollout.play(compiled, start, vm_count, how, epsilon, random))
            for start, vm_count in zip(starts.rows.tolist(), starts.vm_counts.tolist(), strict=True)
        ]

    def _episode(self, played: ChoiceEpisode) -> Episode:
        record = played.record
        rewards: Floats = np.where(record.item < 0, 0.0, self._reward(record.wait, record.servers[1:]))
        return Episode(
            {
                "servers": record.servers[:-1],
                "waiting": record.waiting[:-1],
                "action_mask": record.action_mask[:-1],
            },
            record.action,
            rewards,
            record.log_probability,
            terminated=played.finished,
            measured=played.total_wait,
            item=record.item,
        )
