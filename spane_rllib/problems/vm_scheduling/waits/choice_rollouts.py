"""Training and validation episodes where it is learned whom to place, too."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np
from torch import nn

from spane_rllib.learning.batch import Arrays
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
from spane_rllib.problems.vm_scheduling.simulator import Heuristic
from spane_rllib.problems.vm_scheduling.slot_rollouts import Rows, SlotStarts
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

    def _demonstrated(
        self, heuristic: Heuristic, random: np.random.Generator
    ) -> Iterator[tuple[Arrays, Rows]]:
        while True:
            (start,), (vm_count,) = self.draw_starts(random, 1)
            episode = self._episode(self._rollout.imitated(heuristic, int(start), int(vm_count)))
            yield episode.observation, episode.action

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
