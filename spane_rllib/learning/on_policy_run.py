"""Training runs that learn from the episodes just played: PPO and A2C."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import nn

from spane_rllib.learning.advantages import generalized_advantages, relative_rewards
from spane_rllib.learning.algorithms import OnPolicy
from spane_rllib.learning.policy_gradient import Decisions, PolicyGradientUpdate
from spane_rllib.learning.rollouts import Episode, Floats, Rollouts, Starts
from spane_rllib.learning.run import Run, timed


class OnPolicyRun(Run):
    """One iteration plays `settings.lanes` whole episodes and makes gradient steps on their decisions.

    Args:
        network: a `networks.Policy`.
        settings, rollouts, every: see `Run`. Validations that are due within an iteration are made at its
            end, as one.
        seed: decides starts, actions and the batches.
    """

    settings: OnPolicy

    def __init__(
        self, network: nn.Module, settings: OnPolicy, rollouts: Rollouts, every: int, seed: int
    ) -> None:
        seeds = np.random.SeedSequence(seed).spawn(3)
        super().__init__(network, settings, rollouts, every, seeds)
        self._update = PolicyGradientUpdate(network, settings)
        self._batches = self._generators[2]
        self._trained = 0

    @property
    def gradient_steps(self) -> int:
        return self._update.updates

    @property
    def trained_decisions(self) -> int:
        return self._trained

    def _draw_starts(self) -> Starts:
        settings = self.settings
        return self.rollouts.draw_starts(self._starts, settings.lanes, settings.episodes_per_start)

    def _play(self, starts: Starts) -> Sequence[Episode]:
        return self.rollouts.sample(self.network, starts, self._exploration)

    def _learn(self, played: Sequence[Episode], rewards: list[Floats]) -> None:
        settings, before = self.settings, self.gradient_steps
        with timed(self.seconds, "replay"):
            decisions = self._decisions(played, rewards)
        with timed(self.seconds, "gradient"):
            self._last.update(self._update.learn(decisions, self._batches, settings.gradient_steps - before))
        made = self.gradient_steps - before
        self._trained += made * min(settings.batch_size or len(decisions.action), len(decisions.action))
        if self.gradient_steps // self._every > before // self._every or self.finished:
            self._validate()

    def _decisions(self, played: Sequence[Episode], rewards: list[Floats]) -> Decisions:
        settings = self.settings
        observation = {
            name: np.concatenate([episode.observation[name] for episode in played])
            for name in played[0].observation
        }
        action, log_probability = (
            np.concatenate([getattr(episode, name) for episode in played])
            for name in ("action", "log_probability")
        )
        ends = np.cumsum([len(episode) for episode in played])
        values = np.split(self._update.values(observation, action), ends[:-1])
        if settings.episodes_per_start > 1:
            rewards = relative_rewards(rewards, settings.episodes_per_start, settings.discount)
        advantages = []
        for episode, reward, value in zip(played, rewards, values, strict=True):
            # There is no decision after a cut; the value of the last one before it is nearest.
            last = 0.0 if episode.terminated else float(value[-1])
            advantages.append(
                generalized_advantages(reward, value, last, settings.discount, settings.gae_lambda)
            )
        targets = np.concatenate(advantages) + np.concatenate(values)
        return Decisions(
            observation,
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
