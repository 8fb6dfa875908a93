"""Training runs that learn from the episodes just played: PPO and A2C."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from spane_rllib.learning.advantages import generalized_advantages, relative_rewards
from spane_rllib.learning.policy_gradient import Decisions, PolicyGradientUpdate
from spane_rllib.learning.policy_settings import OnPolicy
from spane_rllib.problems.vm_scheduling.networks.base import QNetwork
from spane_rllib.problems.vm_scheduling.rollout import RecordedEpisode
from spane_rllib.problems.vm_scheduling.run import Run, Validation, timed
from spane_rllib.problems.vm_scheduling.simulator import Cluster, Workload

Rows = npt.NDArray[np.int64]


class PolicyGradientRun(Run):
    """One iteration plays `settings.lanes` whole episodes and makes gradient steps on their decisions.

    The network's advantages are the logits of the policy, its value is that of the state.

    Args:
        network: the policy and the value.
        settings, workload, cluster, train_rows, validation: see `Run`. Validations that are due within an
            iteration are made at its end, as one.
        seed: decides starts, actions and the batches.
    """

    settings: OnPolicy

    def __init__(
        self,
        network: QNetwork,
        settings: OnPolicy,
        workload: Workload,
        cluster: Cluster,
        train_rows: tuple[int, int],
        validation: Validation,
        seed: int,
    ) -> None:
        seeds = np.random.SeedSequence(seed).spawn(3)
        super().__init__(network, settings, workload, cluster, train_rows, validation, seeds)
        self._update = PolicyGradientUpdate(network.value_and_advantage, list(network.parameters()), settings)
        self._batches = self._generators[2]
        self._trained = 0

    @property
    def gradient_steps(self) -> int:
        """See `Run`."""
        return self._update.updates

    @property
    def trained_decisions(self) -> int:
        """See `Run`."""
        return self._trained

    def _draw_starts(self) -> Rows:
        group = self.settings.episodes_per_start
        starts = self._starts.integers(*self._train_rows, self.settings.lanes // group)
        return np.repeat(starts, group)

    def _play(self, starts: Rows, vm_counts: Rows) -> list[RecordedEpisode]:
        return list(self._rollout.sample(self._acting, starts, vm_counts))

    def _learn(self, played: list[RecordedEpisode], rewards: list[npt.NDArray[np.float64]]) -> None:
        settings, before = self.settings, self.gradient_steps
        with timed(self.seconds, "replay"):
            decisions = self._decisions(played, rewards)
        with timed(self.seconds, "gradient"):
            self._last.update(self._update.learn(decisions, self._batches, settings.gradient_steps - before))
        made = self.gradient_steps - before
        self._trained += made * min(settings.batch_size or len(decisions.action), len(decisions.action))
        every = self._validation.every
        if self.gradient_steps // every > before // every or self.finished:
            self._validate()

    def _decisions(self, played: list[RecordedEpisode], rewards: list[npt.NDArray[np.float64]]) -> Decisions:
        settings = self.settings
        servers, request, mask, action, log_probability = (
            np.concatenate([getattr(episode, name) for episode in played])
            for name in ("servers", "request", "action_mask", "action", "log_probability")
        )
        with torch.no_grad():
            flat, _ = self.network.value_and_advantage(torch.from_numpy(servers), torch.from_numpy(request))
        ends = np.cumsum([len(episode.action) for episode in played])
        values = np.split(flat.squeeze(1).double().numpy(), ends[:-1])
        if settings.episodes_per_start > 1:
            rewards = relative_rewards(rewards, settings.episodes_per_start, settings.discount)
        advantages = []
        for episode, reward, value in zip(played, rewards, values, strict=True):
            # There is no decision after a cut; the value of the last one before it is nearest.
            last = 0.0 if self._objective.terminated(episode) else float(value[-1])
            advantages.append(
                generalized_advantages(reward, value, last, settings.discount, settings.gae_lambda)
            )
        targets = np.concatenate(advantages) + np.concatenate(values)
        return Decisions(
            servers,
            request,
            mask,
            action,
            log_probability,
            np.concatenate(advantages).astype(np.float32),
            targets.astype(np.float32),
        )

    def _learner_state(self) -> dict[str, Any]:
        return {
            "network": copy.deepcopy(self.network.state_dict()),
            "update": self._update.state_dict(),
            "trained": self._trained,
        }

    def _load_learner_state(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self._update.load_state_dict(state["update"])
        self._trained = state["trained"]
